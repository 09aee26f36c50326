package stackjob

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/stackreeve/stackreeve/schema"
)

// ChangeAction is what a plan does to one resource, the same words for every
// engine.
type ChangeAction string

// The actions of a resource change.
const (
	NoOp    ChangeAction = "no-op"
	Create  ChangeAction = "create"
	Update  ChangeAction = "update"
	Delete  ChangeAction = "delete"
	Replace ChangeAction = "replace"
	Read    ChangeAction = "read"
	Forget  ChangeAction = "forget"
	Import  ChangeAction = "import"
)

// AttributeChange is one attribute of a changed resource. Sensitive values never
// appear: their Before and After are keyed hashes ("hmac:…"), equal when the
// values are equal.
type AttributeChange struct {
	// Path is "tags.Name" or "ingress[0].port".
	Path   string          `json:"path"`
	Before json.RawMessage `json:"before,omitempty"`
	After  json.RawMessage `json:"after,omitempty"`
	// Unknown means that After is known only after apply.
	Unknown   bool `json:"unknown,omitempty"`
	Sensitive bool `json:"sensitive,omitempty"`
	// Forces tells that this attribute forces the replacement.
	Forces bool `json:"forces,omitempty"`
}

// ResourceChange is what the plan does to one resource of the engine.
type ResourceChange struct {
	// Address is the engine's own: Terraform's address, Pulumi's URN.
	Address string `json:"address"`
	// Previous is the address before a move.
	Previous   string            `json:"previous,omitempty"`
	Type       string            `json:"type"`
	Name       string            `json:"name"`
	Action     ChangeAction      `json:"action"`
	Attributes []AttributeChange `json:"attributes,omitempty"`
	// Why is the engine's own reason, such as "replace_because_tainted".
	Why string `json:"why,omitempty"`
}

// OutputChange is what the plan does to one output.
type OutputChange struct {
	Name   string       `json:"name"`
	Action ChangeAction `json:"action"`
	AttributeChange
}

// Counts are numbers of resources by what happens to them. A replace counts once.
type Counts struct {
	Create  int `json:"create"`
	Update  int `json:"update"`
	Delete  int `json:"delete"`
	Replace int `json:"replace"`
	NoOp    int `json:"noOp"`
	// Import, Move and Forget change only the state.
	Import int `json:"import,omitempty"`
	Move   int `json:"move,omitempty"`
	Forget int `json:"forget,omitempty"`
}

// Changes tells whether anything at all would be done to a resource or the state.
func (c Counts) Changes() bool {
	return c.Create+c.Update+c.Delete+c.Replace+c.Import+c.Move+c.Forget > 0
}

// IsZero tells whether all counts are zero.
func (c Counts) IsZero() bool { return c == Counts{} }

// Plus adds up.
func (c Counts) Plus(o Counts) Counts {
	return Counts{c.Create + o.Create, c.Update + o.Update, c.Delete + o.Delete, c.Replace + o.Replace, c.NoOp + o.NoOp,
		c.Import + o.Import, c.Move + o.Move, c.Forget + o.Forget}
}

// String is "+1 ~2 -3 ±4", or "no changes".
func (c Counts) String() string {
	if !c.Changes() {
		return "no changes"
	}
	s := fmt.Sprintf("+%d ~%d -%d ±%d", c.Create, c.Update, c.Delete, c.Replace)
	if n := c.Import + c.Move + c.Forget; n > 0 {
		s += fmt.Sprintf(" (%d in state only)", n)
	}
	return s
}

// Plan is what an engine would do, in the same words for every engine.
type Plan struct {
	// Digest is a hash over what the plan would do, in which nothing changes
	// between two equal plans. Approvals bind to it.
	Digest string `json:"digest"`
	// FileDigest is the SHA-256 of the saved plan that apply runs.
	FileDigest string `json:"fileDigest"`
	Counts     Counts `json:"counts"`
	// HasChanges is false when applying would do nothing, not even to outputs.
	HasChanges bool             `json:"hasChanges"`
	Resources  []ResourceChange `json:"resources,omitempty"`
	Outputs    []OutputChange   `json:"outputs,omitempty"`
	// OutputsChanged is how many entries Outputs has; it stays where Outputs is left out.
	OutputsChanged int `json:"outputsChanged,omitempty"`
	// Providers is how many providers the plan is about, Pulumi's: it keeps what they are
	// told in its state. They are no resources, and in no count; what becomes of each is
	// in Warnings.
	Providers int `json:"providers,omitempty"`
	// Drift is what had changed outside since the last apply; the plan may or
	// may not undo it.
	Drift []ResourceChange `json:"drift,omitempty"`
	// Drifted is how many entries Drift has; it stays where Drift is left out.
	Drifted int `json:"drifted,omitempty"`
	// Engine is "terraform 1.11.4".
	Engine string `json:"engine"`
	// InputDigest is a keyed hash of the resolved inputs that the plan was made of.
	InputDigest string `json:"inputDigest"`
	// StatePlace tells apart where states are, and not where that is: the kind of backend
	// and a keyed hash; "" for the stack's own file in the data folder.
	StatePlace string    `json:"statePlace,omitempty"`
	MadeAt     time.Time `json:"madeAt"`
	// Text is the engine's own rendering, for people, sensitive values masked.
	Text string `json:"text,omitempty"`
	// Warnings are the engine's warnings, one line each.
	Warnings []string `json:"warnings,omitempty"`
	// Consumed is set by the intent to apply: a plan runs once.
	Consumed bool `json:"consumed,omitempty"`
}

// Besides is what the plan changes beside resources: "outputs", "providers", "outputs and
// providers", or "".
func (p Plan) Besides() string {
	outputs := p.OutputsChanged > 0 || slices.ContainsFunc(p.Outputs, func(o OutputChange) bool { return o.Action != NoOp })
	switch {
	case outputs && p.Providers > 0:
		return "outputs and providers"
	case outputs:
		return "outputs"
	case p.Providers > 0:
		return "providers"
	}
	return ""
}

// Brief is what the plan changes in a few words: "+1 ~2 -3 ±4", "outputs only", "no
// changes". A plan that changes no resource has something to do all the same, and may wait
// for a person: "no changes" is said of one with nothing to do alone.
func (p Plan) Brief() string {
	if p.Counts.Changes() || !p.HasChanges {
		return p.Counts.String()
	}
	if what := p.Besides(); what != "" {
		return what + " only"
	}
	return "no resource changes"
}

// BriefOf is what several plans change together, as Plan.Brief; "" for no plan.
func BriefOf(plans []*Plan) string {
	if len(plans) == 0 {
		return ""
	}
	var all Plan
	for _, p := range plans {
		all.Counts = all.Counts.Plus(p.Counts)
		all.HasChanges = all.HasChanges || p.HasChanges
		all.Outputs = append(all.Outputs, p.Outputs...)
		all.OutputsChanged += p.OutputsChanged
		all.Providers += p.Providers
	}
	return all.Brief()
}

// ShortDigest is the first twelve characters of the digest, as people see it.
func (p Plan) ShortDigest() string { return ShortDigest(p.Digest) }

// shortDigest is how many characters of a digest people see, and must give.
const shortDigest = 12

// ShortDigest shortens a digest for people: twelve hexadecimal characters.
func ShortDigest(d string) string {
	if i := slices.Index([]byte(d), ':'); i >= 0 {
		d = d[i+1:]
	}
	if len(d) > shortDigest {
		d = d[:shortDigest]
	}
	return d
}

// Output is a recorded output of a stack. A sensitive one is sealed by the runner
// before anything is written down, and never has a Value in clear.
type Output struct {
	Name      string          `json:"name"`
	Value     json.RawMessage `json:"value,omitempty"`
	Sensitive bool            `json:"sensitive,omitempty"`
	// Sealed is the value of a sensitive output, encrypted for the daemon's key
	// file; Value is empty then.
	Sealed []byte `json:"sealed,omitempty"`
	// Hash is a keyed hash of the value: it tells whether an output moved
	// without telling what it is.
	Hash string `json:"hash"`
}

// Outcome is how an apply or destroy ended.
type Outcome struct {
	Result Result `json:"result"`
	Reason Reason `json:"reason"`
	Counts Counts `json:"counts"`
	// Outputs are those after the apply, sorted by name; nil when they could
	// not be read.
	Outputs []Output `json:"outputs,omitempty"`
	// StateSerial and StateLineage identify the state that was written.
	StateSerial  int64  `json:"stateSerial,omitempty"`
	StateLineage string `json:"stateLineage,omitempty"`
}

// Observed is what was last made of a stack: the only thing that a comparison
// and a destroy trust.
type Observed struct {
	Key     schema.ResourceKey `json:"key"`
	Desired Desired            `json:"desired"`
	// Complete is false when the last apply failed or was interrupted: the
	// stack may hold any part of Desired.
	Complete bool `json:"complete"`
	// Interrupted tells that JobID was lost in the middle of its apply, and that
	// nothing was applied since: jobs that never came to their apply change
	// nothing about it. Applied sets it.
	Interrupted bool  `json:"interrupted,omitempty"`
	JobID       JobID `json:"jobId"`
	// Pull is the pull request from which JobID applied it before its merge (Job.Pull);
	// "" for the followed branch.
	Pull string `json:"pull,omitempty"`
	// Restored is set when the state was put back from a backup and nothing was applied
	// since, nor found to be as desired: what is recorded is then of the state that was
	// replaced, and JobID is the job that restored.
	Restored *Restoration `json:"restored,omitempty"`
	// References are the values that were put in for references, by
	// "org/env/Kind/name fieldPath", as keyed hashes.
	References map[string]string `json:"references,omitempty"`
	Outputs    []Output          `json:"outputs,omitempty"`
	Counts     Counts            `json:"counts"`
	// Drifted is how many resources the last plan found changed from outside.
	Drifted   int       `json:"drifted,omitempty"`
	Engine    string    `json:"engine"`
	AppliedAt time.Time `json:"appliedAt"`
}

// LastJob is the newest ended job of a stack, applied or not: what keeps a failure
// from being repeated for ever.
type LastJob struct {
	ID            JobID  `json:"id"`
	State         State  `json:"state"`
	Reason        Reason `json:"reason"`
	Action        Action `json:"action"`
	DesiredDigest string `json:"desiredDigest"`
	// EngineVersion is the constraint that it had, which is no part of the digest.
	EngineVersion string `json:"engineVersion,omitempty"`
	// Hold is what held it (Job.Hold).
	Hold *Reason `json:"hold,omitempty"`
	// Commit is what it was made for.
	Commit  string    `json:"commit"`
	EndedAt time.Time `json:"endedAt"`
	// Over tells that a comparison since did not want what it was to do: its stack was
	// as desired, or the opposite was wanted. Wanting it again is a new wish, which is
	// not settled by how this job ended.
	Over bool `json:"over,omitempty"`
}

// Stack is all that is recorded of one stack.
type Stack struct {
	Key schema.ResourceKey `json:"key"`
	// Observed is nil while nothing was ever applied, and after a destroy.
	Observed *Observed `json:"observed,omitempty"`
	Last     *LastJob  `json:"last,omitempty"`
	// Open is the job that has not ended, if there is one.
	Open *Job `json:"open,omitempty"`
}

func digestOf(v any) string {
	b, err := json.Marshal(v)
	if err != nil { // only types that this package owns get here
		panic(fmt.Sprintf("stackjob: digest of %T: %v", v, err))
	}
	sum := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(sum[:])
}
