package pulumi

import (
	"maps"
	"slices"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/common/apitype"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"

	"github.com/stackreeve/stackreeve/reconciler/engine/facts"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
)

// sides are a value before and after, with their marks.
type sides struct{ before, after property }

func (s sides) values() facts.Values {
	return facts.Values{Before: s.before.value, After: s.after.value, Unknown: s.after.unknown,
		BeforeSensitive: s.before.sensitive, AfterSensitive: s.after.sensitive}
}

// known reads properties of an event. A property that holds a secret is taken from the
// state, where it can be read.
func (c converter) known(event, recorded map[string]any) property {
	return c.read(event, func(k string) (any, bool) { v, ok := recorded[k]; return v, ok })
}

// after reads the properties that a step leads to. Those with a secret that moved are
// in the saved plan, those that stay are as they were.
func (c converter) after(event map[string]any, diff planDiff, before property) property {
	p := c.read(event, func(k string) (any, bool) {
		if v, ok := diff.Updates[k]; ok {
			return v, true
		}
		v, ok := diff.Adds[k]
		return v, ok
	})
	for k, v := range event {
		if !holdsSecret(v) || diff.moves(k) {
			continue
		}
		p.set(k, property{value: facts.Child(before.value, k), sensitive: facts.Child(before.sensitive, k)})
	}
	return p
}

func (c converter) read(event map[string]any, from func(key string) (any, bool)) property {
	if event == nil {
		return property{}
	}
	p := property{value: make(map[string]any, len(event))}
	for k, v := range event {
		if strings.HasPrefix(k, "__") { // the engine's and bridges' own
			continue
		}
		if holdsSecret(v) {
			if real, ok := from(k); ok {
				v = real
			}
		}
		below, _ := readProperty(v, c.open) // what cannot be read has its mark and no value
		p.set(k, below)
	}
	return p
}

// forcing are the paths that force a replacement.
func forcing(md *apitype.StepEventMetadata) []any {
	var out []any
	add := func(path string) {
		if steps, ok := stepsOf(path); ok {
			out = append(out, steps)
		}
	}
	for path, d := range md.DetailedDiff {
		switch d.Kind {
		case apitype.DiffAddReplace, apitype.DiffDeleteReplace, apitype.DiffUpdateReplace:
			add(path)
		}
	}
	if len(out) == 0 {
		for _, key := range md.Keys {
			add(key)
		}
	}
	return out
}

func stepsOf(path string) ([]any, bool) {
	p, err := resource.ParsePropertyPath(path)
	return []any(p), err == nil && len(p) > 0
}

// named adds the properties that the provider names as moved and whose values tell
// nothing of it: what was found outside while its input stayed.
func (c converter) named(have []stackjob.AttributeChange, md *apitype.StepEventMetadata, in, was sides, forced []any) []stackjob.AttributeChange {
	for _, path := range slices.Sorted(maps.Keys(md.DetailedDiff)) {
		steps, ok := stepsOf(path)
		if !ok || slices.ContainsFunc(have, func(a stackjob.AttributeChange) bool {
			return a.Path == facts.PathText(steps) || strings.HasPrefix(a.Path, facts.PathText(steps)+".") || strings.HasPrefix(a.Path, facts.PathText(steps)+"[")
		}) {
			continue
		}
		v := facts.Values{Before: at(was.before.value, steps), BeforeSensitive: at(was.before.sensitive, steps),
			After: at(in.after.value, steps), AfterSensitive: at(in.after.sensitive, steps), Unknown: at(in.after.unknown, steps)}
		if v.Before == nil {
			v.Before = at(in.before.value, steps)
		}
		a := c.Whole(v)
		a.Path = facts.PathText(steps)
		a.Forces = slices.ContainsFunc(forced, func(f any) bool { return facts.PathText(f.([]any)) == a.Path })
		if a.Unknown || string(a.Before) != string(a.After) || a.Sensitive {
			have = append(have, a)
		}
	}
	return have
}

func at(v any, steps []any) any {
	for _, s := range steps {
		if v == true { // a mark covers all below
			return true
		}
		v = facts.Child(v, s)
	}
	return v
}

// hideClosed takes the values of secrets out of both sides: nobody is told what a
// refresh found of a secret, so nothing can be said by comparing.
func hideClosed(s *sides) {
	m, ok := s.after.value.(map[string]any)
	if !ok {
		return
	}
	before, _ := s.before.value.(map[string]any)
	for k := range m {
		if facts.AnyTrue(facts.Child(s.after.sensitive, k)) && facts.AnyTrue(facts.Child(s.before.sensitive, k)) {
			m[k] = nil
			if before != nil {
				before[k] = nil
			}
		}
	}
}
