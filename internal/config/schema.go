package config

import _ "embed"

//go:generate go test . -count=1 -run TestJSONSchemaIsGeneratedFromTheTypes|TestDocumentationIsGeneratedFromTheSchema -update

// The schema is generated from the types and comments of config.go by the package's tests (-update),
// which fail when it is not what they would generate. So the binary needs no reflection over comments.
//
//go:embed reeve.schema.json
var schemaJSON []byte

// JSONSchema is the JSON Schema (draft 2020-12) of reeve.yaml, for editors.
func JSONSchema() []byte { return append([]byte(nil), schemaJSON...) }
