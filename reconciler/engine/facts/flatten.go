package facts

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/stackreeve/stackreeve/reconciler/stackjob"
)

// Values are the five parallel trees of a change, decoded JSON: what is, what shall be,
// and the marks on them. A mark is true where all below is meant.
type Values struct {
	Before, After, Unknown          any
	BeforeSensitive, AfterSensitive any
}

// Hider writes values so that nobody reads a secret in them.
type Hider struct {
	// Key keys the hashes that stand for sensitive values.
	Key  []byte
	Mask Masker
}

// Attributes lists the leaves that differ. forced are the paths, lists of steps, that
// force a replacement.
func (h Hider) Attributes(v Values, forced []any) []stackjob.AttributeChange {
	f := flattener{Hider: h, forced: forced}
	f.walk(nil, v)
	return f.out
}

// flattener makes a list of changed attributes of the trees.
type flattener struct {
	Hider
	forced []any // paths that force a replacement
	out    []stackjob.AttributeChange
}

// walk goes down to the leaves that differ. A mark on a node covers all below it.
func (f *flattener) walk(path []any, v Values) {
	if v.Unknown == true || v.BeforeSensitive == true || v.AfterSensitive == true {
		f.leaf(path, v)
		return
	}
	if keys, ok := keysOf(v); ok {
		for _, k := range keys {
			f.walk(append(slices.Clone(path), k), v.child(k))
		}
		return
	}
	if n, ok := lengthOf(v); ok {
		for i := range n {
			f.walk(append(slices.Clone(path), i), v.child(i))
		}
		return
	}
	f.leaf(path, v)
}

// leaf adds an attribute, if it changes.
func (f *flattener) leaf(path []any, v Values) {
	a := stackjob.AttributeChange{
		Path:      PathText(path),
		Unknown:   AnyTrue(v.Unknown),
		Sensitive: AnyTrue(v.BeforeSensitive) || AnyTrue(v.AfterSensitive) || f.Mask.HasInValue(v.Before) || f.Mask.HasInValue(v.After),
		Forces:    f.forces(path),
	}
	a.Before = f.Value(v.Before, a.Sensitive)
	if !a.Unknown {
		a.After = f.Value(v.After, a.Sensitive)
	}
	remarked := AnyTrue(v.BeforeSensitive) != AnyTrue(v.AfterSensitive) && v.Before != nil && v.After != nil
	if !a.Unknown && bytes.Equal(a.Before, a.After) && !remarked {
		return
	}
	f.out = append(f.out, a)
}

// forces tells whether a path lies on one that forces a replacement.
func (f *flattener) forces(path []any) bool {
	return slices.ContainsFunc(f.forced, func(forced any) bool {
		steps, ok := forced.([]any)
		if !ok {
			return false
		}
		for i := range min(len(steps), len(path)) {
			if stepText(steps[i]) != stepText(path[i]) {
				return false
			}
		}
		return true
	})
}

func stepText(step any) string {
	if n, ok := step.(float64); ok {
		return strconv.FormatFloat(n, 'f', -1, 64)
	}
	return fmt.Sprint(step) // string, int or json.Number
}

// keysOf are the sorted keys when all that is there is an object, and one of them
// has something in it.
func keysOf(v Values) ([]string, bool) {
	set := map[string]bool{}
	for _, side := range []any{v.Before, v.After} {
		m, ok := side.(map[string]any)
		if !ok && side != nil {
			return nil, false
		}
		for k := range m {
			set[k] = true
		}
	}
	if m, ok := v.Unknown.(map[string]any); ok {
		for k := range m {
			set[k] = true
		}
	}
	if v.Before == nil && v.After == nil {
		_, ok := v.Unknown.(map[string]any)
		return slices.Sorted(maps.Keys(set)), ok && len(set) > 0
	}
	return slices.Sorted(maps.Keys(set)), len(set) > 0
}

func lengthOf(v Values) (int, bool) {
	n := 0
	for _, side := range []any{v.Before, v.After} {
		l, ok := side.([]any)
		if !ok && side != nil {
			return 0, false
		}
		n = max(n, len(l))
	}
	if l, ok := v.Unknown.([]any); ok {
		n = max(n, len(l))
	}
	return n, n > 0
}

func (v Values) child(step any) Values {
	return Values{Child(v.Before, step), Child(v.After, step), Child(v.Unknown, step),
		Child(v.BeforeSensitive, step), Child(v.AfterSensitive, step)}
}

// Child is what a step leads to in a decoded JSON value; nil for nothing.
func Child(v, step any) any {
	switch k := step.(type) {
	case string:
		if m, ok := v.(map[string]any); ok {
			return m[k]
		}
	case int:
		if l, ok := v.([]any); ok && k < len(l) {
			return l[k]
		}
	}
	return nil
}

var identifier = regexp.MustCompile(`^[\p{L}_][\p{L}\p{N}_-]*$`)

// PathText writes a path as the engines' language does.
func PathText(path []any) string {
	var b strings.Builder
	for _, step := range path {
		switch k := step.(type) {
		case int:
			fmt.Fprintf(&b, "[%d]", k)
		case string:
			if !identifier.MatchString(k) {
				quoted, _ := json.Marshal(k) // a string always can
				fmt.Fprintf(&b, "[%s]", quoted)
				continue
			}
			if b.Len() > 0 {
				b.WriteByte('.')
			}
			b.WriteString(k)
		}
	}
	return b.String()
}

// Whole is a change as one value: an output is one to those who read it.
func (h Hider) Whole(v Values) stackjob.AttributeChange {
	var a stackjob.AttributeChange
	a.Sensitive = AnyTrue(v.BeforeSensitive) || AnyTrue(v.AfterSensitive) || h.Mask.HasInValue(v.Before) || h.Mask.HasInValue(v.After)
	a.Unknown = AnyTrue(v.Unknown)
	a.Before = h.Value(v.Before, a.Sensitive)
	if !a.Unknown {
		a.After = h.Value(v.After, a.Sensitive)
	}
	return a
}
