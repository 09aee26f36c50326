package diff

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/agext/levenshtein"

	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/schema"
)

// Value is what a reference stands for.
type Value struct {
	// JSON is the value, canonical; nil for a sensitive one.
	JSON json.RawMessage
	// Sealed is the whole sensitive output that the value is in, encrypted, and
	// Path the place of the value inside it, for Pick after it was opened.
	Sealed []byte
	Path   string
	// Hash is what to record for the reference in Observed.References: the
	// output's own hash. When it is "", record the keyed hash of JSON: that is so
	// for part of an output, for spec and for metadata, so that a move elsewhere in
	// the same output does not count.
	Hash      string
	Sensitive bool
}

// ReferenceName is the key of a reference in Observed.References:
// "org/env/Kind/name fieldPath".
func ReferenceName(ref schema.Reference) string { return string(appendReferenceName(nil, &ref)) }

func appendReferenceName(b []byte, ref *schema.Reference) []byte {
	for i, part := range [...]string{ref.To.Org, ref.To.Env, ref.To.Kind, ref.To.Name} {
		if i > 0 {
			b = append(b, '/')
		}
		b = append(b, part...)
	}
	b = append(b, ' ')
	return append(b, ref.FieldPath...)
}

func isNull(raw json.RawMessage) bool { return len(raw) == 0 || string(raw) == "null" }

// ResolveValue finds what ref stands for in what is recorded of its producer, or, for
// spec and metadata of a producer that was never applied, in the tree (which may be
// nil). The reason says what is missing and what there is; it holds no values.
func ResolveValue(ref schema.Reference, producer stackjob.Stack, tree *schema.Tree) (Value, *stackjob.Reason) {
	root, rest, _ := strings.Cut(ref.FieldPath, ".")
	switch {
	case root == "status" && strings.HasPrefix(rest, "outputs."):
		return outputValue(ref, strings.TrimPrefix(rest, "outputs."), producer)
	case root == "spec" && rest != "":
		return specValue(ref, rest, producer, tree)
	case ref.FieldPath == "metadata.name":
		return nameValue(ref, producer, tree)
	}
	return Value{}, missing(ref, "expected status.outputs.…, spec.… or metadata.name")
}

func outputValue(ref schema.Reference, path string, producer stackjob.Stack) (Value, *stackjob.Reason) {
	if producer.Observed == nil {
		return Value{}, missing(ref, ref.To.String()+" was never applied, so it has no outputs")
	}
	steps, err := parsePath(path)
	if err != nil {
		return Value{}, missing(ref, err.Error())
	}
	outputs := make(map[string]*stackjob.Output, len(producer.Observed.Outputs))
	for i := range producer.Observed.Outputs {
		o := &producer.Observed.Outputs[i]
		outputs[o.Name] = o
	}
	name, ok := match(outputs, steps[0].name)
	if !ok {
		detail := ref.To.String() + " has " + listNames("no outputs", "outputs: ", slices.Sorted(maps.Keys(outputs)))
		if !producer.Observed.Complete {
			detail += " (its last apply did not finish)"
		}
		return Value{}, missing(ref, detail+didYouMean(steps[0].name, slices.Sorted(maps.Keys(outputs))))
	}
	o := outputs[name]
	if o.Sensitive {
		return Value{Sealed: o.Sealed, Path: formatPath(steps[1:]), Hash: o.Hash, Sensitive: true}, nil
	}
	value, err := pick(o.Value, steps[1:], "output "+name)
	if err != nil {
		return Value{}, missing(ref, err.Error())
	}
	v := Value{JSON: value}
	if len(steps) == 1 {
		v.Hash = o.Hash
	}
	return v, nil
}

func specValue(ref schema.Reference, path string, producer stackjob.Stack, tree *schema.Tree) (Value, *stackjob.Reason) {
	var spec json.RawMessage
	switch r, ok := resourceIn(tree, ref.To); {
	case producer.Observed != nil:
		spec = producer.Observed.Desired.Spec
	case ok:
		spec = r.Spec
	default:
		return Value{}, missing(ref, ref.To.String()+" does not exist")
	}
	steps, err := parsePath(path)
	if err != nil {
		return Value{}, missing(ref, err.Error())
	}
	value, err := pick(spec, steps, "spec")
	if err != nil {
		return Value{}, missing(ref, err.Error())
	}
	// A field that can hold a value or a reference is written {value: …}.
	if refs, err := schema.ReferencesIn(value); err == nil && len(refs) > 0 {
		return Value{}, missing(ref, fmt.Sprintf("it is itself a reference to %s/%s %s; refer to that", refs[0].To.Kind, refs[0].To.Name, refs[0].FieldPath))
	}
	return Value{JSON: unwrap(value)}, nil
}

func nameValue(ref schema.Reference, producer stackjob.Stack, tree *schema.Tree) (Value, *stackjob.Reason) {
	var name string
	switch r, ok := resourceIn(tree, ref.To); {
	case producer.Observed != nil:
		name = producer.Observed.Desired.Name
	case ok:
		name = r.Metadata.Name
	default:
		return Value{}, missing(ref, ref.To.String()+" does not exist")
	}
	b, err := json.Marshal(name)
	if err != nil {
		return Value{}, missing(ref, "its name is no text")
	}
	if c, err := schema.Canonical(b); err == nil {
		b = c
	}
	return Value{JSON: b}, nil
}

func resourceIn(tree *schema.Tree, k schema.ResourceKey) (*schema.Resource, bool) {
	if tree == nil {
		return nil, false
	}
	return tree.Resource(k)
}

// unwrap takes the value out of {"value": …}, Planton's way to write a literal where
// a reference could stand.
func unwrap(value json.RawMessage) json.RawMessage {
	var m map[string]json.RawMessage
	if json.Unmarshal(value, &m) == nil && len(m) == 1 && m["value"] != nil {
		return m["value"]
	}
	return value
}

// Pick takes the value at path out of a JSON text: "" is all of it, "a.b[0]" and
// "a.b.0" the same place in it. Its error names the path and no value.
func Pick(value json.RawMessage, path string) (json.RawMessage, error) {
	var steps []step
	if path != "" {
		var err error
		if steps, err = parsePath(path); err != nil {
			return nil, err
		}
	}
	v, err := pick(value, steps, "the value")
	var absent *absentError
	if errors.As(err, &absent) {
		absent.has = nil // the keys of a sensitive value are as secret as it is
	}
	return v, err
}

// absentError says that there is nothing at a path.
type absentError struct {
	what, path, wrong string
	has               []string
	sought            string
}

// Error names the place and what stands beside it.
func (e *absentError) Error() string {
	s := e.what
	if e.path != "" {
		s += " at " + e.path
	}
	s += " " + e.wrong
	if len(e.has) > 0 {
		s += "; there is " + strings.Join(e.has, ", ") + didYouMean(e.sought, e.has)
	}
	return s
}

func pick(value json.RawMessage, steps []step, what string) (json.RawMessage, error) {
	v, err := decode(value)
	if err != nil {
		return nil, &absentError{what: what, wrong: "cannot be read"}
	}
	for i, s := range steps {
		here := formatPath(steps[:i])
		switch node := v.(type) {
		case map[string]any:
			name, ok := match(node, s.name)
			if !ok {
				return nil, &absentError{what: what, path: here, wrong: "has no " + strconv.Quote(s.name),
					has: slices.Sorted(maps.Keys(node)), sought: s.name}
			}
			v = node[name]
		case []any:
			n, err := strconv.Atoi(s.name)
			if err != nil {
				return nil, &absentError{what: what, path: here, wrong: "is a list, so a number must follow, not " + strconv.Quote(s.name)}
			}
			if n < 0 || n >= len(node) {
				return nil, &absentError{what: what, path: here, wrong: fmt.Sprintf("is a list of %d, so it has no [%d]", len(node), n)}
			}
			v = node[n]
		default:
			return nil, &absentError{what: what, path: here, wrong: "is a plain value and has nothing inside"}
		}
	}
	if v == nil {
		return nil, &absentError{what: what, path: formatPath(steps), wrong: "is null"}
	}
	b, err := json.Marshal(v)
	if err != nil {
		return nil, &absentError{what: what, wrong: "cannot be read"}
	}
	b, err = schema.Canonical(b)
	if err != nil {
		return nil, &absentError{what: what, wrong: "cannot be read"}
	}
	return b, nil
}

func missing(ref schema.Reference, why string) *stackjob.Reason {
	return &stackjob.Reason{Code: stackjob.ReasonMissingValue, Detail: ReferenceName(ref) + ": " + why}
}

// maxListed is how many names a sentence lists.
const maxListed = 20

func listNames(none, head string, names []string) string {
	if len(names) == 0 {
		return none
	}
	if len(names) > maxListed {
		return head + strings.Join(names[:maxListed], ", ") + fmt.Sprintf(" and %d more", len(names)-maxListed)
	}
	return head + strings.Join(names, ", ")
}

// didYouMean is a hint only when one name is near enough to be probably right.
func didYouMean(sought string, names []string) string {
	best, near := "", 0
	sought = snakeCase(sought)
	for _, n := range names {
		d := levenshtein.Distance(sought, snakeCase(n), nil)
		if d > max(1, len(sought)/4) {
			continue
		}
		if best == "" || d < near {
			best, near = n, d
		}
	}
	if best == "" {
		return ""
	}
	return "; did you mean " + strconv.Quote(best) + "?"
}
