package schema

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/go-version"
	"github.com/invopop/jsonschema"

	"github.com/stackreeve/stackreeve/schema/diag"
)

// EngineVersion says which versions of an engine may run a stack.
type EngineVersion struct {
	// For is the engine that it is about; "" means whichever runs the stack.
	For Provisioner `json:"for,omitempty"`
	// Constraint is in the words of hashicorp/go-version, as in Terraform's
	// required_version: "~> 1.9", ">= 1.6, < 2". "" allows every version.
	Constraint string `json:"constraint,omitempty"`
	// Pos is where it is written.
	Pos diag.Position `json:"pos,omitzero"`
}

// Allows tells whether a version satisfies the constraint. A version before a release
// ("1.10.0-rc1") satisfies only constraints that name one themselves.
func (v EngineVersion) Allows(number *version.Version) bool {
	if v.Constraint == "" {
		return true
	}
	c, err := version.NewConstraint(v.Constraint)
	return err == nil && c.Check(number)
}

// EngineVersions are what one document, or all that count for a stack, say about
// versions of engines, the narrowest first.
type EngineVersions []EngineVersion

// For is what is said about one engine: the first that is about it, or about whichever
// engine runs the stack; the zero EngineVersion when nothing is.
func (l EngineVersions) For(p Provisioner) EngineVersion {
	for _, v := range l {
		if v.For == "" || v.For == p {
			return v
		}
	}
	return EngineVersion{}
}

// provisioners are all engines, in the order in which they are named.
var provisioners = []Provisioner{Terraform, OpenTofu, Pulumi}

const engineVersionText = `Which versions of the engine may run the stacks, as in Terraform's required_version: "~> 1.9", ">= 1.6, < 2". ` +
	`A text is for the engine that the same document names, or, where it names none, for whichever engine runs the stack; a map has one for each engine.`

// JSONSchema is the schema of both forms.
func (EngineVersions) JSONSchema() *jsonschema.Schema {
	props := jsonschema.NewProperties()
	for _, p := range provisioners {
		props.Set(string(p), &jsonschema.Schema{Type: "string", MinLength: new(uint64(1))})
	}
	return &jsonschema.Schema{Description: engineVersionText, AnyOf: []*jsonschema.Schema{
		{Type: "string", MinLength: new(uint64(1))},
		{Type: "object", Properties: props, AdditionalProperties: jsonschema.FalseSchema},
	}}
}

// UnmarshalJSON takes both forms and keeps nothing: what a document says is read with
// its places (reader.engineVersions).
func (l *EngineVersions) UnmarshalJSON([]byte) error {
	*l = nil
	return nil
}

// MarshalJSON is the list.
func (l EngineVersions) MarshalJSON() ([]byte, error) { return json.Marshal([]EngineVersion(l)) }

// engineVersions reads spec.engineVersion of a walked spec. A text beside a provisioner is
// for that engine. It is false when a constraint cannot be understood, and that is reported.
func (r *reader) engineVersions(v *value, beside Provisioner) (EngineVersions, bool) {
	f, there := v.get("engineVersion")
	if !there {
		return nil, true
	}
	if f.val.kind != mapValue {
		one, ok := r.engineVersion("spec.engineVersion", f.val.text, f.val.at)
		one.For = beside
		return EngineVersions{one}, ok
	}
	var out EngineVersions
	good := true
	for _, p := range provisioners {
		if g, ok := f.val.get(string(p)); ok {
			one, ok := r.engineVersion("spec.engineVersion."+string(p), g.val.text, g.val.at)
			one.For = p
			out, good = append(out, one), good && ok
		}
	}
	return out, good
}

// ownEngineVersions is engineVersions for a document that counts for a whole folder: with
// a constraint that cannot be understood the document is wrong, and the folder frozen.
func (r *reader) ownEngineVersions(e *envelope, v *value, beside Provisioner) EngineVersions {
	out, ok := r.engineVersions(v, beside)
	e.bad = e.bad || !ok
	return out
}

// engineVersion understands one constraint.
func (r *reader) engineVersion(name, text string, at place) (EngineVersion, bool) {
	if _, err := version.NewConstraint(text); err != nil {
		r.report(diag.Diagnostic{Code: diag.InvalidValue, Detail: name, Found: fmt.Sprintf("%q", text),
			Expected: `a version constraint such as "~> 1.9" or ">= 1.6, < 2"`, Hint: constraintMeant(text)}, at)
		return EngineVersion{}, false
	}
	if !satisfiable(text) {
		r.report(diag.Diagnostic{Code: diag.InvalidValue, Detail: name, Found: fmt.Sprintf("%q", text),
			Expected: "a constraint that some version satisfies", Hint: "a comma means that both sides must hold"}, at)
		return EngineVersion{}, false
	}
	return EngineVersion{Constraint: strings.TrimSpace(text), Pos: r.text.position(at)}, true
}

// satisfiable tells whether a version can satisfy a constraint. Its parts are ranges that
// begin and end at the versions they name, less some single ones: where any version
// satisfies all of them, so does the first of all, one that is named, or one of those that
// come right after it.
func satisfiable(text string) bool {
	c, err := version.NewConstraint(text)
	if err != nil {
		return false
	}
	tried := []string{"0.0.0"}
	for _, part := range c {
		v, err := version.NewVersion(strings.TrimLeft(part.String(), "<>=!~ "))
		if err != nil {
			return true // not one that is understood here
		}
		tried = append(tried, v.String())
		if v.Prerelease() != "" {
			tried = append(tried, v.Core().String(), v.String()+".0")
		}
		segments := v.Segments()
		for range c { // as many as can be taken out by "!="
			segments[len(segments)-1]++
			var numbers []string
			for _, n := range segments {
				numbers = append(numbers, strconv.Itoa(n))
			}
			tried = append(tried, strings.Join(numbers, "."))
		}
	}
	return slices.ContainsFunc(tried, func(number string) bool {
		v, err := version.NewVersion(number)
		return err == nil && c.Check(v)
	})
}

var (
	caret    = regexp.MustCompile(`^\s*\^\s*v?((\d+)(?:\.\d+)*)\s*$`)
	wildcard = regexp.MustCompile(`^\s*v?(\d+(?:\.\d+)*)\.[xX*]\s*$`)
	spaced   = regexp.MustCompile(`^\s*[<>=!~]+\s*v?\d[^\s,]*(?:\s+[<>=!~]+\s*v?\d[^\s,]*)+\s*$`)
	operator = regexp.MustCompile(`\s+([<>=!~])`)
)

// constraintMeant is how what other tools write is written here; "" when it is not known.
func constraintMeant(text string) string {
	meant := ""
	switch {
	case caret.MatchString(text):
		m := caret.FindStringSubmatch(text)
		if major, err := strconv.Atoi(m[2]); err == nil {
			meant = fmt.Sprintf(">= %s, < %d", m[1], major+1)
		}
	case wildcard.MatchString(text):
		meant = "~> " + wildcard.FindStringSubmatch(text)[1] + ".0"
	case spaced.MatchString(text):
		meant = operator.ReplaceAllString(strings.TrimSpace(text), ", $1")
	}
	if _, err := version.NewConstraint(meant); meant == "" || err != nil {
		return ""
	}
	return fmt.Sprintf("write it as %q", meant)
}

// EngineMove says how the state of a stack came to its engine when another one had
// made the stack. Without it a change of the engine is refused.
type EngineMove string

// The moves. They name the engine before, so that one that is left in a document allows
// no second one.
const (
	// StateFromTerraform and StateFromOpenTofu let the twin go on with the same state.
	StateFromTerraform EngineMove = "state-from-terraform"
	StateFromOpenTofu  EngineMove = "state-from-tofu"
	// The others say that a person has brought what there is into the new engine's
	// state, or has destroyed it.
	ImportedFromTerraform EngineMove = "imported-from-terraform"
	ImportedFromOpenTofu  EngineMove = "imported-from-tofu"
	ImportedFromPulumi    EngineMove = "imported-from-pulumi"
)

// EngineMoves lists all moves.
func EngineMoves() []EngineMove {
	return []EngineMove{StateFromTerraform, StateFromOpenTofu, ImportedFromTerraform, ImportedFromOpenTofu, ImportedFromPulumi}
}

// MoveBetween is the move that a document must name for a stack to change its engine:
// Terraform and OpenTofu go on with each other's state, Pulumi's is another one.
func MoveBetween(was, is Provisioner) EngineMove {
	if was == Pulumi || is == Pulumi {
		return EngineMove("imported-from-" + string(was))
	}
	return EngineMove("state-from-" + string(was))
}

// engineKeys reads engine-version and engine-move among labels and annotations.
func (b *resourceBinder) engineKeys() {
	b.res.EngineVersions = b.ctx.engineVersions
	if c, ok := b.ctx.components[b.e.Kind]; ok && len(c.EngineVersions) > 0 {
		b.res.EngineVersions = slices.Concat(c.EngineVersions, b.ctx.engineVersions)
	}
	if s, at, ok := b.executionKey("", "engine-version"); ok {
		if v, ok := b.engineVersion("engine-version", s, at); ok {
			b.narrowest(EngineVersions{v})
		} else {
			b.e.bad = true
		}
	}
	if s, at, ok := b.executionKey("", "engine-move"); ok {
		b.res.EngineMove = EngineMove(strings.ToLower(s))
		if !slices.Contains(EngineMoves(), b.res.EngineMove) {
			var known []string
			for _, m := range EngineMoves() {
				known = append(known, string(m))
			}
			b.fail(diag.Diagnostic{Code: diag.InvalidValue, Detail: "engine-move", Found: fmt.Sprintf("%q", s), Expected: oneOf(known),
				Hint: didYouMean(s, known)}, at)
		}
	}
}

// ownEngineVersion reads spec.engineVersion of a stack; false when it is wrong.
func (b *resourceBinder) ownEngineVersion(v *value, beside Provisioner) bool {
	own, ok := b.engineVersions(v, beside)
	if !ok {
		b.e.bad = true
		return false
	}
	b.narrowest(own)
	return true
}

// narrowest puts what the resource itself says before what is said for more than it.
func (b *resourceBinder) narrowest(own EngineVersions) {
	b.res.EngineVersions = slices.Concat(own, b.res.EngineVersions)
}
