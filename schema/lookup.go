package schema

import (
	"encoding/json"
	"strconv"
	"strings"
)

// Lookup finds a value of a JSON document by a field path such as "subnets.0.id" or
// "subnets[0].id", without the root ("spec.", "status.outputs."). A name that is not
// there is tried in its snake_case and camelCase spelling, as Planton's paths are
// written in both. A key that holds dots is found when it is the whole rest of the
// path.
func Lookup(doc json.RawMessage, path string) (json.RawMessage, bool) {
	a, err := decodeJSON(doc)
	if err != nil {
		return nil, false
	}
	v, ok := lookup(a, path)
	if !ok {
		return nil, false
	}
	return appendAny(nil, v), true
}

func lookup(a any, path string) (any, bool) {
	if path == "" {
		return a, true
	}
	switch a := a.(type) {
	case map[string]any:
		if v, ok := a[path]; ok {
			return v, true
		}
		head, rest := cutPath(path)
		for _, name := range []string{head, snakeCase(head), camelCase(head)} {
			if v, ok := a[name]; ok {
				// What stands behind a reference is not known yet; it is there.
				if _, ref := referenceOf(v); ref {
					return v, true
				}
				return lookup(v, rest)
			}
		}
	case []any:
		head, rest := cutPath(path)
		i, err := strconv.Atoi(head)
		if err != nil || i < 0 || i >= len(a) {
			return nil, false
		}
		return lookup(a[i], rest)
	}
	return nil, false
}

// cutPath splits the first name or index off a path.
func cutPath(path string) (head, rest string) {
	if inner, ok := strings.CutPrefix(path, "["); ok {
		head, rest, _ = strings.Cut(inner, "]")
		return head, strings.TrimPrefix(rest, ".")
	}
	i := strings.IndexAny(path, ".[")
	if i < 0 {
		return path, ""
	}
	if path[i] == '[' {
		return path[:i], path[i:]
	}
	return path[:i], path[i+1:]
}
