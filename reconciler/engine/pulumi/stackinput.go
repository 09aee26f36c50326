package pulumi

import (
	"encoding/json"
	"errors"
)

// Planton's programs read their input from the first place that has one: the configuration
// planton:stack-input, the variable STACK_INPUT_YAML with the text itself, and the file
// that STACK_INPUT_YAML_FILE names (pkg/iac/pulumi/pulumimodule/stackinput of
// github.com/plantonhq/planton). We give the first and the last, see docs/decisions/0190.
const (
	stackInputKey      = "planton:stack-input"
	stackInputVariable = "STACK_INPUT_YAML_FILE"
	// stackInputFile is the file's name in the private folder.
	stackInputFile = "stack-input.yaml"
	// providerConfig is the place of credentials in a stack input.
	providerConfig = "/provider_config"
)

// longestVariable is how long a configuration may be that a program gets as a variable of
// its environment, as all but those in YAML do. Linux takes 128 KiB for one (MAX_ARG_STRLEN).
const longestVariable = 96 << 10

// stackInputConfig is the stack input as the value of a configuration key. As a structure a
// program in YAML can take it apart, and one whose project declares it as an object gets it.
// ok is false where the program has only the file.
func stackInputConfig(inputs []byte, runtime string, secret []string, encrypt func(text string) (string, error)) (_ any, ok bool, err error) {
	v, err := decodeJSON(inputs)
	if err != nil {
		return nil, false, errors.New("the stack input is not JSON") // the error would quote it
	}
	yaml := runtime == "yaml"
	text, err := json.Marshal(v)
	if err != nil || !yaml && len(text) > longestVariable {
		return nil, false, err
	}
	n := &encryption{encrypt: encrypt, secret: append([]string{providerConfig}, secret...)}
	whole, err := n.of(v, "", false)
	if err != nil || yaml || !n.typed {
		return whole, err == nil, err
	}
	// Other languages get a text in either case, and in this one numbers and truth values
	// keep their types.
	c, err := encrypt(string(text))
	return map[string]any{"secure": c}, err == nil, err
}
