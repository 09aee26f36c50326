package schema

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/stackreeve/stackreeve/schema/diag"
)

// catalogue is what an organization's resources are understood with. Two loads that
// find the same catalogue share one value, so that resources need no second look.
type catalogue struct {
	components map[string]*boundComponent
	modules    map[moduleKey]*boundModule
	// hidden are kinds whose component is wrong; unreadable says that some file that
	// could hold components could not be read.
	hidden     map[string]bool
	unreadable bool
	// names are all kinds, and hints what was found among them for an unknown one: a
	// catalogue that is missing makes every resource one.
	names       []string
	hints       sync.Map
	provisioner Provisioner
	// engineVersions are the organization's.
	engineVersions EngineVersions
}

type moduleKey struct {
	org, kind   string
	provisioner Provisioner
}

// equal compares the parts by identity: they are remade only when their file changes.
func (c *catalogue) equal(o *catalogue) bool {
	return maps.Equal(c.components, o.components) && maps.Equal(c.modules, o.modules) && maps.Equal(c.hidden, o.hidden) &&
		c.unreadable == o.unreadable && c.provisioner == o.provisioner && slices.Equal(c.engineVersions, o.engineVersions)
}

// hint is the kind that an unknown one was probably meant to be.
func (c *catalogue) hint(kind string) string {
	if h, ok := c.hints.Load(kind); ok {
		return h.(string)
	}
	h := didYouMean(kind, c.names)
	c.hints.Store(kind, h)
	return h
}

// surroundings is what the resources of one environment are understood with.
type surroundings struct {
	*catalogue
	org         string
	provisioner Provisioner
	protected   bool
	// engineVersions are the environment's before the organization's.
	engineVersions EngineVersions
}

func (c *surroundings) equal(o *surroundings) bool {
	return c.catalogue == o.catalogue && c.org == o.org && c.provisioner == o.provisioner && c.protected == o.protected &&
		slices.Equal(c.engineVersions, o.engineVersions)
}

// moduleFor finds the module of a kind for one provisioner.
func (c *surroundings) moduleFor(comp *boundComponent, p Provisioner) (ModuleSource, bool) {
	for _, org := range []string{c.org, ""} {
		if m, ok := c.modules[moduleKey{org, comp.RegisteredKind, p}]; ok {
			return m.Source, true
		}
	}
	src, ok := comp.Modules[p]
	return src, ok
}

// ownTogether are the own documents of all files, those that are repeated left out.
type ownTogether struct {
	ownDocuments
	// unreadable are the scopes with a file in which a document could not be read.
	unreadable map[scope]bool
	hidden     map[scope][]string
	findings   []finding
	// named are the places of the persons' and teams' names.
	named map[ResourceKey]diag.Diagnostic
}

// gather brings the own documents of all files together, in path order.
func gather(entries []*entry) *ownTogether {
	t := &ownTogether{unreadable: map[scope]bool{}, hidden: map[scope][]string{}, named: map[ResourceKey]diag.Diagnostic{}}
	for _, e := range entries {
		o := &e.file.own
		s := e.layout.scope
		if e.file.unreadable && s.env == "" {
			t.unreadable[s] = true
		}
		if len(o.hidden) > 0 {
			t.hidden[s] = append(t.hidden[s], o.hidden...)
		}
		for _, d := range o.organizations {
			if i := slices.IndexFunc(t.organizations, func(x *Organization) bool { return x.Slug == d.Slug }); i >= 0 {
				t.twice(e, diag.DuplicateDocument, d.Document, t.organizations[i].Document)
				continue
			}
			t.organizations = append(t.organizations, d)
		}
		for _, d := range o.environments {
			if i := slices.IndexFunc(t.environments, func(x *Environment) bool { return x.Org == d.Org && x.Slug == d.Slug }); i >= 0 {
				t.twice(e, diag.DuplicateDocument, d.Document, t.environments[i].Document)
				continue
			}
			t.environments = append(t.environments, d)
		}
		for _, d := range o.components {
			if i := slices.IndexFunc(t.components, func(x *boundComponent) bool { return x.Org == d.Org && x.RegisteredKind == d.RegisteredKind }); i >= 0 {
				t.again(e, diag.DuplicateKind, d.kindAt, t.components[i].kindAt, d.RegisteredKind)
				continue
			}
			t.components = append(t.components, d)
		}
		for _, d := range o.modules {
			if i := slices.IndexFunc(t.modules, func(x *boundModule) bool {
				return x.Org == d.Org && x.ForKind == d.ForKind && x.Provisioner == d.Provisioner
			}); i >= 0 {
				t.again(e, diag.DuplicateModule, d.kindAt, t.modules[i].kindAt, fmt.Sprintf("%s for %s", d.ForKind, d.Provisioner))
				continue
			}
			t.modules = append(t.modules, d)
		}
		t.policies = append(t.policies, o.policies...)
		t.gatherPeople(e)
	}
	return t
}

func (t *ownTogether) twice(e *entry, code diag.Code, d, first Document) {
	at := place{line: int32(d.Pos.Line), col: int32(d.Pos.Column)}
	t.findings = append(t.findings, finding{freezes: []scope{e.layout.scope}, Diagnostic: e.file.text.show(diag.Diagnostic{Code: code,
		Detail: "kind " + d.Kind, Related: []diag.Related{{Pos: first.Pos, Message: "first defined here"}}}, at)})
}

func (t *ownTogether) again(e *entry, code diag.Code, at, first diag.Diagnostic, what string) {
	at.Code, at.Detail = code, what
	at.Related = []diag.Related{{Pos: first.Pos, Message: "first defined here"}}
	t.findings = append(t.findings, finding{freezes: []scope{e.layout.scope}, Diagnostic: at})
}

// contexts makes the context of each environment in envs, taking over equal ones of
// the last load.
func (t *ownTogether) contexts(envs []scope, last map[scope]*surroundings) map[scope]*surroundings {
	out := make(map[scope]*surroundings, len(envs))
	byOrg := map[string]*catalogue{}
	documents := make(map[scope]*Environment, len(t.environments))
	for _, e := range t.environments {
		documents[scope{e.Org, e.Slug}] = e
	}
	for _, s := range envs {
		c, ok := byOrg[s.org]
		if !ok {
			c = t.catalogue(s.org)
			for _, old := range last {
				if old.org == s.org && old.catalogue.equal(c) {
					c = old.catalogue
					break
				}
			}
			byOrg[s.org] = c
		}
		ctx := &surroundings{catalogue: c, org: s.org, provisioner: c.provisioner, engineVersions: c.engineVersions}
		if e := documents[s]; e != nil {
			ctx.protected = e.Spec.Protected
			ctx.provisioner = cmp.Or(e.Spec.Provisioner, ctx.provisioner)
			ctx.engineVersions = slices.Concat(e.Spec.EngineVersion, c.engineVersions)
		}
		if old, ok := last[s]; ok && old.equal(ctx) {
			ctx = old
		}
		out[s] = ctx
	}
	return out
}

// catalogue collects what counts for an organization: its own documents before the
// platform's.
func (t *ownTogether) catalogue(org string) *catalogue {
	c := &catalogue{components: map[string]*boundComponent{}, modules: map[moduleKey]*boundModule{}, hidden: map[string]bool{},
		unreadable: t.unreadable[scope{}] || t.unreadable[scope{org: org}]}
	for _, want := range []string{"", org} {
		for _, k := range t.hidden[scope{org: want}] {
			c.hidden[k] = true
		}
		for _, d := range t.components {
			if d.Org == want {
				c.components[d.RegisteredKind] = d
			}
		}
		for _, d := range t.modules {
			if d.Org == want {
				c.modules[moduleKey{d.Org, d.ForKind, d.Provisioner}] = d
			}
		}
	}
	for _, o := range t.organizations {
		if o.Slug == org {
			c.provisioner, c.engineVersions = o.Spec.Provisioner, o.Spec.EngineVersion
		}
	}
	c.names = append(sortedKeys(c.components), OwnKinds()...)
	return c
}
