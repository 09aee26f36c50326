package schema

import (
	"fmt"
	"slices"
	"strings"

	"github.com/stackreeve/stackreeve/schema/diag"
)

// maxCyclesTold bounds how many cycles are reported of one knot of resources.
const maxCyclesTold = 20

// knots finds the resources that need each other, and tells their cycles.
type knots struct {
	nodes []*Resource
	files []*entry
	// out are the edges of each node, to nodes that exist.
	out [][]edge
	// component numbers each node's strongly connected component.
	component []int
}

type edge struct {
	to  int
	ref *Reference
}

// cycles reports each cycle once, and freezes all folders on it.
func (a *assembly) cycles() {
	k := a.edges()
	t := &a.out.tree
	t.onCycle = map[ResourceKey]int{}
	for n, members := range k.components() {
		var freezes []scope
		for _, m := range members {
			t.onCycle[k.nodes[m].Key] = n
			s := scope{k.nodes[m].Key.Org, k.nodes[m].Key.Env}
			if !slices.Contains(freezes, s) {
				freezes = append(freezes, s)
			}
		}
		for range maxCyclesTold {
			cycle := k.shortestCycle(members)
			if cycle == nil {
				break
			}
			a.reportCycle(k, cycle, freezes)
			k.cut(cycle)
		}
	}
}

// edges numbers the resources and the edges between them.
func (a *assembly) edges() *knots {
	k := &knots{}
	number := make(map[*Resource]int, len(a.out.resources))
	for _, e := range a.entries {
		if e.bound == nil {
			continue
		}
		for _, r := range e.bound.resources {
			if a.out.byKey[r.Key] == r && len(r.References) > 0 {
				number[r] = len(k.nodes)
				k.nodes, k.files = append(k.nodes, r), append(k.files, e)
			}
		}
	}
	k.out = make([][]edge, len(k.nodes))
	for i, r := range k.nodes {
		for j := range r.References {
			// A target without references of its own is on no cycle.
			if n, ok := number[a.out.byKey[r.References[j].To]]; ok {
				k.out[i] = append(k.out[i], edge{to: n, ref: &r.References[j]})
			}
		}
	}
	return k
}

// components gives the strongly connected components that hold a cycle, by their
// smallest key, each sorted by key (Tarjan's algorithm).
func (k *knots) components() [][]int {
	index := make([]int, len(k.nodes))
	low := make([]int, len(k.nodes))
	onStack := make([]bool, len(k.nodes))
	k.component = make([]int, len(k.nodes))
	var stack []int
	var found [][]int
	next, number := 1, 0
	var visit func(v int)
	visit = func(v int) {
		index[v], low[v] = next, next
		next++
		stack = append(stack, v)
		onStack[v] = true
		self := false
		for _, e := range k.out[v] {
			self = self || e.to == v
			if index[e.to] == 0 {
				visit(e.to)
				low[v] = min(low[v], low[e.to])
			} else if onStack[e.to] {
				low[v] = min(low[v], index[e.to])
			}
		}
		if low[v] != index[v] {
			return
		}
		number++
		var members []int
		for {
			w := stack[len(stack)-1]
			stack = stack[:len(stack)-1]
			onStack[w] = false
			k.component[w] = number
			members = append(members, w)
			if w == v {
				break
			}
		}
		if len(members) > 1 || self {
			found = append(found, members)
		}
	}
	for v := range k.nodes {
		if index[v] == 0 {
			visit(v)
		}
	}
	byKey := func(x, y int) int { return k.nodes[x].Key.Compare(k.nodes[y].Key) }
	for _, m := range found {
		slices.SortFunc(m, byKey)
	}
	slices.SortFunc(found, func(x, y []int) int { return byKey(x[0], y[0]) })
	return found
}

// shortestCycle is a shortest cycle through the first member that is still on one, as
// edges from that member round to it.
func (k *knots) shortestCycle(members []int) []edge {
	for _, start := range members {
		type step struct {
			from int
			edge edge
		}
		came := map[int]step{}
		queue := []int{start}
		for len(queue) > 0 {
			v := queue[0]
			queue = queue[1:]
			for _, e := range k.out[v] {
				if k.component[e.to] != k.component[start] {
					continue
				}
				if e.to == start {
					cycle := []edge{e}
					for at := v; at != start; at = came[at].from {
						cycle = append(cycle, came[at].edge)
					}
					slices.Reverse(cycle)
					return cycle
				}
				if _, seen := came[e.to]; !seen {
					came[e.to] = step{v, e}
					queue = append(queue, e.to)
				}
			}
		}
	}
	return nil
}

// cut takes the last edge of a told cycle away, with its parallels, so that the next
// search finds another one.
func (k *knots) cut(cycle []edge) {
	last := cycle[len(cycle)-1]
	from := last.to
	if len(cycle) > 1 {
		from = cycle[len(cycle)-2].to
	}
	k.out[from] = slices.DeleteFunc(k.out[from], func(e edge) bool { return e.to == last.to })
}

func (a *assembly) reportCycle(k *knots, cycle []edge, freezes []scope) {
	start := cycle[len(cycle)-1].to
	names := []string{k.nodes[start].Key.String()}
	d := diag.Diagnostic{Code: diag.ReferenceCycle}
	from := start
	for _, e := range cycle {
		names = append(names, k.nodes[e.to].Key.String())
		d.Related = append(d.Related, diag.Related{Pos: e.ref.Pos, Message: fmt.Sprintf("%s needs %s", k.nodes[from].Key, k.nodes[e.to].Key)})
		from = e.to
	}
	d.Detail = strings.Join(names, " → ")
	at := place{line: int32(cycle[0].ref.Pos.Line), col: int32(cycle[0].ref.Pos.Column)}
	a.findings = append(a.findings, finding{Diagnostic: k.files[start].file.text.show(d, at), freezes: freezes})
}
