package schema

import (
	"cmp"
	"container/heap"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
)

// graph is what a Graph holds.
type graph struct {
	order     []ResourceKey
	edges     []Reference
	producers map[ResourceKey][]ResourceKey
	consumers map[ResourceKey][]ResourceKey
}

// newGraph collects the edges between the resources of an organization that
// exist, leaving out those that close a cycle; org "" means all organizations.
func newGraph(t *tree, org string) *Graph {
	g := &Graph{}
	g.producers, g.consumers = map[ResourceKey][]ResourceKey{}, map[ResourceKey][]ResourceKey{}
	var nodes []ResourceKey
	for _, r := range t.resources {
		if org != "" && r.Key.Org != org {
			continue
		}
		nodes = append(nodes, r.Key)
		for _, e := range r.References {
			if _, ok := t.byKey[e.To]; !ok || t.closesCycle(e) {
				continue
			}
			g.edges = append(g.edges, e)
			g.producers[e.From] = append(g.producers[e.From], e.To)
			g.consumers[e.To] = append(g.consumers[e.To], e.From)
		}
	}
	slices.SortStableFunc(g.edges, compareEdges)
	for _, m := range []map[ResourceKey][]ResourceKey{g.producers, g.consumers} {
		for k, l := range m {
			slices.SortFunc(l, ResourceKey.Compare)
			m[k] = slices.Compact(l)
		}
	}
	g.order = g.sorted(nodes)
	return g
}

// JoinGraphs is the graph of several trees in one. A resource that two of them have
// counts once, as the first has it.
func JoinGraphs(graphs ...*Graph) *Graph {
	if len(graphs) == 1 {
		return graphs[0]
	}
	out := &Graph{}
	out.producers, out.consumers = map[ResourceKey][]ResourceKey{}, map[ResourceKey][]ResourceKey{}
	seen := map[ResourceKey]bool{}
	for _, g := range graphs {
		own := map[ResourceKey]bool{}
		for _, n := range g.order {
			own[n] = !seen[n]
		}
		both := func(a, b ResourceKey) bool { return own[a] && own[b] }
		for _, e := range g.edges {
			if both(e.From, e.To) {
				out.edges = append(out.edges, e)
			}
		}
		for _, n := range g.order {
			if !own[n] {
				continue
			}
			seen[n] = true
			out.order = append(out.order, n)
			for _, p := range g.producers[n] {
				if both(n, p) {
					out.producers[n] = append(out.producers[n], p)
					out.consumers[p] = append(out.consumers[p], n)
				}
			}
		}
	}
	slices.SortStableFunc(out.edges, compareEdges)
	out.order = out.sorted(out.order)
	return out
}

func (g *graph) around(org, env string) *Graph {
	inside := func(k ResourceKey) bool { return k.Org == org && k.Env == env }
	out := &Graph{}
	out.producers, out.consumers = map[ResourceKey][]ResourceKey{}, map[ResourceKey][]ResourceKey{}
	near := map[ResourceKey]bool{}
	for _, e := range g.edges {
		if inside(e.From) || inside(e.To) {
			near[e.From], near[e.To] = true, true
			out.edges = append(out.edges, e)
		}
	}
	for _, n := range g.order {
		if !inside(n) && !near[n] {
			continue
		}
		out.order = append(out.order, n)
		for _, p := range g.producers[n] {
			if inside(n) || inside(p) {
				out.producers[n] = append(out.producers[n], p)
			}
		}
		for _, c := range g.consumers[n] {
			if inside(n) || inside(c) {
				out.consumers[n] = append(out.consumers[n], c)
			}
		}
	}
	return out
}

func compareEdges(a, b Reference) int {
	return cmp.Or(a.From.Compare(b.From), a.To.Compare(b.To), cmp.Compare(a.FieldPath, b.FieldPath), a.Pos.Compare(b.Pos))
}

// closesCycle tells whether both ends of an edge lie on the same cycle.
func (t *tree) closesCycle(e Reference) bool {
	a, ok1 := t.onCycle[e.From]
	b, ok2 := t.onCycle[e.To]
	return ok1 && ok2 && a == b
}

// keyHeap yields the smallest key first.
type keyHeap []ResourceKey

func (h keyHeap) Len() int           { return len(h) }
func (h keyHeap) Less(i, j int) bool { return h[i].Compare(h[j]) < 0 }
func (h keyHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *keyHeap) Push(x any)        { *h = append(*h, x.(ResourceKey)) }
func (h *keyHeap) Pop() any {
	old := *h
	x := old[len(old)-1]
	*h = old[:len(old)-1]
	return x
}

// sorted puts producers before consumers, and of those that are free the smallest
// key first (Kahn's algorithm).
func (g *graph) sorted(nodes []ResourceKey) []ResourceKey {
	waits := make(map[ResourceKey]int, len(g.producers))
	for k, l := range g.producers {
		waits[k] = len(l)
	}
	free := make(keyHeap, 0, len(nodes))
	for _, n := range nodes {
		if waits[n] == 0 {
			free = append(free, n)
		}
	}
	heap.Init(&free)
	out := make([]ResourceKey, 0, len(nodes))
	for free.Len() > 0 {
		n := heap.Pop(&free).(ResourceKey)
		out = append(out, n)
		for _, c := range g.consumers[n] {
			if waits[c]--; waits[c] == 0 {
				heap.Push(&free, c)
			}
		}
	}
	return out
}

// label is a node as the pictures show it, below its environment.
func (k ResourceKey) label() string { return k.Kind + "/" + k.Name }

// byEnvironment gives the nodes of each environment, and all nodes' numbers. An
// environment is called by its organization too when there are several.
func (g *graph) byEnvironment() (envs []string, members map[string][]ResourceKey, number map[ResourceKey]int) {
	members, number = map[string][]ResourceKey{}, map[ResourceKey]int{}
	nodes := slices.SortedFunc(slices.Values(g.order), ResourceKey.Compare)
	several := slices.ContainsFunc(nodes, func(n ResourceKey) bool { return n.Org != nodes[0].Org })
	for i, n := range nodes {
		number[n] = i
		env := n.Env
		if several {
			env = n.Org + "/" + env
		}
		members[env] = append(members[env], n)
	}
	return sortedKeys(members), members, number
}

// pairs are the edges with repeats between the same two nodes joined: each comes with
// what its label says.
func (g *graph) pairs() []Reference {
	var out []Reference
	for _, e := range g.edges {
		what := e.FieldPath
		if e.Kind == Relationship {
			what = e.Type
		}
		if n := len(out); n > 0 && out[n-1].From == e.From && out[n-1].To == e.To {
			if !slices.Contains(strings.Split(out[n-1].FieldPath, ", "), what) {
				out[n-1].FieldPath += ", " + what
			}
			continue
		}
		out = append(out, Reference{From: e.From, To: e.To, FieldPath: what})
	}
	return out
}

// mermaid draws arrows from producer to consumer: the order in which things happen.
func (g *graph) mermaid() string {
	var b strings.Builder
	b.WriteString("flowchart LR\n")
	envs, members, number := g.byEnvironment()
	for i, env := range envs {
		b.WriteString("  subgraph e" + strconv.Itoa(i) + "[\"" + mermaidText(env) + "\"]\n")
		for _, n := range members[env] {
			b.WriteString("    n" + strconv.Itoa(number[n]) + "[\"" + mermaidText(n.label()) + "\"]\n")
		}
		b.WriteString("  end\n")
	}
	for _, e := range g.pairs() {
		b.WriteString("  n" + strconv.Itoa(number[e.To]) + " -->|\"" + mermaidText(e.FieldPath) + "\"| n" + strconv.Itoa(number[e.From]) + "\n")
	}
	return b.String()
}

// mermaidText escapes what Mermaid would read as its own.
func mermaidText(s string) string {
	return strings.NewReplacer("#", "#35;", `"`, "#quot;", "<", "#lt;", ">", "#gt;", "\n", " ").Replace(s)
}

func (g *graph) dot() string {
	var b strings.Builder
	b.WriteString("digraph resources {\n  rankdir=LR;\n  node [shape=box];\n")
	envs, members, number := g.byEnvironment()
	for i, env := range envs {
		b.WriteString("  subgraph cluster_" + strconv.Itoa(i) + " {\n    label=" + dotText(env) + ";\n")
		for _, n := range members[env] {
			b.WriteString("    n" + strconv.Itoa(number[n]) + " [label=" + dotText(n.label()) + "];\n")
		}
		b.WriteString("  }\n")
	}
	for _, e := range g.pairs() {
		b.WriteString("  n" + strconv.Itoa(number[e.To]) + " -> n" + strconv.Itoa(number[e.From]) + " [label=" + dotText(e.FieldPath) + "];\n")
	}
	b.WriteString("}\n")
	return b.String()
}

func dotText(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", " ").Replace(s) + `"`
}

// MarshalJSON is {"nodes": […], "edges": […]}: nodes in topological order, edges from
// consumer to producer as Edges lists them.
func (g *Graph) MarshalJSON() ([]byte, error) {
	out := struct {
		Nodes []ResourceKey `json:"nodes"`
		Edges []Reference   `json:"edges"`
	}{Nodes: g.order, Edges: g.edges}
	if out.Nodes == nil {
		out.Nodes = []ResourceKey{}
	}
	if out.Edges == nil {
		out.Edges = []Reference{}
	}
	return json.Marshal(out)
}
