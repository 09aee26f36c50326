package report

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/stackreeve/stackreeve/reconciler/stackjob"
)

// View is a plan arranged for a reader: what destroys stands first. All text in it is
// cleaned, and no sensitive value is in it.
type View struct {
	// Digest is the short digest; Engine "terraform 1.11.4".
	Digest, Engine string
	// Summary is the counts line.
	Summary string
	// Danger are the resources that the plan destroys or replaces, those that may
	// hold data first.
	Danger []Danger
	// Changes are all changed resources: destructive first, then by address.
	Changes []ResourceView
	Outputs []AttributeView
	// Drift is what had changed outside since the last apply.
	Drift []ResourceView
	// DriftUndone is how many of Changes are at an address that drifted.
	DriftUndone int
	// DriftOnly is how many of Changes do nothing but put drift back: they are there
	// whatever the change that is looked at.
	DriftOnly int
	// Warnings are the engine's.
	Warnings []string
}

// Danger is one resource that would be lost.
type Danger struct {
	Action  stackjob.ChangeAction
	Address string
	// HoldsData tells that the type looks like one that keeps data: a database, a
	// bucket, a disk, a key.
	HoldsData bool
	// Why names what forces it: the attributes, or the engine's own reason.
	Why []string
	// Forces are those attributes, and Reason is the engine's reason, for a rendering
	// that tells them apart.
	Forces []AttributeView
	Reason string
}

// ResourceView is one changed resource.
type ResourceView struct {
	Action   stackjob.ChangeAction
	Address  string
	Previous string
	Why      string
	// Drifted tells that the resource had changed outside; DriftOnly that all the plan
	// does to it is to put that back.
	Drifted, DriftOnly bool

	Attributes []AttributeView
}

// AttributeView is one changed attribute, values as people read them.
type AttributeView struct {
	Path          string
	Action        stackjob.ChangeAction
	Before, After string
	Forces        bool
	// Undoes tells that the change puts back what was changed outside.
	Undoes bool
	// Lines are a line-by-line difference of a text of several lines; Before and
	// After are empty then.
	Lines []DiffLine
}

// DiffLine is a line of a text: Sign is "+", "-", " " or "…" (lines left out).
type DiffLine struct{ Sign, Text string }

// Arrange makes a view of a plan.
func Arrange(p stackjob.Plan) View {
	v := View{Digest: Clean(p.ShortDigest()), Engine: Clean(p.Engine), Summary: summary(p)}
	drifted := map[string]stackjob.ResourceChange{}
	for _, r := range p.Drift {
		drifted[r.Address] = r
		v.Drift = append(v.Drift, resourceView(r))
	}
	for _, r := range p.Resources {
		if r.Action == stackjob.NoOp && r.Previous == "" || r.Action == stackjob.Read {
			continue
		}
		rv := resourceView(r)
		if d, ok := drifted[r.Address]; ok {
			v.DriftUndone++
			if rv.drift(r, d); rv.DriftOnly {
				v.DriftOnly++
			}
		}
		v.Changes = append(v.Changes, rv)
		if r.Action == stackjob.Delete || r.Action == stackjob.Replace {
			v.Danger = append(v.Danger, dangerView(r))
		}
	}
	byAddress := func(a, b ResourceView) int {
		return cmp.Or(cmp.Compare(weight(a.Action), weight(b.Action)), cmp.Compare(a.Address, b.Address))
	}
	slices.SortStableFunc(v.Changes, byAddress)
	slices.SortStableFunc(v.Drift, byAddress)
	slices.SortStableFunc(v.Danger, func(a, b Danger) int {
		return cmp.Or(compareBool(b.HoldsData, a.HoldsData), cmp.Compare(weight(a.Action), weight(b.Action)), cmp.Compare(a.Address, b.Address))
	})
	for _, o := range p.Outputs {
		if o.Action == stackjob.NoOp {
			continue
		}
		a := o.AttributeChange
		a.Path = o.Name
		av := attributeView(a)
		av.Action = o.Action
		v.Outputs = append(v.Outputs, av)
	}
	slices.SortStableFunc(v.Outputs, func(a, b AttributeView) int { return cmp.Compare(a.Path, b.Path) })
	for _, w := range p.Warnings {
		v.Warnings = append(v.Warnings, Clean(strings.TrimPrefix(w, "Warning: "))) // that it is one is said where it is shown
	}
	return v
}

func summary(p stackjob.Plan) string {
	if !p.HasChanges && !p.Counts.Changes() {
		return "No changes."
	}
	c := p.Counts
	var parts []string
	for _, n := range []struct {
		count int
		word  string
	}{
		{c.Create, "to create"}, {c.Update, "to update"}, {c.Replace, "to replace"}, {c.Delete, "to destroy"},
		{c.Import, "to import"}, {c.Move, "to move"}, {c.Forget, "to forget"}, {c.NoOp, "unchanged"},
	} {
		if n.count > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n.count, n.word))
		}
	}
	if !c.Changes() {
		first := "no resource changes"
		if what := p.Besides(); what != "" {
			first = "only " + what + " change"
		}
		parts = append([]string{first}, parts...)
	}
	return "Plan: " + strings.Join(parts, ", ") + "."
}

// weight sorts actions by how much a reader must look at them.
func weight(a stackjob.ChangeAction) int {
	i := slices.Index([]stackjob.ChangeAction{
		stackjob.Delete, stackjob.Replace, stackjob.Update, stackjob.Create, stackjob.Import, stackjob.Forget, stackjob.NoOp,
	}, a)
	if i < 0 {
		return 100
	}
	return i
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

// dataWords are parts of type names that keep something which cannot be made again.
var dataWords = []string{
	"database", "db", "rds", "sql", "postgres", "mysql", "mongo", "redis", "dynamodb", "cosmosdb", "table", "bucket", "s3", "storage",
	"disk", "volume", "ebs", "efs", "filesystem", "snapshot", "backup", "kms", "key", "secret", "certificate", "cluster", "queue", "topic",
}

// holdsData guesses by the words of a type's name ("aws_db_instance",
// "aws:rds/instance:Instance"). A wrong yes costs a word on the screen.
func holdsData(typ string) bool {
	words := strings.FieldsFunc(strings.ToLower(typ), func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') })
	return slices.ContainsFunc(words, func(w string) bool { return slices.Contains(dataWords, w) })
}

// dangerView names what forces a destructive action.
func dangerView(r stackjob.ResourceChange) Danger {
	d := Danger{Action: r.Action, Address: Clean(r.Address), HoldsData: holdsData(r.Type), Reason: engineReason(r.Why)}
	for _, a := range r.Attributes {
		if !a.Forces {
			continue
		}
		av := attributeView(a)
		d.Forces = append(d.Forces, av)
		if len(av.Lines) > 0 {
			d.Why = append(d.Why, av.Path+" changes")
			continue
		}
		d.Why = append(d.Why, av.Path+": "+av.Before+" → "+av.After)
	}
	if d.Reason != "" && len(d.Why) == 0 {
		d.Why = append(d.Why, d.Reason)
	}
	return d
}

// drift marks what a change of a resource that drifted puts back: attributes that go
// the way back, or the whole resource as it was when it was deleted outside.
func (v *ResourceView) drift(change, drifted stackjob.ResourceChange) {
	v.Drifted = true
	back := map[string]stackjob.AttributeChange{}
	for _, a := range drifted.Attributes {
		back[a.Path] = a
	}
	if drifted.Action == stackjob.Delete {
		// It is made again whatever is proposed, and with another value where that is.
		v.DriftOnly = change.Action == stackjob.Create
		for i, a := range change.Attributes {
			d, ok := back[a.Path]
			same := a.Unknown || len(back) == 0 || ok && sameValue(a.After, d.Before)
			v.Attributes[i].Undoes = v.DriftOnly && same
		}
		v.DriftOnly = v.DriftOnly && !slices.ContainsFunc(v.Attributes, func(a AttributeView) bool { return !a.Undoes })
		return
	}
	v.DriftOnly = change.Action == stackjob.Update && len(change.Attributes) > 0
	for i, a := range change.Attributes {
		d, ok := back[a.Path]
		undoes := ok && !a.Unknown && !d.Unknown && sameValue(a.Before, d.After) && sameValue(a.After, d.Before)
		v.Attributes[i].Undoes = undoes
		v.DriftOnly = v.DriftOnly && undoes
	}
}

// sameValue compares values of a plan; one that is absent is null.
func sameValue(a, b json.RawMessage) bool {
	return isAbsent(a) && isAbsent(b) || bytes.Equal(a, b)
}

// engineReasons are the engines' words for why, in ours.
var engineReasons = map[string]string{
	"replace_because_tainted":           "it is tainted: an earlier create of it did not finish",
	"replace_because_cannot_update":     "it cannot be updated in place",
	"replace_by_request":                "a replacement was asked for",
	"replace_by_triggers":               "replace_triggered_by asks for it",
	"delete_because_no_resource_config": "it is no longer in the module's code",
	"delete_because_no_module":          "its module is no longer called",
	"delete_because_wrong_repetition":   "count or for_each was added or removed",
	"delete_because_count_index":        "its index is beyond count",
	"delete_because_each_key":           "its key is no longer in for_each",
	"delete_because_no_move_target":     "its moved block leads nowhere",
	"not_in_program":                    "it is no longer in the program",
	"tainted":                           "it is marked as tainted in the state",
	"read_because_config_unknown":       "its arguments are known only after apply",
	"read_because_dependency_pending":   "something that it reads changes first",
	"read_because_check_nested":         "a check reads it",
}

func engineReason(why string) string {
	if s, ok := engineReasons[why]; ok {
		return s
	}
	return Clean(strings.ReplaceAll(why, "_", " "))
}

func resourceView(r stackjob.ResourceChange) ResourceView {
	v := ResourceView{Action: r.Action, Address: Clean(r.Address), Previous: Clean(r.Previous), Why: engineReason(r.Why)}
	for _, a := range r.Attributes {
		v.Attributes = append(v.Attributes, attributeView(a))
	}
	return v
}

// The words that stand for values which are not shown.
const (
	sensitiveWord = "(sensitive)"
	unknownWord   = "(known after apply)"
	absentWord    = "(none)"
)

// maxValue is how many columns of a value are shown.
const maxValue = 100

func attributeView(a stackjob.AttributeChange) AttributeView {
	v := AttributeView{Path: Clean(a.Path), Forces: a.Forces, Action: attributeAction(a)}
	if a.Sensitive {
		v.Before, v.After = hidden(a.Before), hidden(a.After)
		if a.Unknown {
			v.After = unknownWord
		}
		return v
	}
	if !a.Unknown {
		if v.Lines = textDiff(a.Before, a.After); v.Lines != nil {
			return v
		}
	}
	if a.Unknown {
		v.Before, v.After = shown(a.Before), unknownWord
		return v
	}
	v.Before, v.After = shownPair(a.Before, a.After)
	return v
}

func attributeAction(a stackjob.AttributeChange) stackjob.ChangeAction {
	switch {
	case isAbsent(a.Before) && (a.Unknown || !isAbsent(a.After)):
		return stackjob.Create
	case !isAbsent(a.Before) && isAbsent(a.After) && !a.Unknown:
		return stackjob.Delete
	case a.Unknown || !bytes.Equal(a.Before, a.After):
		return stackjob.Update
	}
	return stackjob.NoOp
}

func isAbsent(raw json.RawMessage) bool { return len(raw) == 0 || string(raw) == "null" }

func hidden(raw json.RawMessage) string {
	if isAbsent(raw) {
		return absentWord
	}
	return sensitiveWord
}

// shown is a value on one line, cleaned and shortened.
func shown(raw json.RawMessage) string { return Shorten(oneLine(raw), maxValue) }

// shownPair is two values, shortened so that what differs is seen: where they begin
// alike for long, the beginning is left out.
func shownPair(before, after json.RawMessage) (string, string) {
	b, a := oneLine(before), oneLine(after)
	sb, sa := Shorten(b, maxValue), Shorten(a, maxValue)
	if sb != sa || b == a {
		return sb, sa
	}
	br, ar := []rune(b), []rune(a)
	same := 0
	for same < min(len(br), len(ar)) && br[same] == ar[same] {
		same++
	}
	from := max(0, same-leadIn)
	return Shorten("…"+string(br[from:]), maxValue), Shorten("…"+string(ar[from:]), maxValue)
}

// leadIn is how many characters stand before what differs.
const leadIn = 20

func oneLine(raw json.RawMessage) string {
	if isAbsent(raw) {
		return absentWord
	}
	var b bytes.Buffer
	if err := json.Compact(&b, raw); err != nil {
		return Clean(string(raw))
	}
	return Clean(b.String())
}
