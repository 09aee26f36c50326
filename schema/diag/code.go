package diag

import "slices"

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

// Codes lists all codes in alphabetical order.
func Codes() []Code {
	out := make([]Code, 0, len(summaries))
	for c := range summaries {
		out = append(out, c)
	}
	slices.Sort(out)
	return out
}

// The codes, in the order in which a load can meet them.
const (
	YAMLSyntax          Code = "yaml-syntax"
	InvalidCharacter    Code = "invalid-character"
	TooDeep             Code = "too-deep"
	AliasBomb           Code = "alias-bomb"
	UnsupportedTag      Code = "unsupported-tag"
	AmbiguousScalar     Code = "ambiguous-scalar"
	NonStringKey        Code = "non-string-key"
	DuplicateKey        Code = "duplicate-key"
	FileTooLarge        Code = "file-too-large"
	UnreadableFile      Code = "unreadable-file"
	Symlink             Code = "symlink"
	StrayFile           Code = "stray-file"
	MissingOrganization Code = "missing-organization"
	InvalidFolderName   Code = "invalid-folder-name"
	NotADocument        Code = "not-a-document"
	DocumentInCode      Code = "document-in-code"
	UnknownKind         Code = "unknown-kind"
	UnknownAPIVersion   Code = "unknown-api-version"
	KindNotSupportedYet Code = "kind-not-supported-yet"
	NotSupportedYet     Code = "not-supported-yet"
	WrongFolder         Code = "wrong-folder"
	FolderMismatch      Code = "folder-mismatch"
	UnknownField        Code = "unknown-field"
	MissingField        Code = "missing-field"
	FieldNotUsed        Code = "field-not-used"
	WrongType           Code = "wrong-type"
	InvalidValue        Code = "invalid-value"
	InvalidSchema       Code = "invalid-schema"
	SchemaTooCostly     Code = "schema-too-costly"
	DuplicateKind       Code = "duplicate-kind"
	DuplicateModule     Code = "duplicate-module"
	DuplicateDocument   Code = "duplicate-document"
	DuplicateResource   Code = "duplicate-resource"
	StateShared         Code = "state-shared"
	MissingModule       Code = "missing-module"
	InvalidProgram      Code = "invalid-program"
	CredentialInURL     Code = "credential-in-url"
	DanglingReference   Code = "dangling-reference"
	IncompleteReference Code = "incomplete-reference"
	OldReference        Code = "old-reference"
	ProducerUnknown     Code = "producer-unknown"
	ReferenceCycle      Code = "reference-cycle"
	PolicyTie           Code = "policy-tie"
	PolicyIdle          Code = "policy-idle"
	PolicyReach         Code = "policy-reach"
	DuplicateLogin      Code = "duplicate-login"
	UnknownPerson       Code = "unknown-person"
	EmptyTeam           Code = "empty-team"

	ApprovalsUnreachable Code = "approvals-unreachable"
)

var summaries = map[Code]string{
	YAMLSyntax:          "the file is not valid YAML",
	InvalidCharacter:    "the file holds a character that YAML does not allow",
	TooDeep:             "the document nests too deep",
	AliasBomb:           "the aliases of the document stand for too much",
	UnsupportedTag:      "the YAML tag is not supported",
	AmbiguousScalar:     "the value may not be what it looks like",
	NonStringKey:        "the key of a map must be a string",
	DuplicateKey:        "the key is written twice",
	FileTooLarge:        "the file is too large",
	UnreadableFile:      "the file cannot be read",
	Symlink:             "symbolic links are not followed",
	StrayFile:           "the file is not read from here",
	MissingOrganization: "there is no organization's folder here",
	InvalidFolderName:   "the folder name cannot be a slug",
	NotADocument:        "the document has no kind",
	DocumentInCode:      "the document stands among a module's code",
	UnknownKind:         "unknown kind",
	UnknownAPIVersion:   "the apiVersion does not belong to this kind",
	KindNotSupportedYet: "documents of this kind are left out for now",
	NotSupportedYet:     "this setting is not supported yet",
	WrongFolder:         "the kind does not belong in this folder",
	FolderMismatch:      "the document disagrees with its folder",
	UnknownField:        "unknown field",
	MissingField:        "a required field is missing",
	FieldNotUsed:        "the field has no effect",
	WrongType:           "the value has the wrong type",
	InvalidValue:        "the value is not allowed here",
	InvalidSchema:       "the JSON Schema of the component is not valid",
	SchemaTooCostly:     "checking the document against its schema would take too long",
	DuplicateKind:       "two components register the same kind",
	DuplicateModule:     "two modules are for the same kind and provisioner",
	DuplicateDocument:   "there can be only one such document here",
	DuplicateResource:   "two documents describe the same resource",
	StateShared:         "two stacks keep their state in the same place",
	MissingModule:       "the module does not exist",
	InvalidProgram:      "the program cannot be run by Pulumi",
	CredentialInURL:     "a URL must not hold credentials",
	DanglingReference:   "the reference leads nowhere",
	IncompleteReference: "the reference does not say what it reads",
	OldReference:        "this form of reference is not supported",
	ProducerUnknown:     "the referenced resource may be hidden by another error",
	ReferenceCycle:      "the references form a cycle",
	PolicyTie:           "two policies match equally well",
	PolicyIdle:          "the policy selects nothing that exists",
	PolicyReach:         "the policy selects outside of its folder",
	DuplicateLogin:      "two accounts have the same login",
	UnknownPerson:       "there is no such person or team",
	EmptyTeam:           "the team has no members",

	ApprovalsUnreachable: "more approvals are required than there are persons who may give them",
}
