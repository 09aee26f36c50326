// Package facts writes down what engines say, in the same words for all of them: which
// attributes a change moves, what people read of a plan, and outputs that may be kept.
//
//	h := facts.Hider{Key: task.HashKey, Mask: facts.NewMasker(task.Secrets)}
//	attributes := h.Attributes(facts.Values{Before: before, After: after, AfterSensitive: marks}, nil)
//
// A sensitive value becomes a keyed hash, which tells equal values from different ones
// and not what they are. What is a secret of the task is sensitive wherever it stands,
// whether an engine marks it or not.
//
// The package knows no engine's formats: drivers read those, and hand over decoded
// JSON (numbers as json.Number) with trees of marks beside it.
package facts
