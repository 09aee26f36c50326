package comment

import (
	"strconv"
	"strings"

	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/schema"
)

// maxNodes is how many resources a graph may have and still be read.
const maxNodes = 25

// graph draws the order in which changed resources are applied; "" when no order is to
// be kept, or too much of it, and while plans are made. Resources without an edge are not in it.
func (p arranged) graph(l Limits) string {
	if !l.Mermaid || p.State == Planning {
		return ""
	}
	type edge struct{ from, to schema.ResourceKey }
	changed := map[schema.ResourceKey]*row{}
	for i := range p.rows {
		if r := &p.rows[i]; r.State != RowUnchanged {
			changed[r.Key] = r
		}
	}
	linked, seen := map[schema.ResourceKey]bool{}, map[edge]bool{}
	var edges []edge
	for i := range p.rows {
		r := &p.rows[i]
		after := r.After
		if !r.Deferred.IsZero() {
			after = append(after[:len(after):len(after)], r.Deferred)
		}
		for _, from := range after {
			e := edge{from, r.Key}
			if changed[from] == nil || changed[r.Key] == nil || from == r.Key || seen[e] {
				continue
			}
			seen[e], linked[from], linked[r.Key] = true, true, true
			edges = append(edges, e)
		}
	}
	if len(edges) == 0 || len(linked) > maxNodes {
		return ""
	}
	lines := []string{"flowchart LR"}
	number := map[schema.ResourceKey]string{}
	for i := range p.rows {
		r := &p.rows[i]
		if !linked[r.Key] || number[r.Key] != "" {
			continue
		}
		number[r.Key] = "n" + strconv.Itoa(len(number))
		label := mermaidLabel(strings.Join([]string{r.Key.Env, r.Key.Kind, r.Key.Name}, "/"))
		lines = append(lines, "  "+number[r.Key]+"["+label+"]:::"+r.class())
	}
	for _, e := range edges {
		lines = append(lines, "  "+number[e.from]+" --> "+number[e.to])
	}
	lines = append(lines,
		"  classDef create fill:#dafbe1,stroke:#1a7f37,color:#1f2328",
		"  classDef change fill:#fff8c5,stroke:#9a6700,color:#1f2328",
		"  classDef destroy fill:#ffebe9,stroke:#cf222e,color:#1f2328",
		"  classDef open fill:#f6f8fa,stroke:#59636e,color:#1f2328,stroke-dasharray:4",
	)
	return foldHead(l, "Order of the apply", false) + fence("mermaid", lines) + "\n" + foldEnd(l)
}

// class is the colour of a node: what happens to the worst of its resources.
func (r row) class() string {
	c := r.counts()
	switch {
	case r.isDestructive() || r.Action == stackjob.Destroy:
		return "destroy"
	case c.Update+c.Import+c.Move+c.Forget > 0:
		return "change"
	case c.Create > 0:
		return "create"
	case r.changes():
		return "change"
	}
	return "open"
}
