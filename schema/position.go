package schema

import (
	"strconv"

	"github.com/stackreeve/stackreeve/schema/diag"
)

// Position finds where a value of a resource's document stands, by its path from the
// document's root ("spec.subnets[0].cidr", "metadata.name"), in either spelling of its
// fields. A path whose end is not written, such as a default, gives the place of
// the part that is, and false.
//
// Places are not kept in memory: the document is parsed again, which is meant for
// showing one value, not for all of them.
func (t *Tree) Position(k ResourceKey, path string) (diag.Position, bool) {
	r, ok := t.byKey[k]
	if !ok {
		return diag.Position{}, false
	}
	e, ok := t.files[r.Pos.File]
	if !ok {
		return r.Pos, false
	}
	docs, _ := parse(&text{path: e.path, data: e.file.text.data}, t.options)
	for i := range docs {
		if e.file.text.position(docs[i].at) == r.Pos {
			at, found := docs[i].find(path)
			return e.file.text.position(at), found
		}
	}
	return r.Pos, false
}

// find follows a path as far as it goes.
func (v *value) find(path string) (place, bool) {
	at := v.at
	for path != "" {
		head, rest := cutPath(path)
		switch v.kind {
		case mapValue:
			f, ok := v.get(path)
			if ok {
				return f.val.at, true
			}
			if f, ok = v.getEither(head); !ok {
				if f, ok = v.getEither(camelCase(head)); !ok {
					return at, false
				}
			}
			v = &f.val
		case listValue:
			i, err := strconv.Atoi(head)
			if err != nil || i < 0 || i >= len(v.fields) {
				return at, false
			}
			v = &v.fields[i].val
		default:
			return at, false
		}
		at, path = v.at, rest
	}
	return at, true
}
