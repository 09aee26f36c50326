package terraform

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

// values are the five parallel trees of a change: what is, what shall be, and the
// marks on them.
type values struct {
	before, after, unknown          any
	beforeSensitive, afterSensitive any
}

// flattener makes a list of changed attributes of the trees.
type flattener struct {
	converter
	forced []any // paths that force a replacement
	out    []stackjob.AttributeChange
}

// walk goes down to the leaves that differ. A mark on a node covers all below it.
func (f *flattener) walk(path []any, v values) {
	if v.unknown == true || v.beforeSensitive == true || v.afterSensitive == true {
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
func (f *flattener) leaf(path []any, v values) {
	a := stackjob.AttributeChange{
		Path:      pathText(path),
		Unknown:   anyTrue(v.unknown),
		Sensitive: anyTrue(v.beforeSensitive) || anyTrue(v.afterSensitive) || f.holdsSecret(v.before) || f.holdsSecret(v.after),
		Forces:    f.forces(path),
	}
	a.Before = f.value(v.before, a.Sensitive)
	if !a.Unknown {
		a.After = f.value(v.after, a.Sensitive)
	}
	remarked := anyTrue(v.beforeSensitive) != anyTrue(v.afterSensitive) && v.before != nil && v.after != nil
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
func keysOf(v values) ([]string, bool) {
	set := map[string]bool{}
	for _, side := range []any{v.before, v.after} {
		m, ok := side.(map[string]any)
		if !ok && side != nil {
			return nil, false
		}
		for k := range m {
			set[k] = true
		}
	}
	if m, ok := v.unknown.(map[string]any); ok {
		for k := range m {
			set[k] = true
		}
	}
	if v.before == nil && v.after == nil {
		_, ok := v.unknown.(map[string]any)
		return slices.Sorted(maps.Keys(set)), ok && len(set) > 0
	}
	return slices.Sorted(maps.Keys(set)), len(set) > 0
}

func lengthOf(v values) (int, bool) {
	n := 0
	for _, side := range []any{v.before, v.after} {
		l, ok := side.([]any)
		if !ok && side != nil {
			return 0, false
		}
		n = max(n, len(l))
	}
	if l, ok := v.unknown.([]any); ok {
		n = max(n, len(l))
	}
	return n, n > 0
}

func (v values) child(step any) values {
	return values{child(v.before, step), child(v.after, step), child(v.unknown, step),
		child(v.beforeSensitive, step), child(v.afterSensitive, step)}
}

func child(v, step any) any {
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

// pathText writes a path as the engines' language does.
func pathText(path []any) string {
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
