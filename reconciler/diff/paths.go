package diff

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
)

// movedPaths names the places in which two JSON texts differ: "spec.cidr",
// "tags[2]". Something that is only in one of them is named as a whole, and so is a
// reference: what is inside valueFrom is not a place of its own.
func movedPaths(was, is json.RawMessage) []string {
	a, errA := decode(was)
	b, errB := decode(is)
	if errA != nil || errB != nil {
		return nil
	}
	var out []string
	comparePaths("", a, b, &out)
	return out
}

func comparePaths(path string, a, b any, out *[]string) {
	if am, ok := a.(map[string]any); ok && !isReference(am) {
		if bm, ok := b.(map[string]any); ok && !isReference(bm) {
			keys := maps.Clone(am)
			maps.Copy(keys, bm)
			for _, k := range slices.Sorted(maps.Keys(keys)) {
				av, inA := am[k]
				bv, inB := bm[k]
				if inA != inB {
					*out = append(*out, join(path, k))
					continue
				}
				comparePaths(join(path, k), av, bv, out)
			}
			return
		}
	}
	if al, ok := a.([]any); ok {
		if bl, ok := b.([]any); ok && len(al) == len(bl) {
			for i := range al {
				comparePaths(fmt.Sprintf("%s[%d]", path, i), al[i], bl[i], out)
			}
			return
		}
	}
	if !equalJSON(a, b) {
		*out = append(*out, path)
	}
}

func isReference(m map[string]any) bool { _, ok := m["valueFrom"]; return ok && len(m) == 1 }

func equalJSON(a, b any) bool {
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && bytes.Equal(x, y)
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

func decode(raw json.RawMessage) (any, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, fmt.Errorf("decode JSON: %w", err)
	}
	return v, nil
}
