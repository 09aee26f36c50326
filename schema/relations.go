package schema

import (
	"fmt"
	"slices"
	"strings"

	"github.com/stackreeve/stackreeve/schema/diag"
)

// references checks that every edge leads somewhere, and that none leads in a circle.
func (a *assembly) references() {
	hidden := a.hiddenScopes()
	for _, e := range a.entries {
		if e.bound == nil {
			continue
		}
		for _, l := range [][]*Resource{e.bound.resources, e.bound.broken} {
			for _, r := range l {
				for i := range r.References {
					a.reference(e, &r.References[i], hidden)
				}
			}
		}
	}
	a.cycles()
}

// hiddenScopes are the scopes in which a document could not be read, so that a missing
// resource there may only be hidden.
func (a *assembly) hiddenScopes() map[scope]bool {
	out := map[scope]bool{}
	for _, e := range a.entries {
		if e.file.unreadable {
			out[e.layout.scope] = true
		}
	}
	return out
}

// reference checks one edge.
func (a *assembly) reference(e *entry, r *Reference, hidden map[scope]bool) {
	if target, ok := a.out.byKey[r.To]; ok {
		a.fieldOf(e, r, target)
		return
	}
	if r.To.Kind == "" {
		d := diag.Diagnostic{Code: diag.IncompleteReference, Detail: fmt.Sprintf("%s has no kind", r.Path), Expected: "kind, name and fieldPath"}
		if kinds := a.kindsNamed(r.To); len(kinds) > 0 {
			d.Hint = fmt.Sprintf("%s is the name of: %s", r.To.Name, strings.Join(kinds, ", "))
		}
		a.reportEdge(e, r, d)
		return
	}
	_, wrong := a.declared[r.To]
	to := scope{r.To.Org, r.To.Env}
	if wrong || hidden[to] || hidden[scope{org: to.org}] || hidden[scope{}] {
		if to != e.layout.scope {
			a.producerUnknown(e, r, to)
		}
		return
	}
	d := diag.Diagnostic{Code: diag.DanglingReference, Detail: fmt.Sprintf("%s needs %s", r.Path, r.To), Found: "no such resource"}
	d.Hint = a.danglingHint(r)
	a.reportEdge(e, r, d)
}

func (a *assembly) reportEdge(e *entry, r *Reference, d diag.Diagnostic) {
	at := place{line: int32(r.Pos.Line), col: int32(r.Pos.Column)}
	a.findings = append(a.findings, finding{Diagnostic: e.file.text.show(d, at), freezes: []scope{e.layout.scope}})
}

// fieldOf checks that a spec field that is read is there: nothing else would fill it.
func (a *assembly) fieldOf(e *entry, r *Reference, target *Resource) {
	rest, ok := strings.CutPrefix(r.FieldPath, "spec.")
	if !ok {
		return
	}
	if _, ok := Lookup(target.Spec, rest); ok {
		return
	}
	a.reportEdge(e, r, diag.Diagnostic{Code: diag.DanglingReference, Detail: fmt.Sprintf("%s needs %s of %s", r.Path, r.FieldPath, r.To),
		Found: "no such field", Related: []diag.Related{{Pos: target.NamePos, Message: "the resource is here"}}})
}

// producerUnknown freezes the folder of a reference whose target may be hidden by
// another error, which is the one to repair.
func (a *assembly) producerUnknown(e *entry, r *Reference, to scope) {
	d := diag.Diagnostic{Code: diag.ProducerUnknown, Severity: diag.Warning, Detail: fmt.Sprintf("%s needs %s", r.Path, r.To)}
	var cause *finding
	for i := range a.findings {
		f := &a.findings[i]
		if f.Severity != diag.Error || !slices.ContainsFunc(f.freezes, func(s scope) bool { return s.covers(to) }) {
			continue
		}
		if cause == nil || f.Compare(cause.Diagnostic) < 0 {
			cause = f
		}
	}
	if cause != nil {
		d.Related = []diag.Related{{Pos: cause.Pos, Message: "repair this first: " + cause.Summary()}}
	}
	a.reportEdge(e, r, d)
}

// kindsNamed lists the kinds of the resources of a name in an environment.
func (a *assembly) kindsNamed(k ResourceKey) []string {
	var out []string
	for d := range a.declared {
		if d.Org == k.Org && d.Env == k.Env && d.Name == k.Name {
			out = append(out, d.Kind)
		}
	}
	slices.Sort(out)
	return out
}

// danglingHint looks for what was probably meant: the same name in another
// environment, a similar name, or another kind of that name.
func (a *assembly) danglingHint(r *Reference) string {
	var names, envs []string
	for d := range a.declared {
		if d.Org != r.To.Org || d.Kind != r.To.Kind {
			continue
		}
		if d.Env == r.To.Env {
			names = append(names, d.Name)
		}
		if d.Name == r.To.Name {
			envs = append(envs, d.Env)
		}
	}
	slices.Sort(names)
	slices.Sort(envs)
	if len(envs) > 0 {
		return fmt.Sprintf("there is one in environment %s: add env: %s", strings.Join(envs, ", "), envs[0])
	}
	if h := didYouMean(r.To.Name, names); h != "" {
		return h
	}
	if kinds := a.kindsNamed(r.To); len(kinds) > 0 {
		return fmt.Sprintf("%s is the name of: %s", r.To.Name, strings.Join(kinds, ", "))
	}
	if h := didYouMean(r.To.Kind, a.allKinds()); h != "" {
		return h
	}
	return ""
}

func (a *assembly) allKinds() []string {
	seen := map[string]bool{}
	for d := range a.declared {
		seen[d.Kind] = true
	}
	return sortedKeys(seen)
}
