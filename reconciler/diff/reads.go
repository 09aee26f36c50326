package diff

import (
	"bytes"
	"strings"

	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/schema"
)

// outputsRoot begins the path of what only an apply can tell.
const outputsRoot = "status.outputs."

// WillMove tells whether applying its producer as a plan says gives a reference another
// value than it has now, or one that nobody knows before: what reads it cannot be planned
// yet without guessing. What the documents alone tell is SpecMoves's.
func WillMove(ref schema.Reference, plan stackjob.Plan) bool {
	rest, is := strings.CutPrefix(ref.FieldPath, outputsRoot)
	if !is {
		return false
	}
	steps, err := parsePath(rest)
	if err != nil {
		return false // the job says so
	}
	changes := make(map[string]stackjob.OutputChange, len(plan.Outputs))
	for _, o := range plan.Outputs {
		changes[o.Name] = o
	}
	name, ok := match(changes, steps[0].name)
	if !ok || changes[name].Action == stackjob.NoOp {
		return false
	}
	o := changes[name]
	if len(steps) == 1 || o.Unknown || o.Sensitive {
		return true
	}
	before, errBefore := pick(o.Before, steps[1:], "output "+name)
	after, errAfter := pick(o.After, steps[1:], "output "+name)
	return errBefore != nil || errAfter != nil || !bytes.Equal(before, after)
}

// SpecMoves tells whether a reference to the spec or the name of a producer has another
// value in a tree than what was last applied of that producer.
func SpecMoves(ref schema.Reference, producer stackjob.Stack, tree *schema.Tree) bool {
	if producer.Observed == nil || strings.HasPrefix(ref.FieldPath, outputsRoot) {
		return false
	}
	was, missing := ResolveValue(ref, producer, tree)
	is, gone := ResolveValue(ref, stackjob.Stack{Key: producer.Key}, tree)
	return missing == nil && gone == nil && !bytes.Equal(was.JSON, is.JSON)
}
