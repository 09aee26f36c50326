package schema

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"

	"github.com/stackreeve/stackreeve/schema/diag"
)

// notYetInPolicies are Planton's extensions of a policy that nothing executes yet. A
// policy that uses them is refused: ignoring them would make it weaker than written.
var notYetInPolicies = []string{"conditions", "schedule", "approvalRules"}

func (r *reader) policy(e *envelope, out *ownDocuments) {
	if r.usesExtensions(e) {
		e.bad = true
		return
	}
	var spec policySpec
	v := r.spec(e, &spec)
	if v == nil {
		return
	}
	p := &boundPolicy{Policy: &Policy{Document: e.Document, Org: r.layout.scope.org, Env: r.layout.scope.env, Prune: spec.Prune}}
	if p.Prune == "" {
		p.Prune = PruneFollow
	}
	p.Controls = Controls{IsManual: spec.FlowControl.IsManual, DisableOnLifecycleEvents: spec.FlowControl.DisableOnLifecycleEvents,
		SkipRefresh: spec.FlowControl.SkipRefresh, PreviewBeforeUpdateOrDestroy: true,
		PauseBetweenPreviewAndUpdateOrDestroy: spec.FlowControl.Pause}
	if !r.oldNames(v, &spec.FlowControl, &p.Controls) || !r.selector(v, &spec.Selector, p.Policy) || !r.people(v, &spec, p) {
		e.bad = true
		return
	}
	sf, _ := v.get("selector")
	p.at = r.text.show(diag.Diagnostic{}, sf.keyAt)
	out.policies = append(out.policies, p)
}

// usesExtensions reports parts that are not executed yet.
func (r *reader) usesExtensions(e *envelope) bool {
	found := false
	report := func(what string, at place) {
		found = true
		r.report(diag.Diagnostic{Code: diag.NotSupportedYet, Detail: what, Hint: "a policy must not be weaker than it is written, so it is not loaded without this part"}, at)
	}
	for _, a := range []string{"expires", "requires-approval"} {
		for _, k := range sortedKeys(e.Metadata.Annotations) {
			if k == a || strings.HasSuffix(k, "/"+a) {
				report("the annotation "+k, e.metaAt["annotations/"+k])
			}
		}
	}
	if e.spec == nil || e.spec.val.kind != mapValue {
		return found
	}
	parents := []*value{&e.spec.val}
	if fc, ok := e.spec.val.getEither("flowControl"); ok && fc.val.kind == mapValue {
		parents = append(parents, &fc.val)
	}
	for _, p := range parents {
		for _, name := range notYetInPolicies {
			if f, ok := p.getEither(name); ok {
				report(name, f.keyAt)
			}
		}
	}
	return found
}

// oldNames reads the older spelling of two controls. Both spellings at once is a
// mistake: they could disagree.
func (r *reader) oldNames(v *value, spec *controlsSpec, c *Controls) bool {
	fc, _ := v.get("flowControl")
	ok := true
	for _, n := range [][2]string{{"previewBeforeUpdateOrDestroy", "previewBeforeUpdate"},
		{"pauseBetweenPreviewAndUpdateOrDestroy", "pauseBetweenPreviewAndUpdate"}} {
		_, is := fc.val.get(n[0])
		if f, was := fc.val.get(n[1]); is && was {
			ok = false
			r.report(diag.Diagnostic{Code: diag.DuplicateKey, Detail: fmt.Sprintf("%q is the older name of %q", n[1], n[0])}, f.keyAt)
		}
	}
	if spec.OldPause != nil {
		c.PauseBetweenPreviewAndUpdateOrDestroy = *spec.OldPause
	}
	if spec.Preview != nil {
		c.PreviewBeforeUpdateOrDestroy = *spec.Preview
	}
	if spec.OldPreview != nil {
		c.PreviewBeforeUpdateOrDestroy = *spec.OldPreview
	}
	return ok
}

// selector reads what a policy selects, and checks that it lies below its folder.
func (r *reader) selector(v *value, s *selectorSpec, p *Policy) bool {
	sf, _ := v.get("selector")
	kf, _ := sf.val.get("kind")
	idAt := kf.val.at
	if f, ok := sf.val.get("id"); ok {
		idAt = f.val.at
	}
	p.Selector = Selector{ID: s.ID}
	if p.Selector.ID == "" {
		p.Selector.ID = "*"
	}
	if !doublestar.ValidatePattern(p.Selector.ID) {
		r.report(diag.Diagnostic{Code: diag.InvalidValue, Detail: "spec.selector.id", Found: fmt.Sprintf("%q", s.ID), Expected: "a slug or a glob"}, idAt)
		return false
	}
	reach := ""
	switch s.Kind {
	case "platform":
		p.Selector.Level = SelectPlatform
		p.Selector.ID = "*"
		if p.Org != "" {
			reach = "the whole platform"
		}
	case "organization":
		p.Selector.Level = SelectOrganization
		if p.Env != "" || p.Org != "" && !globMatch(p.Selector.ID, p.Org) {
			reach = "organization " + p.Selector.ID
		}
	case "environment":
		p.Selector.Level = SelectEnvironment
		if p.Env != "" && !globMatch(p.Selector.ID, p.Env) {
			reach = "environment " + p.Selector.ID
		}
	default:
		p.Selector.Level, p.Selector.Kind = SelectResource, pascalCase(s.Kind)
	}
	if reach != "" {
		r.report(diag.Diagnostic{Code: diag.PolicyReach, Detail: fmt.Sprintf("a policy in %s cannot select %s", r.layout.scope, reach),
			Hint: "move the policy to a folder above what it selects"}, idAt)
		return false
	}
	return true
}

// globMatch matches a slug; "*" matches any run of characters.
func globMatch(pattern, s string) bool {
	ok, err := doublestar.Match(pattern, s)
	return err == nil && ok
}

// isGlob tells whether an id is a pattern.
func isGlob(id string) bool { return strings.ContainsAny(id, `*?[{\`) }

// literalPrefix is how many characters of a glob stand before its first wildcard.
func literalPrefix(id string) int {
	if i := strings.IndexAny(id, `*?[{\`); i >= 0 {
		return i
	}
	return len(id)
}

// Specificity orders the policies that match a resource; the greatest one is used as a
// whole. The zero value is less specific than any match.
type Specificity struct {
	// Level is 1 for the platform, 4 for a resource.
	Level int
	// Exact says that the id is no glob.
	Exact bool
	// Prefix is how many characters a glob has before its first wildcard.
	Prefix int
	// Folder is 1 for a policy of the platform, 3 for one in the environment: among
	// equals the nearer one is meant.
	Folder int
}

// Compare is negative when s is less specific than o.
func (s Specificity) Compare(o Specificity) int {
	exact := func(b bool) int {
		if b {
			return 1
		}
		return 0
	}
	return cmp.Or(cmp.Compare(s.Level, o.Level), cmp.Compare(exact(s.Exact), exact(o.Exact)),
		cmp.Compare(s.Prefix, o.Prefix), cmp.Compare(s.Folder, o.Folder))
}

var levels = []SelectorLevel{SelectPlatform, SelectOrganization, SelectEnvironment, SelectResource}

// Specificity says how specific a policy is; it does not depend on the resource.
func (p *Policy) Specificity() Specificity {
	s := Specificity{Level: slices.Index(levels, p.Selector.Level) + 1, Exact: !isGlob(p.Selector.ID), Folder: 1}
	if !s.Exact {
		s.Prefix = literalPrefix(p.Selector.ID)
	}
	if p.Org != "" {
		s.Folder++
	}
	if p.Env != "" {
		s.Folder++
	}
	return s
}

// Reaches tells whether a policy could select a resource of an environment.
func (p *Policy) Reaches(org, env string) bool {
	if p.Selector.Level == SelectResource {
		return (scope{p.Org, p.Env}).covers(scope{org, env})
	}
	return p.Matches(ResourceKey{Org: org, Env: env})
}

// Matches tells whether a policy selects a resource.
func (p *Policy) Matches(k ResourceKey) bool {
	if !(scope{p.Org, p.Env}).covers(scope{k.Org, k.Env}) {
		return false
	}
	id := p.Selector.ID
	if id == "" {
		id = "*"
	}
	switch p.Selector.Level {
	case SelectPlatform:
		return true
	case SelectOrganization:
		return globMatch(id, k.Org)
	case SelectEnvironment:
		return globMatch(id, k.Env)
	case SelectResource:
		return p.Selector.Kind == k.Kind && globMatch(id, k.Name)
	}
	return false
}
