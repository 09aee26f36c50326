package schema

import (
	"encoding/json"
	"slices"
	"strings"
	"sync"
)

// Draft is the JSON Schema dialect of all schemas that the package makes.
const Draft = "https://json-schema.org/draft/2020-12/schema"

// CombinedSchema is the key of [Tree.JSONSchemas] under which one schema for documents
// of every kind stands: what an editor wants for all files at once.
const CombinedSchema = "all"

// OwnKinds lists the kinds that need no component, in alphabetical order.
func OwnKinds() []string {
	return []string{KindDeploymentComponent, KindEnvironment, KindFlowControlPolicy, KindIacModule, KindIdentityAccount, KindOrganization,
		KindPulumiStack, KindTeam, KindTerraformStack}
}

// JSONSchema is the schema of a whole document of an own kind, for editors; false for
// any other kind. Its text is canonical JSON and the same in every run.
func JSONSchema(kind string) (json.RawMessage, bool) {
	s, ok := ownDocumentSchemas()[kind]
	return slices.Clone(s), ok
}

// JSONSchemas are the schemas of whole documents of every kind that the tree knows, by
// kind, with one for all of them under [CombinedSchema]. Where organizations
// register the same kind differently, the first organization's counts.
func (t *Tree) JSONSchemas() map[string]json.RawMessage {
	out := map[string]json.RawMessage{}
	for kind, s := range ownDocumentSchemas() {
		out[kind] = slices.Clone(s)
	}
	for _, c := range t.components {
		if _, ok := out[c.RegisteredKind]; ok {
			continue
		}
		spec, err := decodeJSON(c.Schema)
		if err != nil {
			continue
		}
		out[c.RegisteredKind] = documentSchema(c.RegisteredKind, c.RegisteredAPIVersion, rebased(withReferenceForms(spec), "/properties/spec"), true)
	}
	out[CombinedSchema] = combined(out)
	return out
}

// combined picks a document's schema by its kind, so that an editor complains about the
// kind that is meant and not about all others.
func combined(byKind map[string]json.RawMessage) json.RawMessage {
	var one []any
	defs := map[string]any{}
	for _, kind := range sortedKeys(byKind) {
		doc, err := decodeJSON(byKind[kind])
		m, ok := doc.(map[string]any)
		if err != nil || !ok {
			continue
		}
		delete(m, "$schema")
		pointer := "/$defs/" + escapePointer(kind)
		defs[kind] = rebased(m, pointer)
		one = append(one, map[string]any{"$ref": "#" + pointer})
	}
	return appendAny(nil, map[string]any{"$schema": Draft, "title": "A document of a config repository", "oneOf": one, "$defs": defs})
}

// rebased makes the references within a schema right after it has moved to a pointer of
// another document.
func rebased(schema any, pointer string) any {
	switch s := schema.(type) {
	case []any:
		out := make([]any, len(s))
		for i, e := range s {
			out[i] = rebased(e, pointer)
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(s))
		for k, v := range s {
			if ref, ok := v.(string); ok && k == "$ref" && (ref == "#" || strings.HasPrefix(ref, "#/")) {
				out[k] = "#" + pointer + ref[1:]
				continue
			}
			out[k] = rebased(v, pointer)
		}
		return out
	}
	return schema
}

var ownDocumentSchemas = sync.OnceValue(func() map[string]json.RawMessage {
	out := map[string]json.RawMessage{}
	for kind, raw := range ownSpecJSON() {
		spec, err := decodeJSON(raw)
		if err != nil {
			panic("schema of " + kind + ": " + err.Error())
		}
		named := kind != KindOrganization && kind != KindEnvironment
		out[kind] = documentSchema(kind, APIVersion, spec, named)
	}
	return out
})

// documentSchema puts the schema of a spec into a document's.
func documentSchema(kind, apiVersion string, spec any, named bool) json.RawMessage {
	metadata := map[string]any{
		"type": "object",
		"properties": map[string]any{
			"name":        described("The display name; its slug identifies the document."),
			"slug":        map[string]any{"type": "string", "pattern": "^[a-z0-9]+(-[a-z0-9]+)*$", "description": "The identity, when it is not the slug of the name."},
			"id":          described("An identifier of another system."),
			"org":         described("The organization; it must agree with the folder."),
			"env":         described("The environment; it must agree with the folder."),
			"group":       described("A group for display; it never affects the order."),
			"labels":      stringMapSchema("Labels."),
			"annotations": stringMapSchema("Annotations, among them the keys that say how a stack is run."),
			"tags":        map[string]any{"type": "array", "items": map[string]any{"type": "string"}},
			"relationships": map[string]any{"type": "array", "description": "Resources that this one needs, without reading a value of them.",
				"items": map[string]any{"type": "object", "required": []any{"kind", "name"}, "additionalProperties": false,
					"properties": map[string]any{"kind": described("The resource's kind."), "env": described("The resource's environment; without it the same one."),
						"name": described("The resource's name."), "type": map[string]any{"enum": toAnys(RelationshipTypes)}}}},
		},
		"additionalProperties": false,
	}
	required := []any{"apiVersion", "kind"}
	if named {
		metadata["required"] = []any{"name"}
		required = append(required, "metadata", "spec")
	}
	return appendAny(nil, map[string]any{
		"$schema": Draft,
		"title":   kind,
		"type":    "object",
		"properties": map[string]any{
			"apiVersion": map[string]any{"type": "string", "default": apiVersion},
			"kind":       map[string]any{"const": kind},
			"metadata":   metadata,
			"spec":       spec,
			"status":     map[string]any{"description": "Written by the platform; ignored here."},
		},
		"required":             required,
		"additionalProperties": false,
	})
}

func described(description string) map[string]any {
	return map[string]any{"type": "string", "description": description}
}

func stringMapSchema(description string) map[string]any {
	return map[string]any{"type": "object", "description": description,
		"additionalProperties": map[string]any{"type": []any{"string", "number", "boolean"}}}
}

func toAnys(l []string) []any {
	out := make([]any, len(l))
	for i, s := range l {
		out[i] = s
	}
	return out
}

// withReferenceForms lets a reference stand for every scalar of a spec's schema, as
// the loader does.
func withReferenceForms(schema any) any {
	m, ok := schema.(map[string]any)
	if !ok {
		return schema
	}
	out := make(map[string]any, len(m))
	for k, v := range m {
		switch k {
		case "properties", "patternProperties", "$defs", "definitions":
			if props, ok := v.(map[string]any); ok {
				changed := make(map[string]any, len(props))
				for name, p := range props {
					changed[name] = withReferenceForms(p)
				}
				v = changed
			}
		case "items", "additionalProperties":
			v = withReferenceForms(v)
		case "prefixItems", "allOf", "anyOf", "oneOf":
			if l, ok := v.([]any); ok {
				changed := make([]any, len(l))
				for i, p := range l {
					changed[i] = withReferenceForms(p)
				}
				v = changed
			}
		}
		out[k] = v
	}
	if !isScalarType(m["type"]) {
		return out
	}
	reference := map[string]any{"type": "object", "required": []any{"valueFrom"}, "additionalProperties": false,
		"properties": map[string]any{"valueFrom": map[string]any{"type": "object", "required": []any{"kind", "name", "fieldPath"},
			"additionalProperties": false, "properties": map[string]any{"kind": described("The resource's kind."),
				"env":  described("The resource's environment; without it the same one."),
				"name": described("The resource's name."), "fieldPath": described("status.outputs.…, spec.… or metadata.name.")}}}}
	both := map[string]any{"anyOf": []any{out, reference}}
	for _, k := range []string{"title", "description", "default"} {
		if v, ok := out[k]; ok {
			both[k] = v
		}
	}
	return both
}

// ownSpecJSON gives the JSON Schema of each own kind's spec.
func ownSpecJSON() map[string]json.RawMessage {
	out := map[string]json.RawMessage{}
	for kind, v := range map[string]any{
		KindDeploymentComponent: componentSpec{},
		KindEnvironment:         EnvironmentSpec{},
		KindFlowControlPolicy:   policySpec{},
		KindIacModule:           iacModuleSpec{},
		KindIdentityAccount:     accountSpec{},
		KindOrganization:        OrganizationSpec{},
		KindPulumiStack:         pulumiStackSpec{},
		KindTeam:                teamSpec{},
		KindTerraformStack:      terraformStackSpec{},
	} {
		s := reflector().Reflect(v)
		s.Version = ""
		raw, err := json.Marshal(s)
		if err != nil {
			panic("schema of " + kind + ": " + err.Error())
		}
		out[kind] = raw
	}
	return out
}
