package pulumi

import (
	"bufio"
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/apitype"

	"github.com/stackreeve/stackreeve/internal/tool/goldentest"
	"github.com/stackreeve/stackreeve/internal/tool/tooltest"
	"github.com/stackreeve/stackreeve/reconciler/engine/facts"
)

var recordAgain = flag.Bool("record", false, "record the engine's events, plans and states again")

const recordPassphrase = "recorded"

// story is a program that is applied, changed and planned: one of every change.
var story = []struct{ name, program string }{
	{"1-create", `
config: {word: {type: string, secret: true}}
resources:
  updated: {type: "lab:Data", properties: {value: "a<b"}}
  replaced: {type: "lab:Data", properties: {trigger: x, value: same}}
  deleted: {type: "lab:Data", properties: {value: "${word}"}}
  retained: {type: "lab:Data", properties: {value: keep}, options: {retainOnDelete: true}}
  same: {type: "lab:Data", properties: {value: same}}
  secret: {type: "lab:Data", properties: {value: "${word}"}}
  unmarked: {type: "lab:Data", properties: {value: "prefix canary-listed"}}
  drifted: {type: "lab:File", properties: {path: "$DIR/drifted", content: text}}
  gone: {type: "lab:File", properties: {path: "$DIR/gone", content: text}}
  follows: {type: "lab:Data", properties: {value: "${updated.output}"}}
outputs: {open: 1, gone: x, secret: "${word}", nested: {inner: "${word}", plain: [1, true]}}
`},
	{"2-change", `
config: {word: {type: string, secret: true}}
resources:
  updated: {type: "lab:Data", properties: {value: "é>c"}}
  replaced: {type: "lab:Data", properties: {trigger: y, value: same}}
  same: {type: "lab:Data", properties: {value: same}}
  secret: {type: "lab:Data", properties: {value: "${word}!"}}
  unmarked: {type: "lab:Data", properties: {value: "other canary-listed"}}
  created: {type: "lab:Data", properties: {value: "${replaced.output}"}}
  drifted: {type: "lab:File", properties: {path: "$DIR/drifted", content: text}}
  gone: {type: "lab:File", properties: {path: "$DIR/gone", content: text}}
  follows: {type: "lab:Data", properties: {value: "${updated.output}"}}
outputs: {open: "${created.output}", new: [x], secret: "${word}!", nested: {inner: "${word}", plain: [1, true]}}
`},
	{"3-same", ""}, // the same program, after the apply
	{"4-destroy", `
resources: {}
`},
}

// recorded is what one preview left.
type recorded struct {
	events []apitype.EngineEvent
	plan   savedPlan
	state  *deployment
}

func readRecording(t *testing.T, name string) recorded {
	t.Helper()
	read := func(file string) []byte {
		b, err := os.ReadFile(filepath.Join("testdata", name, file))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	var r recorded
	lines := bufio.NewScanner(bytes.NewReader(read("events.jsonl")))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var e apitype.EngineEvent
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			t.Fatal(err)
		}
		r.events = append(r.events, e)
	}
	if err := json.Unmarshal(read("plan.json"), &r.plan); err != nil {
		t.Fatal(err)
	}
	var err error
	if r.state, err = parseCheckpoint(read("state.json")); err != nil {
		t.Fatal(err)
	}
	return r
}

// TestRecord runs the story with the real engine and writes what it left down.
func TestRecord(t *testing.T) {
	t.Parallel()
	if !*recordAgain {
		t.Skip("-record is not given; with it testdata/ is recorded again from the real Pulumi: go test ./reconciler/engine/pulumi -run '^TestRecord$' -record")
	}
	e, plugins := tooltest.Pulumi(t)
	dir := t.TempDir()
	project := filepath.Join(dir, "project")
	if err := os.Mkdir(project, 0o700); err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), e.Path, append([]string{"--non-interactive"}, args...)...)
		cmd.Dir = project
		cmd.Env = []string{"PATH=" + filepath.Dir(e.Path), "HOME=" + dir, "PULUMI_HOME=" + dir + "/home", "PULUMI_BACKEND_URL=file://" + dir,
			"PULUMI_CONFIG_PASSPHRASE=" + recordPassphrase, "PULUMI_SKIP_UPDATE_CHECK=true", "PULUMI_DEBUG_COMMANDS=true", "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION=true"}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("pulumi %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(project, name), []byte(strings.ReplaceAll(text, "$DIR", dir)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("Pulumi.yaml", fmt.Sprintf("name: story\nruntime: yaml\nplugins: {providers: [{name: lab, path: %q}]}\n", plugins))
	run("stack", "init", "dev")
	run("config", "set", "--secret", "word", "canary-word")
	for _, s := range story {
		if s.program != "" {
			write("Main.yaml", s.program)
		}
		events, plan := filepath.Join(dir, "events.jsonl"), filepath.Join(dir, "plan.json")
		_ = os.Remove(events)
		run("preview", "--refresh", "--save-plan="+plan, "--event-log="+events)
		into := filepath.Join("testdata", s.name)
		if err := os.MkdirAll(into, 0o755); err != nil { //nolint:gosec // of the source tree
			t.Fatal(err)
		}
		for name, from := range map[string]string{"events.jsonl": events, "plan.json": plan, "state.json": filepath.Join(dir, ".pulumi/stacks/story/dev.json")} {
			b, err := os.ReadFile(from)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(into, name), []byte(scrub(string(b), dir)), 0o644); err != nil { //nolint:gosec // of the source tree
				t.Fatal(err)
			}
		}
		run("up", "--yes", "--skip-preview", "--plan="+plan, "--refresh")
		if err := os.WriteFile(filepath.Join(dir, "drifted"), []byte("from outside"), 0o600); err != nil {
			t.Fatal(err)
		}
		switch s.name {
		case "1-create":
			if err := os.Remove(filepath.Join(dir, "gone")); err != nil {
				t.Fatal(err)
			}
		case "2-change":
			run("refresh", "--yes", "--skip-preview")
			run("up", "--yes", "--skip-preview")
		}
	}
}

var (
	debugLine = regexp.MustCompile(`(?m)^.*"severity":"debug".*\n`)
	traces    = regexp.MustCompile(`(?s),\s*"stackTrace":\s*\[.*?\]`)
	sources   = regexp.MustCompile(`,\s*"sourcePosition":\s*"[^"]*"`)
)

// scrub leaves out where it was recorded, and what nobody reads.
func scrub(text, dir string) string {
	text = debugLine.ReplaceAllString(text, "")
	text = sources.ReplaceAllString(traces.ReplaceAllString(text, ""), "")
	return strings.ReplaceAll(text, dir, "/srv/lab")
}

// storyConverter converts what was recorded.
func storyConverter(r recorded) converter {
	keys := newKeyring(recordPassphrase, []byte("a key"), nil)
	return converter{
		Hider: facts.Hider{Key: []byte("a key"), Mask: facts.NewMasker([]string{"canary-listed"})},
		open:  keys.decrypter(saltOf(r)), state: r.state,
		fixed: fixed{State: r.state.mark([]byte("a key")), Program: "sha256:program", Inputs: "hmac:inputs"},
	}
}

// saltOf is the salt of the recorded stack, also before its first update.
func saltOf(r recorded) string {
	if s := r.state.salt(); s != "" {
		return s
	}
	b, err := os.ReadFile(filepath.Join("testdata", "2-change", "state.json"))
	if err != nil {
		return ""
	}
	d, err := parseCheckpoint(b)
	if err != nil {
		return ""
	}
	return d.salt()
}

func TestRecordedPlansAreReadAsTheyWere(t *testing.T) {
	t.Parallel()
	for _, s := range story {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			r := readRecording(t, s.name)
			plan, err := storyConverter(r).convert(told{events: r.events, plan: r.plan})
			if err != nil {
				t.Fatal(err)
			}
			plan.Text = facts.Render(*plan, reasons)
			text, err := json.MarshalIndent(plan, "", " ")
			if err != nil {
				t.Fatal(err)
			}
			goldentest.Compare(t, filepath.Join("testdata", s.name+".golden.json"), string(text)+"\n")
			goldentest.Compare(t, filepath.Join("testdata", s.name+".golden.txt"), plan.Text)
			for _, secret := range []string{"canary-word", "canary-listed"} {
				if strings.Contains(string(text), secret) {
					t.Errorf("%s is in the plan:\n%s", secret, text)
				}
			}
		})
	}
}

// What a digest covers, one by one: each makes another one, and nothing else does.
func TestDigestCoversWhatThePlanIsMadeOf(t *testing.T) {
	t.Parallel()
	digest := func(change func(*recorded, *converter)) string {
		t.Helper()
		r := readRecording(t, "2-change")
		c := storyConverter(r)
		change(&r, &c)
		plan, err := c.convert(told{events: r.events, plan: r.plan})
		if err != nil {
			t.Fatal(err)
		}
		return plan.Digest
	}
	first := digest(func(*recorded, *converter) {})
	kept := func(r *recorded) map[string]any {
		return r.plan.ResourcePlans["urn:pulumi:dev::story::lab:index:Data::created"].raw
	}
	for name, change := range map[string]func(*recorded, *converter){
		"the seed":           func(r *recorded, _ *converter) { kept(r)["seed"] = "another" },
		"the proposed state": func(r *recorded, _ *converter) { kept(r)["state"] = map[string]any{} },
		"a provider's id": func(r *recorded, _ *converter) {
			goal := kept(r)["goal"].(map[string]any)
			goal["provider"] = withoutID(goal["provider"].(string)) + "::another"
		},
		"the order of events": func(r *recorded, _ *converter) {
			for i := 1; i < len(r.events); i += 2 {
				a, b := r.events[i-1], r.events[i]
				if a.ResourcePreEvent != nil && b.ResourcePreEvent != nil {
					r.events[i-1], r.events[i] = b, a
				}
			}
		},
	} {
		if got := digest(change); got != first {
			t.Errorf("%s is in the digest", name)
		}
	}
	seen := map[string]string{first: "nothing"}
	for name, change := range map[string]func(*recorded, *converter){
		"the state":   func(_ *recorded, c *converter) { c.fixed.State = "hmac:another" },
		"its place":   func(_ *recorded, c *converter) { c.fixed.Place = "s3 hmac:x" },
		"the program": func(_ *recorded, c *converter) { c.fixed.Program = "sha256:another" },
		"the config":  func(_ *recorded, c *converter) { c.fixed.Inputs = "hmac:another" },
		"a goal": func(r *recorded, _ *converter) {
			kept(r)["goal"].(map[string]any)["protect"] = true
		},
		"a step": func(r *recorded, _ *converter) {
			p := r.plan.ResourcePlans["urn:pulumi:dev::story::lab:index:Data::created"]
			p.Steps = append(p.Steps, "delete")
			r.plan.ResourcePlans["urn:pulumi:dev::story::lab:index:Data::created"] = p
		},
		"the key": func(_ *recorded, c *converter) { c.Key = []byte("another") },
	} {
		got := digest(change)
		if other, ok := seen[got]; ok {
			t.Errorf("the digest does not tell %s from %s", name, other)
		}
		seen[got] = name
	}
}

func TestRecordingsHoldWhatTheStoryDoes(t *testing.T) {
	t.Parallel()
	for _, s := range story {
		r := readRecording(t, s.name)
		if len(r.events) == 0 || r.state == nil || s.name != "3-same" && len(r.plan.ResourcePlans) == 0 {
			t.Errorf("%s: %d events, %d resources in the plan", s.name, len(r.events), len(r.plan.ResourcePlans))
		}
	}
	if _, err := parseCheckpoint([]byte("{")); err == nil {
		t.Error("half a checkpoint is a state")
	}
	if _, err := parseCheckpoint([]byte("{}")); err == nil {
		t.Error("nothing is a state")
	}
}

func TestWhatASavedPlanChangesMustHaveBeenHeard(t *testing.T) {
	t.Parallel()
	for _, s := range story {
		r := readRecording(t, s.name)
		if urn := unheard(told{r.events, r.plan}); urn != "" {
			t.Errorf("%s: %s was not heard", s.name, urn)
		}
	}
	const lost = "urn:pulumi:dev::story::lab:index:Data::created"
	r := readRecording(t, "2-change")
	r.events = slices.DeleteFunc(r.events, func(e apitype.EngineEvent) bool {
		return e.ResourcePreEvent != nil && e.ResourcePreEvent.Metadata.URN == lost || e.ResOutputsEvent != nil && e.ResOutputsEvent.Metadata.URN == lost
	})
	if urn := unheard(told{r.events, r.plan}); urn != lost {
		t.Errorf("unheard is %q", urn)
	}
}
