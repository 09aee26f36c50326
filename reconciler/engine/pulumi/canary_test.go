package pulumi_test

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stackreeve/stackreeve/reconciler/engine"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
)

// A secret of the config is in no list of the task here: only its marks tell. Another is
// in the list and marked nowhere.
func TestSecretsAreNowhereInClear(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	const listed, marked, inner, phrase = "canary-listed-8f1", "canary-marked-3c9", "canary-inner-77a", "canary-phrase-9d2"
	b.Task.Secrets = []string{listed}
	b.Task.Pulumi.Passphrase = phrase
	b.Task.Pulumi.SecretConfig = []string{"marked", "object"}
	inputs := func(more string) {
		b.Inputs(map[string]any{"listed": listed + more, "marked": marked + more, "object": map[string]any{"deep": []any{inner + more}, "n": 5}})
	}
	inputs("")
	b.program(`
config: {listed: {type: string}, marked: {type: string, secret: true}, object: {type: object, secret: true}}
resources:
  holds: {type: "lab:Data", properties: {value: "${marked}"}}
  says: {type: "lab:Data", properties: {value: "text ${listed}"}}
  deep: {type: "lab:Data", properties: {value: "${object.deep[0]}", trigger: "${marked}"}}
outputs:
  listed: "prefix ${listed}"
  marked: "${holds.output}"
  nested: {a: {b: "${object.deep[0]}"}}
`)
	processes := b.Counting()
	planned := b.Plan(t.Context())
	if planned.Failure != nil {
		t.Fatal(planned.Failure.Text)
	}
	sealedByRunner, err := os.ReadFile(b.PlanFile)
	if err != nil {
		t.Fatal(err)
	}
	applied := b.Apply(t.Context(), planned.Plan)
	if applied.Failure != nil {
		t.Fatal(applied.Failure.Text)
	}
	if o := applied.Outcome.Outputs; len(o) != 3 || b.Opened(o[0]) != `"prefix `+listed+`"` || b.Opened(o[1]) != `"`+marked+`"` || b.Opened(o[2]) != `{"a":{"b":"`+inner+`"}}` {
		t.Errorf("outputs = %+v", o)
	}
	results := []engine.Result{planned, applied}
	inputs("-2")
	results = append(results, b.Plan(t.Context()))
	b.Task.Action = stackjob.Destroy
	results = append(results, b.Plan(t.Context()))
	b.Task.Action = stackjob.Apply
	b.program(`
config: {listed: {type: string}, marked: {type: string, secret: true}}
resources:
  fails: {type: "lab:File", properties: {path: "/nowhere/${marked}", content: "${listed}"}}
`)
	failing := b.Plan(t.Context())
	if failing.Failure != nil {
		t.Fatal(failing.Failure.Text)
	}
	failed := b.Apply(t.Context(), failing.Plan)
	if failed.Failure == nil {
		t.Fatal("it did not fail")
	}
	results = append(results, failing)

	log, events := b.Sink.Told()
	told, err := json.Marshal([]any{results, events, processes()})
	if err != nil {
		t.Fatal(err)
	}
	where := map[string]string{"results, events, command lines": string(told), "log": log}
	dir := filepath.Dir(b.Task.Workspace)
	for name, text := range files(t, dir) {
		if !strings.HasPrefix(name, "run"+string(filepath.Separator)) { // the runner seals the plan
			where[name] = text
		}
	}
	for place, text := range where {
		for _, secret := range []string{listed, marked, inner, phrase} {
			if place == "log" && secret == listed || secret == listed && strings.HasPrefix(place, "state") {
				continue // the sink masks what it was told of; a state holds what is marked nowhere
			}
			if secret == listed && strings.HasPrefix(place, "backups") {
				continue
			}
			if strings.Contains(text, secret) {
				t.Errorf("%s is in %s", secret, place)
			}
		}
	}
	for _, secret := range []string{marked, inner, phrase} {
		if strings.Contains(string(sealedByRunner), secret) {
			t.Errorf("%s is in the saved plan in clear", secret)
		}
	}
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		name, _ := filepath.Rel(dir, path)
		st, err := d.Info()
		if err == nil && !strings.HasPrefix(name, "state") && !strings.HasPrefix(name, "home") && !strings.HasPrefix(name, "module") && st.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has the mode %v", name, st.Mode())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(b.PlanFile), "engine", "*")); len(left) > 0 {
		t.Errorf("the private folder holds %q", left)
	}
}

func TestEqualSecretsKeepTheirCiphertextAndAnotherPassphraseIsRefused(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.program("config: {marked: {type: string, secret: true}}\nresources: {kept: {type: \"lab:Data\", properties: {value: \"${marked}\"}}}\n")
	b.Task.Pulumi.SecretConfig = []string{"marked"}
	b.Inputs(map[string]any{"marked": "one"})
	b.MustApply()
	record := func() string {
		text, err := os.ReadFile(filepath.Join(b.Task.Workspace, "stack.json"))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	before := record()
	if p := b.MustPlan(); p.HasChanges {
		t.Errorf("plan = %+v", p)
	}
	if record() != before {
		t.Errorf("what is remembered moved:\n%s\n%s", before, record())
	}
	// A workspace that was lost finds the stack's salt in its state.
	if err := os.RemoveAll(b.Task.Workspace); err != nil {
		t.Fatal(err)
	}
	if p := b.MustPlan(); p.HasChanges {
		t.Errorf("plan = %+v", p)
	}
	b.Task.Pulumi.Passphrase = "another"
	b.Inputs(map[string]any{"marked": "two"})
	r := b.Plan(t.Context())
	if r.Failure == nil || r.Failure.Class != engine.ClassPerson || !strings.Contains(r.Failure.Text, "passphrase") {
		t.Errorf("failure = %+v", r.Failure)
	}
}

// The engine masks the secrets of the configuration in what providers say. It does not know
// those that only the state holds, and of a step that a plan does not allow it writes the
// values itself.
func TestSecretsOfTheStateAreHiddenInWhatIsSaid(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	const kept, moved = "canary-kept-5e1", "canary-moved-7b2"
	b.Task.Inputs = nil
	file := filepath.Join(t.TempDir(), "outside")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	program := func(more string) {
		b.program(`
variables: {read: {"fn::secret": {"fn::readFile": "` + file + `"}}}
resources:
  makes: {type: "lab:Data", properties: {value: "${read}"}}
` + more)
	}
	write(kept)
	program(`  quotes: {type: "lab:File", properties: {path: "/nowhere/${makes.output}", content: "x"}}`)
	p := b.MustPlan()
	// The secret is made and quoted in one apply.
	r := b.Apply(t.Context(), p)
	if r.Failure == nil {
		t.Fatal("it did not fail")
	}
	program("")
	p = b.MustPlan()
	write(moved)
	r = b.Apply(t.Context(), p)
	if r.Failure == nil || r.Outcome == nil || r.Outcome.Reason.Code != stackjob.ReasonEngine || !strings.HasSuffix(r.Outcome.Reason.Detail, "properties changed: value") {
		t.Fatalf("failure = %+v", r.Failure)
	}
	log, events := b.Sink.Told()
	told, err := json.Marshal([]any{r, events})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(log, "/nowhere/(hidden)") {
		t.Error("the provider's error is not in the log")
	}
	if !slices.Contains(b.Sink.Hidden(), kept) {
		t.Errorf("%s was not hidden", kept)
	}
	for _, secret := range []string{kept, moved} {
		if strings.Contains(log, secret) {
			t.Errorf("%s is in the log:\n%s", secret, log)
		}
	}
	if strings.Contains(string(told), moved) {
		t.Errorf("%s is in the result or the events", moved)
	}
}
