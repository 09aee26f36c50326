package schema

// Graph is who needs whom among the resources of an organization, or of all. Edges point
// from a consumer to its producer. It has no cycle: resources on a cycle carry a
// diagnostic and their folders are frozen.
type Graph struct{ graph }

// Nodes lists the resources in an order in which every producer stands before its
// consumers, and equal ones by key.
func (g *Graph) Nodes() []ResourceKey { return g.order }

// Edges lists all edges by From, To and FieldPath.
func (g *Graph) Edges() []Reference { return g.edges }

// Producers lists what k needs, directly.
func (g *Graph) Producers(k ResourceKey) []ResourceKey { return g.producers[k] }

// Consumers lists what needs k, directly.
func (g *Graph) Consumers(k ResourceKey) []ResourceKey { return g.consumers[k] }

// Around is the part of the graph that concerns one environment: its resources, and what
// those of other environments they need or are needed by, directly.
func (g *Graph) Around(org, env string) *Graph { return g.around(org, env) }

// Mermaid, DOT and JSON render the graph for `reeve graph`; the output is stable.
func (g *Graph) Mermaid() string { return g.mermaid() }

// DOT is the graph in Graphviz' language.
func (g *Graph) DOT() string { return g.dot() }
