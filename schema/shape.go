package schema

import (
	"slices"
	"strconv"
	"strings"
)

// shape is what the loader needs to know of a JSON Schema beside validation: the
// names of properties, which values are secret, and the defaults. Where a schema
// is composed (allOf, anyOf, oneOf, if) its shape is the union of the parts.
type shape struct {
	props map[string]*shape
	// spelled maps other spellings (camelCase, snake_case) to property names.
	spelled map[string]string
	// values is the shape of a map's values; items of a list's.
	values, items *shape
	prefix        []*shape
	// open says that properties beyond props are allowed.
	open      bool
	sensitive bool
	// nullable says that null is a value of its own.
	nullable bool
	// scalar says that the schema speaks of scalars only.
	scalar     bool
	def        any
	hasDefault bool
}

// anyShape is the shape of what no schema describes.
var anyShape = &shape{open: true, nullable: true}

// isRefOrValue tells whether the shape is Planton's StringValueOrRef: an object of
// value and valueFrom.
func (s *shape) isRefOrValue() bool {
	if len(s.props) != 2 {
		return false
	}
	_, v := s.props["value"]
	_, f := s.props["valueFrom"]
	if !f {
		_, f = s.props["value_from"]
	}
	return v && f
}

// isFree tells whether the shape says nothing about a map's keys: they are data.
func (s *shape) isFree() bool { return len(s.props) == 0 }

// property finds a property by its name or another spelling of it.
func (s *shape) property(key string) (string, *shape, bool) {
	if p, ok := s.props[key]; ok {
		return key, p, true
	}
	if name, ok := s.spelled[key]; ok {
		return name, s.props[name], true
	}
	return "", nil, false
}

// item is the shape of a list's i-th item.
func (s *shape) item(i int) *shape {
	if i < len(s.prefix) {
		return s.prefix[i]
	}
	if s.items != nil {
		return s.items
	}
	return anyShape
}

// value is the shape of a map's values.
func (s *shape) value() *shape {
	if s.values != nil {
		return s.values
	}
	return anyShape
}

// shaper reads the shape of one schema document.
type shaper struct {
	root any
	// seen ends recursion: a schema may refer to itself.
	seen map[string]*shape
}

// shapeOf reads a schema's shape. It accepts anything: whether the schema is valid is
// the validator's to say.
func shapeOf(schema any) *shape {
	sh := &shaper{root: schema, seen: map[string]*shape{}}
	return sh.at("", schema)
}

// at reads the subschema at a JSON pointer.
func (sh *shaper) at(pointer string, schema any) *shape {
	if s, ok := sh.seen[pointer]; ok {
		return s
	}
	s := &shape{}
	sh.seen[pointer] = s
	sh.read(s, pointer, schema)
	for name := range s.props {
		for _, other := range []string{snakeCase(name), camelCase(name)} {
			if _, taken := s.props[other]; !taken {
				if s.spelled == nil {
					s.spelled = map[string]string{}
				}
				s.spelled[other] = name
			}
		}
	}
	return s
}

// read adds what a schema says to a shape.
func (sh *shaper) read(s *shape, pointer string, schema any) {
	m, ok := schema.(map[string]any)
	if !ok {
		s.open = true
		return
	}
	if ref, ok := m["$ref"].(string); ok {
		if target, ptr, ok := sh.lookup(ref); ok {
			s.merge(sh.at(ptr, target))
		} else {
			s.open = true
		}
	}
	if props, ok := m["properties"].(map[string]any); ok {
		if s.props == nil {
			s.props = make(map[string]*shape, len(props))
		}
		for name, p := range props {
			ps := sh.at(pointer+"/properties/"+escapePointer(name), p)
			if old, ok := s.props[name]; ok {
				both := *old
				both.merge(ps)
				ps = &both
			}
			s.props[name] = ps
		}
	}
	for _, k := range []string{"additionalProperties", "unevaluatedProperties"} {
		if ap, ok := m[k]; ok && ap != false {
			s.open = true
			s.values = sh.at(pointer+"/"+k, ap)
		}
	}
	if pp, ok := m["patternProperties"].(map[string]any); ok {
		s.open = true
		if s.values == nil {
			s.values = &shape{}
		}
		for _, k := range sortedKeys(pp) {
			s.values.merge(sh.at(pointer+"/patternProperties/"+escapePointer(k), pp[k]))
		}
	}
	if items, ok := m["items"]; ok {
		s.items = sh.at(pointer+"/items", items)
	}
	if prefix, ok := m["prefixItems"].([]any); ok {
		for i, p := range prefix {
			s.prefix = append(s.prefix, sh.at(pointer+"/prefixItems/"+strconv.Itoa(i), p))
		}
	}
	s.sensitive = s.sensitive || m["writeOnly"] == true || m["x-sensitive"] == true
	s.scalar = s.scalar || isScalarType(m["type"])
	s.nullable = s.nullable || allowsNull(m)
	if d, ok := m["default"]; ok {
		s.def, s.hasDefault = d, true
	}
	for _, k := range []string{"allOf", "anyOf", "oneOf"} {
		parts, _ := m[k].([]any)
		for i, p := range parts {
			s.merge(sh.at(pointer+"/"+k+"/"+strconv.Itoa(i), p))
		}
	}
	for _, k := range []string{"then", "else"} {
		if p, ok := m[k]; ok {
			s.merge(sh.at(pointer+"/"+k, p))
		}
	}
}

// merge adds what another shape says. Defaults of parts are not taken: which part
// holds is not known here.
func (s *shape) merge(o *shape) {
	if o == s {
		return
	}
	for name, p := range o.props {
		if s.props == nil {
			s.props = map[string]*shape{}
		}
		if _, ok := s.props[name]; !ok {
			s.props[name] = p
		}
	}
	if s.values == nil {
		s.values = o.values
	}
	if s.items == nil {
		s.items = o.items
	}
	if s.prefix == nil {
		s.prefix = o.prefix
	}
	s.open = s.open || o.open && (len(o.props) > 0 || o.values != nil)
	s.sensitive = s.sensitive || o.sensitive
	s.scalar = s.scalar || o.scalar
	s.nullable = s.nullable || o.nullable
}

// lookup finds the target of a reference within the same document.
func (sh *shaper) lookup(ref string) (any, string, bool) {
	pointer, ok := strings.CutPrefix(ref, "#")
	if !ok {
		return nil, "", false
	}
	at := sh.root
	if pointer == "" {
		return at, "", true
	}
	if !strings.HasPrefix(pointer, "/") {
		return nil, "", false
	}
	for _, tok := range strings.Split(pointer[1:], "/") {
		tok = unescapePointer(tok)
		switch a := at.(type) {
		case map[string]any:
			if at, ok = a[tok]; !ok {
				return nil, "", false
			}
		case []any:
			i, err := strconv.Atoi(tok)
			if err != nil || i < 0 || i >= len(a) {
				return nil, "", false
			}
			at = a[i]
		default:
			return nil, "", false
		}
	}
	return at, pointer, true
}

func isScalarType(t any) bool {
	switch t := t.(type) {
	case string:
		return t == "string" || t == "number" || t == "integer" || t == "boolean"
	case []any:
		for _, e := range t {
			if !isScalarType(e) && e != "null" {
				return false
			}
		}
		return len(t) > 0
	}
	return false
}

// allowsNull tells whether a schema takes null: it names it, or says nothing of types.
func allowsNull(m map[string]any) bool {
	switch t := m["type"].(type) {
	case string:
		return t == "null"
	case []any:
		return slices.Contains(t, any("null"))
	}
	for _, k := range []string{"$ref", "allOf", "anyOf", "oneOf", "properties", "items", "enum", "const"} {
		if v, ok := m[k]; ok {
			l, isList := v.([]any)
			return k == "const" && v == nil || k == "enum" && isList && slices.Contains(l, nil)
		}
	}
	return true
}

func escapePointer(s string) string   { return strings.NewReplacer("~", "~0", "/", "~1").Replace(s) }
func unescapePointer(s string) string { return strings.NewReplacer("~1", "/", "~0", "~").Replace(s) }
