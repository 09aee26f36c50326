package diag

// Code is the stable name of a kind of finding, in kebab case. A code is never
// reused for another meaning; docs/diagnostics.md lists them all.
type Code string

// Summary is the code's fixed sentence; for an unknown code it is the code.
func (c Code) Summary() string {
	if s, ok := summaries[c]; ok {
		return s
	}
	return string(c)
}

// Codes that more than one package reports. Codes of the loader are declared
// beside these as it grows.
const (
	YAMLSyntax        Code = "yaml-syntax"
	UnknownKind       Code = "unknown-kind"
	UnknownField      Code = "unknown-field"
	MissingField      Code = "missing-field"
	WrongType         Code = "wrong-type"
	InvalidValue      Code = "invalid-value"
	DuplicateKey      Code = "duplicate-key"
	DuplicateResource Code = "duplicate-resource"
	DanglingReference Code = "dangling-reference"
	ReferenceCycle    Code = "reference-cycle"
	PolicyTie         Code = "policy-tie"
	MissingModule     Code = "missing-module"
)

var summaries = map[Code]string{
	YAMLSyntax:        "the file is not valid YAML",
	UnknownKind:       "unknown kind",
	UnknownField:      "unknown field",
	MissingField:      "a required field is missing",
	WrongType:         "the value has the wrong type",
	InvalidValue:      "the value is not allowed here",
	DuplicateKey:      "the key is written twice",
	DuplicateResource: "two documents describe the same resource",
	DanglingReference: "the reference leads nowhere",
	ReferenceCycle:    "the references form a cycle",
	PolicyTie:         "two policies match equally well",
	MissingModule:     "the module does not exist",
}
