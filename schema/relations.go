package schema

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/stackreeve/stackreeve/schema/diag"
)

// references checks that every edge leads somewhere, and that none leads in a circle.
func (a *assembly) references() {
	hidden := a.hiddenScopes()
	a.causes, a.beforeReferences = map[scope]*finding{}, len(a.findings)
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
	d := diag.Diagnostic{Code: diag.DanglingReference, Detail: fmt.Sprintf("%s needs %s of %s", r.Path, r.FieldPath, r.To),
		Found: "no such field", Related: []diag.Related{{Pos: target.NamePos, Message: "the resource is here"}}}
	if len(target.SecretInputs) > 0 {
		d.Hint = "what its schema marks as secret is not there to be read; refer to a sensitive output"
	}
	a.reportEdge(e, r, d)
}

// producerUnknown freezes the folder of a reference whose target may be hidden by
// another error, which is the one to repair.
func (a *assembly) producerUnknown(e *entry, r *Reference, to scope) {
	d := diag.Diagnostic{Code: diag.ProducerUnknown, Severity: diag.Warning, Detail: fmt.Sprintf("%s needs %s", r.Path, r.To)}
	if cause := a.causeIn(to); cause != nil {
		d.Related = []diag.Related{{Pos: cause.Pos, Message: "repair this first: " + cause.Summary()}}
	}
	a.reportEdge(e, r, d)
}

// causeIn is the first error that freezes a scope, among those known before references
// are looked at.
func (a *assembly) causeIn(to scope) *finding {
	if c, ok := a.causes[to]; ok {
		return c
	}
	var cause *finding
	for i := range a.findings[:a.beforeReferences] {
		f := &a.findings[i]
		if f.Severity != diag.Error || !slices.ContainsFunc(f.freezes, func(s scope) bool { return s.covers(to) }) {
			continue
		}
		if cause == nil || f.Compare(cause.Diagnostic) < 0 {
			cause = f
		}
	}
	if cause != nil {
		kept := *cause
		cause = &kept
	}
	a.causes[to] = cause
	return cause
}

// names is an index of all declared resources for hints, made when first needed.
type names struct {
	// kinds are by environment and name, envs by kind and name, others by environment
	// and kind; the key's unused fields are empty.
	kinds, envs, others map[ResourceKey][]string
	all                 []string
}

func (a *assembly) names() *names {
	if a.index != nil {
		return a.index
	}
	n := &names{kinds: map[ResourceKey][]string{}, envs: map[ResourceKey][]string{}, others: map[ResourceKey][]string{}}
	seen := map[string]bool{}
	for _, k := range slices.SortedFunc(maps.Keys(a.declared), ResourceKey.Compare) {
		byName, byKind, rest := k, k, k
		byName.Kind, byKind.Env, rest.Name = "", "", ""
		n.kinds[byName] = append(n.kinds[byName], k.Kind)
		n.envs[byKind] = append(n.envs[byKind], k.Env)
		n.others[rest] = append(n.others[rest], k.Name)
		seen[k.Kind] = true
	}
	n.all = sortedKeys(seen)
	a.index = n
	return n
}

// kindsNamed lists the kinds of the resources of a name in an environment.
func (a *assembly) kindsNamed(k ResourceKey) []string {
	k.Kind = ""
	return a.names().kinds[k]
}

// danglingHint looks for what was probably meant: the same name in another
// environment, a similar name, or another kind of that name.
func (a *assembly) danglingHint(r *Reference) string {
	n := a.names()
	elsewhere, beside := r.To, r.To
	elsewhere.Env, beside.Name = "", ""
	if envs := n.envs[elsewhere]; len(envs) > 0 {
		return fmt.Sprintf("there is one in environment %s: add env: %s", strings.Join(envs, ", "), envs[0])
	}
	if h := didYouMean(r.To.Name, n.others[beside]); h != "" {
		return h
	}
	if kinds := a.kindsNamed(r.To); len(kinds) > 0 {
		return fmt.Sprintf("%s is the name of: %s", r.To.Name, strings.Join(kinds, ", "))
	}
	return didYouMean(r.To.Kind, n.all)
}
