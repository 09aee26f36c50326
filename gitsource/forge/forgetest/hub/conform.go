package hub

import (
	"slices"
	"strings"
)

// This file brings values into the form that a schema describes. It knows as much of
// schemas as the two documents use.

// absent is a value that nobody gave.
type absent struct{}

// resolve follows references; nil when it is no schema.
func (s *schemas) resolve(schema any) map[string]any {
	m, _ := schema.(map[string]any)
	for m != nil {
		ref, ok := m["$ref"].(string)
		if !ok {
			return m
		}
		m, _ = at(s.root, strings.Split(strings.TrimPrefix(ref, "#/"), "/")...).(map[string]any)
	}
	return nil
}

func at(value any, keys ...string) any {
	for _, key := range keys {
		m, ok := value.(map[string]any)
		if !ok {
			return nil
		}
		value = m[key]
	}
	return value
}

func list(value any) []any {
	l, _ := value.([]any)
	return l
}

// shape is what a schema says, its parts put together.
type shape struct {
	kind       string
	nullable   bool
	properties map[string]any
	required   []string
	items      any
	choice     []any // enum or const
	format     string
	open       bool // takes other properties
}

// of flattens a schema for a value: of alternatives the first is taken that may be of the
// value's kind.
func (s *schemas) of(schema any, value any) shape {
	m := s.resolve(schema)
	out := shape{properties: map[string]any{}, items: m["items"], choice: list(m["enum"]), nullable: m["nullable"] == true}
	out.format, _ = m["format"].(string)
	if c, ok := m["const"]; ok {
		out.choice = []any{c}
	}
	switch kind := m["type"].(type) {
	case string:
		out.kind = kind
		out.nullable = out.nullable || kind == "null"
	case []any:
		for _, k := range kind {
			if k == "null" {
				out.nullable = true
			} else if out.kind == "" {
				out.kind, _ = k.(string)
			}
		}
	}
	for name, property := range mapOf(m["properties"]) {
		out.properties[name] = property
	}
	for _, name := range list(m["required"]) {
		out.required = append(out.required, name.(string))
	}
	switch extra := m["additionalProperties"].(type) {
	case bool:
		out.open = extra
	case map[string]any:
		out.open = true
	}
	for _, part := range list(m["allOf"]) {
		out.add(s.of(part, value))
	}
	alternatives := append(list(m["oneOf"]), list(m["anyOf"])...)
	var chosen *shape
	for _, alternative := range alternatives {
		a := s.of(alternative, value)
		if a.kind == "null" {
			out.nullable = true
			continue
		}
		if chosen == nil || !chosen.fits(value) && a.fits(value) {
			chosen = &a
		}
	}
	if chosen != nil {
		nullable := out.nullable || chosen.nullable
		out.add(*chosen)
		out.nullable = nullable
	}
	if out.kind == "" && len(out.properties) > 0 {
		out.kind = "object"
	}
	return out
}

func mapOf(value any) map[string]any {
	m, _ := value.(map[string]any)
	return m
}

func (sh *shape) add(other shape) {
	for name, property := range other.properties {
		if _, ok := sh.properties[name]; !ok || len(mapOf(sh.properties[name])) == 0 {
			sh.properties[name] = property
		} else { // said twice: both hold
			sh.properties[name] = map[string]any{"allOf": []any{sh.properties[name], property}}
		}
	}
	sh.required = append(sh.required, other.required...)
	switch { // null must be allowed by each that says what it may be
	case sh.kind == "":
		sh.nullable = other.nullable
	case other.kind != "":
		sh.nullable = sh.nullable && other.nullable
	}
	if sh.kind == "" {
		sh.kind = other.kind
	}
	if sh.items == nil {
		sh.items = other.items
	}
	if len(other.choice) > 0 && (len(sh.choice) == 0 || len(other.choice) < len(sh.choice)) {
		sh.choice = other.choice
	}
	if sh.format == "" {
		sh.format = other.format
	}
	sh.open = sh.open || other.open
}

func (sh *shape) fits(value any) bool {
	switch value.(type) {
	case map[string]any:
		return sh.kind == "object"
	case []any:
		return sh.kind == "array"
	case string:
		return sh.kind == "string"
	case bool:
		return sh.kind == "boolean"
	case int, int64, float64:
		return sh.kind == "integer" || sh.kind == "number"
	}
	return true
}

// conform leaves out what is not described and fills in what is required.
func (s *schemas) conform(schema any, value any) any {
	sh := s.of(schema, value)
	switch v := value.(type) {
	case absent:
		return s.dull(sh)
	case map[string]any:
		out := map[string]any{}
		for name, item := range v {
			if property, ok := sh.properties[name]; ok {
				out[name] = s.conform(property, item)
			} else if sh.open || len(sh.properties) == 0 {
				out[name] = item
			}
		}
		for _, name := range sh.required {
			if _, ok := out[name]; !ok {
				out[name] = s.conform(sh.properties[name], absent{})
			}
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, item := range v {
			out[i] = s.conform(sh.items, item)
		}
		return out
	}
	return value
}

// dull is a value of no interest.
func (s *schemas) dull(sh shape) any {
	switch {
	case sh.nullable:
		return nil
	case len(sh.choice) > 0:
		return sh.choice[0]
	}
	switch sh.kind {
	case "object":
		out := map[string]any{}
		for _, name := range sh.required {
			out[name] = s.conform(sh.properties[name], absent{})
		}
		return out
	case "array":
		return []any{}
	case "string":
		switch sh.format {
		case "uri", "uri-template":
			return "https://example.com/"
		case "date-time":
			return "2026-01-01T00:00:00Z"
		case "email":
			return "somebody@example.com"
		}
		return ""
	case "integer", "number":
		return 0
	case "boolean":
		return false
	}
	return nil
}

// unknown names the first field of a value that is not described; "" when all are.
func (s *schemas) unknown(schema any, value any, where string) string {
	m := s.resolve(schema)
	switch v := value.(type) {
	case map[string]any:
		properties, open := map[string]any{}, false
		var gather func(map[string]any)
		gather = func(m map[string]any) {
			for name, property := range mapOf(m["properties"]) {
				properties[name] = property
			}
			if extra, ok := m["additionalProperties"]; ok && extra != false && len(mapOf(m["properties"])) == 0 {
				open = true
			}
			for _, key := range []string{"allOf", "oneOf", "anyOf"} {
				for _, part := range list(m[key]) {
					gather(s.resolve(part))
				}
			}
		}
		gather(m)
		names := make([]string, 0, len(v))
		for name := range v {
			names = append(names, name)
		}
		slices.Sort(names)
		for _, name := range names {
			property, ok := properties[name]
			if !ok && open {
				continue
			}
			if !ok {
				return where + "." + name
			}
			if extra := s.unknown(property, v[name], where+"."+name); extra != "" {
				return extra
			}
		}
	case []any:
		for _, item := range v {
			if extra := s.unknown(m["items"], item, where+"[]"); extra != "" {
				return extra
			}
		}
	}
	return ""
}
