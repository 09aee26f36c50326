package terraform

import (
	"fmt"
	"slices"

	tfjson "github.com/hashicorp/terraform-json"

	"github.com/stackreeve/stackreeve/reconciler/engine/facts"
)

// isOpen tells whether a plan leaves something open that the code settles when it is
// applied: a value that is made of others which are not known yet, a command, or what a
// provider is told. The plan shows neither the literal parts of such an expression nor
// the variables in it, so two plans may look alike and do something else.
func isOpen(in *tfjson.Plan, form digestForm) bool {
	if len(form.Provisioners) > 0 {
		return true
	}
	for _, o := range slices.Concat(form.Outputs, form.Invocations) {
		if o.Unknown {
			return true
		}
	}
	if in.Config == nil || in.Config.RootModule == nil {
		return false
	}
	for _, p := range in.Config.ProviderConfigs {
		if p != nil && refersAny(p.Expressions) {
			return true
		}
	}
	for _, rc := range in.ResourceChanges {
		if rc == nil || rc.Change == nil || rc.Change.Actions.NoOp() {
			continue
		}
		if r := configOf(in.Config.RootModule, rc); r != nil && len(openExpressions(rc.Change, r)) > 0 {
			return true
		}
	}
	return false
}

// openExpressions are those of the attributes that the configuration gives and the plan
// does not show: unknown ones, and those that are written and never read back.
func openExpressions(ch *tfjson.Change, r *tfjson.ConfigResource) []*tfjson.Expression {
	marks, _ := ch.AfterUnknown.(map[string]any)
	after, ok := ch.After.(map[string]any)
	if !ok && len(marks) == 0 {
		return nil // it goes
	}
	var out []*tfjson.Expression
	for name, e := range r.Expressions {
		if isUnknown(marks[name], e) ||
			e != nil && e.ExpressionData != nil && len(e.NestedBlocks) == 0 && after[name] == nil && e.ConstantValue != nil {
			out = append(out, e)
		}
	}
	return out
}

// isUnknown tells whether what an expression gives is marked as unknown. Of a block's
// attributes only those count that the configuration names: a provider makes the others
// up.
func isUnknown(mark any, e *tfjson.Expression) bool {
	if e == nil || e.ExpressionData == nil {
		return false
	}
	if len(e.NestedBlocks) == 0 || mark == true {
		return facts.AnyTrue(mark)
	}
	switch m := mark.(type) {
	case []any:
		return slices.ContainsFunc(m, func(one any) bool { return isUnknown(one, e) })
	case map[string]any:
		for _, block := range e.NestedBlocks { // which of them a mark is of cannot be told of a set
			for name, in := range block {
				if isUnknown(m[name], in) {
					return true
				}
			}
		}
	}
	return false
}

// refersAny tells whether an expression refers to anything.
func refersAny(all map[string]*tfjson.Expression) bool {
	for _, e := range all {
		if e == nil || e.ExpressionData == nil {
			continue
		}
		if len(e.References) > 0 || slices.ContainsFunc(e.NestedBlocks, refersAny) {
			return true
		}
	}
	return false
}

// providers lists what providers are told in constant words: where they work and as
// whom stands there and nowhere else in a plan.
func providers(in *tfjson.Plan) []string {
	if in.Config == nil {
		return nil
	}
	var out []string
	for _, p := range in.Config.ProviderConfigs {
		if p != nil && len(p.Expressions) > 0 {
			out = append(out, fmt.Sprintf("%s %s %s %s", p.ModuleAddress, p.FullName, p.Alias, facts.Canonical(p.Expressions)))
		}
	}
	slices.Sort(out)
	return out
}
