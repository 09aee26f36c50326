package schema

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/stackreeve/stackreeve/schema/diag"
)

// assembly makes a tree of the files of one load.
type assembly struct {
	*loader
	src   Source
	state *state
	own   *ownTogether
	// entries are all files in path order.
	entries  []*entry
	findings []finding
	// declared are all resources that are written down, right or wrong.
	declared map[ResourceKey]declaration
	out      *Tree
	// causes are the first errors by scope, of the findings that were there before
	// references were looked at; index is for hints.
	causes           map[scope]*finding
	beforeReferences int
	index            *names
}

func (a *assembly) tree(ctx context.Context, last *state) (*Tree, error) {
	a.out = &Tree{}
	t := &a.out.tree
	t.hash, t.options = a.state.hash, a.opts
	t.files = a.state.entries
	a.sortEntries()
	a.own = gather(a.entries)
	a.findings = append(a.findings, a.own.findings...)
	var before map[scope]*surroundings
	if last != nil {
		before = last.around
	}
	a.state.around = a.own.contexts(a.scopes(), before)
	if err := a.bind(ctx); err != nil {
		return nil, err
	}
	a.catalogue()
	a.resources()
	a.hierarchy()
	a.root()
	a.modules()
	a.statePlaces()
	a.people()
	a.policies()
	a.references()
	a.freeze()
	t.graphs = &graphs{byOrg: map[string]*Graph{}}
	return a.out, nil
}

func (a *assembly) sortEntries() {
	a.entries = make([]*entry, 0, len(a.state.entries))
	for _, e := range a.state.entries {
		a.entries = append(a.entries, e)
	}
	slices.SortFunc(a.entries, func(x, y *entry) int { return cmp.Compare(x.path, y.path) })
}

// scopes lists the folders that hold resource documents.
func (a *assembly) scopes() []scope {
	seen := map[scope]bool{}
	var out []scope
	for _, e := range a.entries {
		if e.file.hasResources && !seen[e.layout.scope] {
			seen[e.layout.scope] = true
			out = append(out, e.layout.scope)
		}
	}
	return out
}

// bind understands the resources of the files whose text or surroundings changed.
func (a *assembly) bind(ctx context.Context) error {
	var todo []int
	for i, e := range a.entries {
		if !e.file.hasResources {
			continue
		}
		if e.bound == nil || e.bound.ctx != a.state.around[e.layout.scope] {
			todo = append(todo, i)
		}
	}
	return inParallel(ctx, len(todo), func(n int) error {
		e := a.entries[todo[n]]
		r := &reader{reporter: &reporter{text: e.file.text, scope: e.layout.scope}, layout: e.layout}
		docs := e.file.resources
		if docs == nil {
			docs = a.again(e)
		}
		// The entry may be shared with the last state, which must stay as it was; the
		// documents are dropped, as the text is enough to make them again.
		fresh := *e
		fresh.bound = bindResources(r, docs, a.state.around[e.layout.scope])
		fresh.file.resources = nil
		a.entries[todo[n]] = &fresh
		return nil
	})
}

// again parses a file's resource documents a second time. Their findings are known.
func (a *assembly) again(e *entry) []envelope {
	f := &parsedFile{text: e.file.text}
	r := &reader{reporter: &reporter{text: e.file.text, scope: e.layout.scope}, layout: e.layout}
	docs, _ := parse(f.text, a.opts)
	for i := range docs {
		f.document(r, &docs[i])
	}
	return f.resources
}

// catalogue lists components and modules, and what is wrong with them together.
func (a *assembly) catalogue() {
	t := &a.out.tree
	for _, e := range a.entries {
		a.state.entries[e.path] = e
		a.findings = append(a.findings, e.file.findings...)
		if e.bound != nil {
			a.findings = append(a.findings, e.bound.findings...)
		}
	}
	for _, c := range a.own.components {
		t.components = append(t.components, c.Component)
	}
	slices.SortFunc(t.components, func(x, y *Component) int {
		return cmp.Or(cmp.Compare(x.Org, y.Org), cmp.Compare(x.RegisteredKind, y.RegisteredKind))
	})
	for _, m := range a.own.modules {
		t.modules = append(t.modules, m.Module)
		a.knownKind(m)
	}
	slices.SortFunc(t.modules, func(x, y *Module) int {
		return cmp.Or(cmp.Compare(x.Org, y.Org), cmp.Compare(x.ForKind, y.ForKind), cmp.Compare(x.Provisioner, y.Provisioner))
	})
}

// knownKind checks that an IacModule is for a kind that is registered where it counts.
func (a *assembly) knownKind(m *boundModule) {
	var names []string
	for _, c := range a.own.components {
		if c.RegisteredKind == m.ForKind && (c.Org == "" || m.Org == "" || c.Org == m.Org) {
			return
		}
		names = append(names, c.RegisteredKind)
	}
	if a.mayHide(m.Org) {
		return
	}
	for _, hidden := range a.own.hidden {
		if slices.Contains(hidden, m.ForKind) {
			return
		}
	}
	d := m.kindAt
	d.Code, d.Found, d.Hint = diag.UnknownKind, fmt.Sprintf("%q", m.ForKind), didYouMean(m.ForKind, names)
	a.findings = append(a.findings, finding{Diagnostic: d, freezes: []scope{{org: m.Org}}})
}

// mayHide tells whether a component that an organization ("" for any) can see may be
// hidden by an error.
func (a *assembly) mayHide(org string) bool {
	for s := range a.own.unreadable {
		if s.org == "" || s.org == org || org == "" {
			return true
		}
	}
	return false
}

// resources lists the resources, each key once.
func (a *assembly) resources() {
	t := &a.out.tree
	a.declared = make(map[ResourceKey]declaration, len(a.entries))
	n := 0
	for _, e := range a.entries {
		if e.bound != nil {
			n += len(e.bound.resources)
		}
	}
	t.resources = make([]*Resource, 0, n)
	t.byKey = make(map[ResourceKey]*Resource, n)
	for _, e := range a.entries {
		if e.bound == nil {
			continue
		}
		for _, d := range e.bound.declared {
			first, twice := a.declared[d.key]
			if !twice {
				a.declared[d.key] = d
				continue
			}
			at := d.at
			at.Code, at.Detail = diag.DuplicateResource, d.key.String()
			at.Related = []diag.Related{{Pos: first.at.Pos, Message: "first defined here"}}
			a.findings = append(a.findings, finding{Diagnostic: at, freezes: []scope{e.layout.scope}})
		}
		for _, r := range e.bound.resources {
			if _, twice := t.byKey[r.Key]; !twice {
				t.byKey[r.Key] = r
				t.resources = append(t.resources, r)
			}
		}
	}
	slices.SortFunc(t.resources, func(x, y *Resource) int { return x.Key.Compare(y.Key) })
}

// hierarchy lists organizations and environments: those with a document, and those that
// only have a folder with documents in it.
func (a *assembly) hierarchy() {
	t := &a.out.tree
	orgs, envs := map[string]*Organization{}, map[scope]*Environment{}
	for _, o := range a.own.organizations {
		orgs[o.Slug] = o
	}
	for _, e := range a.own.environments {
		envs[scope{e.Org, e.Slug}] = e
	}
	for _, e := range a.entries {
		s := e.layout.scope
		if s.org == "" || e.layout.role != documents || e.code != "" {
			continue
		}
		if orgs[s.org] == nil {
			orgs[s.org] = &Organization{Slug: s.org}
		}
		if s.env != "" && envs[s] == nil {
			envs[s] = &Environment{Org: s.org, Slug: s.env}
		}
	}
	for _, k := range sortedKeys(orgs) {
		t.organizations = append(t.organizations, orgs[k])
	}
	for _, e := range envs {
		t.environments = append(t.environments, e)
	}
	slices.SortFunc(t.environments, func(x, y *Environment) int {
		return cmp.Or(cmp.Compare(x.Org, y.Org), cmp.Compare(x.Slug, y.Slug))
	})
	for _, e := range a.entries {
		for _, m := range e.file.own.misnamed {
			if _, other := t.environment(e.layout.scope.org, m.name); other {
				a.findings = append(a.findings, finding{Diagnostic: m.at, freezes: []scope{e.layout.scope}})
			}
		}
	}
}

// root says when there is nothing to reconcile because the folder is not the root of a
// config repository, or an empty one.
func (a *assembly) root() {
	if slices.ContainsFunc(a.entries, func(e *entry) bool { return e.file.organization }) {
		return // its own finding says so
	}
	t := &a.out.tree
	d := diag.Diagnostic{Code: diag.MissingOrganization, Severity: diag.Warning, Pos: diag.Position{File: "."},
		Expected: "documents in an organization's folder, such as acme/dev/network.yaml"}
	if len(t.organizations) > 0 {
		// Documents of environments stand where organizations should be, and no document of
		// an organization anywhere.
		i := slices.IndexFunc(a.findings, func(f finding) bool {
			return f.Code == diag.WrongFolder && len(f.freezes) == 1 && f.freezes[0].org != ""
		})
		if i < 0 || len(t.environments) > 0 || len(a.own.organizations)+len(a.own.components)+len(a.own.modules) > 0 {
			return
		}
		d.Hint = fmt.Sprintf("if %q is an environment, this is an organization's folder; give its parent", a.findings[i].freezes[0].org)
	}
	a.findings = append(a.findings, finding{Diagnostic: d})
}

// modules checks that the local module folders exist.
func (a *assembly) modules() {
	check := func(sources []localSource, s scope) {
		for i := range sources {
			if d, missing := sources[i].check(a.state, a.src); missing {
				a.findings = append(a.findings, finding{Diagnostic: d, freezes: []scope{s}})
			}
		}
	}
	for _, e := range a.entries {
		for _, c := range e.file.own.components {
			check(c.sources, e.layout.scope)
		}
		for _, m := range e.file.own.modules {
			check(m.sources, e.layout.scope)
		}
		if e.bound != nil {
			check(e.bound.sources, e.layout.scope)
		}
	}
}

// masks are the parts of a file that must not be shown.
func (a *assembly) masks(file string) []mask {
	e := a.state.entries[file]
	if e == nil {
		return nil
	}
	if e.bound == nil {
		return e.file.masks
	}
	return slices.Concat(e.file.masks, e.bound.masks)
}

// freeze sorts the findings, and notes for each scope the first error that froze it.
func (a *assembly) freeze() {
	a.out.freezes = map[scope]diag.Diagnostic{}
	slices.SortStableFunc(a.findings, func(x, y finding) int { return x.Compare(y.Diagnostic) })
	list := make(diag.List, len(a.findings))
	for i := range a.findings {
		f := &a.findings[i]
		f.Diagnostic = withoutSecrets(f.Diagnostic, a.masks(f.Pos.File))
		list[i] = f.Diagnostic
		if f.Severity != diag.Error && f.Code != diag.ProducerUnknown {
			continue
		}
		for _, s := range f.freezes {
			if _, ok := a.out.freezes[s]; !ok {
				a.out.freezes[s] = f.Diagnostic
			}
		}
	}
	a.out.diagnostics = list.Sorted()
}
