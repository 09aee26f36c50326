package enginetest

// Program is what a scenario makes, in no engine's language. A Harness writes it
// in its own.
type Program struct {
	// Inputs are the names of the variables; those in SecretInputs are declared
	// sensitive.
	Inputs, SecretInputs []string
	Resources            []Resource
	Outputs              []Output
}

// Resource is one resource. At most one of Value and File is its content.
type Resource struct {
	Name string
	// Value is the input that it keeps, changed in place.
	Value string
	// ReplaceOn is the input whose change replaces it.
	ReplaceOn string
	// File makes it a file at this absolute path whose text is the input Value:
	// something that can change outside.
	File string
	// Note is a file to which the resource appends one line when it is created:
	// the side effect that must not happen twice.
	Note string
	// Fails makes its creation fail, after the note.
	Fails bool
	// Hangs makes its creation last until it is interrupted, after the note.
	Hangs bool
	After []string
}

// Output is one output: the value of an input, or, Nested, the object
// {inner: value of the input, plain: "x"}.
type Output struct {
	Name, Input string
	Secret      bool
	Nested      bool
}
