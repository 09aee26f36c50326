package terraform

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/stackreeve/stackreeve/reconciler/engine"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
)

func TestEngineWordsBelongToAClass(t *testing.T) {
	t.Parallel()
	for said, want := range map[string]struct {
		class engine.Class
		code  stackjob.ReasonCode
	}{
		"Reference to undeclared input variable":                           {engine.ClassAuthor, stackjob.ReasonEngine},
		"Error acquiring the state lock\nresource temporarily unavailable": {engine.ClassPerson, stackjob.ReasonStateLocked},
		"Error acquiring the state lock\nsome service says no":             {engine.ClassPerson, stackjob.ReasonStateLocked},
		"Error acquiring the state lock\nError message: operation error S3: PutObject, https response error StatusCode: 412, api error PreconditionFailed\noperation error S3: GetObject, StatusCode: 403, api error AccessDenied": {engine.ClassPerson, stackjob.ReasonStateLocked},
		"Error acquiring the state lock\nError message: operation error DynamoDB: PutItem, StatusCode: 400, AccessDeniedException: not authorized to perform: dynamodb:PutItem":                                                    {engine.ClassPerson, stackjob.ReasonEngine},
		"Error acquiring the state lock\nError message: operation error DynamoDB: PutItem, ResourceNotFoundException: Requested resource not found":                                                                                {engine.ClassPerson, stackjob.ReasonEngine},
		"Error acquiring the state lock\nError message: HTTP remote state endpoint requires auth":                                                                                                                                  {engine.ClassPerson, stackjob.ReasonEngine},
		"Error acquiring the state lock\nError message: Put \"https://x\": dial tcp 10.0.0.1:443: connect: connection refused":                                                                                                     {engine.ClassWait, stackjob.ReasonEngine},
		"Error acquiring the state lock\nError message: open /x/.terraform.tfstate.lock.info: no space left on device":                                                                                                             {engine.ClassWait, stackjob.ReasonDiskFull},
		"Error acquiring the state lock\nError message: open /x/terraform.tfstate: permission denied":                                                                                                                              {engine.ClassPerson, stackjob.ReasonEngine},
		"Saved plan is stale":               {engine.ClassWait, stackjob.ReasonStalePlan},
		"write /x: no space left on device": {engine.ClassWait, stackjob.ReasonDiskFull},
		"could not connect to registry.terraform.io: dial tcp: lookup registry.terraform.io: no such host": {engine.ClassWait, stackjob.ReasonEngine},
		"Failed to query available provider packages\nprovider registry does not have a provider named x":  {engine.ClassAuthor, stackjob.ReasonEngine},
		"Get \"https://x\": net/http: TLS handshake timeout":                                               {engine.ClassWait, stackjob.ReasonEngine},
		"api error TooManyRequests: Too Many Requests":                                                     {engine.ClassWait, stackjob.ReasonEngine},
		"No valid credential sources found":                                                                {engine.ClassPerson, stackjob.ReasonEngine},
		"api error AccessDenied: not authorized":                                                           {engine.ClassPerson, stackjob.ReasonEngine},
		"!!!!!!!!!!!!!!!!!!!!!!!!!!! TERRAFORM CRASH !!!!!!!!!!!!!!!!!!!!!!!!!!!!":                         {engine.ClassBug, stackjob.ReasonEngine},
	} {
		if class, code := classify(said, said); class != want.class || code != want.code {
			t.Errorf("%q: %s %s, want %s %s", said, class, code, want.class, want.code)
		}
	}
}

// The words for a lock and for a stale plan lead to other steps than a failure does, and
// a command, a provider or an author may use them too.
func TestOnlyTheEngineItselfSaysThatItsStateIsLockedOrItsPlanStale(t *testing.T) {
	t.Parallel()
	locked := engine.StateLock{ID: "2a67ea49-2c51-1d3e-e2cf-3e7d2b2b2f8b", Path: "/state/terraform.tfstate", Operation: "OperationTypeApply",
		Who: "ann@laptop", Version: "1.11.4", CreatedAt: time.Date(2026, 11, 21, 8, 31, 59, 123456789, time.UTC)}
	const at = `,"range":{"filename":"main.tf","start":{"line":3,"column":1}}`
	of := func(summary, detail, more string) string {
		b, err := json.Marshal(detail)
		if err != nil {
			t.Fatal(err)
		}
		return `{"@level":"error","@message":"x","type":"diagnostic","diagnostic":{"severity":"error","summary":"` + summary + `","detail":` + string(b) + more + `}}` + "\n"
	}
	_, lockInfo, _ := strings.Cut(lockText, "\n\n")
	const stale = "The given plan file can no longer be applied."
	for name, c := range map[string]struct {
		stdout, stderr string
		code           stackjob.ReasonCode
		lock           *engine.StateLock
		hadNoLock      bool
	}{
		"its lock":                       {stdout: of("Error acquiring the state lock", lockInfo, ""), code: stackjob.ReasonStateLocked, lock: &locked, hadNoLock: true},
		"its lock, for people":           {stderr: "│ " + strings.ReplaceAll(lockText, "\n", "\n│ "), code: stackjob.ReasonStateLocked, lock: &locked, hadNoLock: true},
		"its lock, which nobody keeps":   {stdout: of("Error acquiring the state lock", "Error message: api error AccessDenied", ""), code: stackjob.ReasonEngine, hadNoLock: true},
		"its plan":                       {stdout: of("Saved plan is stale", stale, ""), code: stackjob.ReasonStalePlan},
		"a command's, of a lock":         {stdout: of("local-exec provisioner error", "exit status 1. Output: "+lockText, `,"address":"x.a"`+at), code: stackjob.ReasonEngine},
		"a command's, of a plan":         {stdout: of("local-exec provisioner error", "Output: Error: Saved plan is stale", `,"address":"x.a"`+at), code: stackjob.ReasonEngine},
		"a provider's, of an old engine": {stdout: of("Error acquiring the state lock", lockInfo, at), code: stackjob.ReasonEngine},
		"a provider's, with no place":    {stdout: of("Saved plan is stale", stale, `,"address":"x.a"`), code: stackjob.ReasonEngine},
		"one's who destroys": {stdout: `{"@level":"info","@message":"x","type":"apply_start","hook":{"resource":{"addr":"x.a"},"action":"delete"}}` + "\n" +
			of("Saved plan is stale", stale, ""), code: stackjob.ReasonEngine},
		"an author's":                     {stdout: of("Resource precondition failed", "saved plan is stale", at), code: stackjob.ReasonEngine},
		"a command's beside another word": {stdout: of("local-exec provisioner error", lockText, at), stderr: "Error acquiring the state lock\n" + lockText, code: stackjob.ReasonEngine},
	} {
		p, _ := testPhase()
		v := p.voice(stackjob.OpApply, nil)
		v.stdout().Write([]byte(c.stdout))
		v.errorOutput().Write([]byte(c.stderr))
		v.end()
		f := engineProblem(t.Context(), errors.New("exit status 1"), "apply", v).Failure
		if f.Reason.Code != c.code || v.hadNoLock() != c.hadNoLock {
			t.Errorf("%s: %s, had no lock: %t", name, f.Reason.Code, v.hadNoLock())
		}
		if diff := cmp.Diff(c.lock, f.Lock); diff != "" {
			t.Errorf("%s: lock (-want +got):\n%s", name, diff)
		}
	}
}

const lockText = `Error acquiring the state lock

Error message: resource temporarily unavailable
Lock Info:
  ID:        2a67ea49-2c51-1d3e-e2cf-3e7d2b2b2f8b
  Path:      /state/terraform.tfstate
  Operation: OperationTypeApply
  Who:       ann@laptop
  Version:   1.11.4
  Created:   2026-11-21 08:31:59.123456789 +0000 UTC
  Info:

Terraform acquires a state lock to protect the state`

func TestLockInfoIsReadFromTheText(t *testing.T) {
	t.Parallel()
	want := &engine.StateLock{
		ID: "2a67ea49-2c51-1d3e-e2cf-3e7d2b2b2f8b", Path: "/state/terraform.tfstate", Operation: "OperationTypeApply",
		Who: "ann@laptop", Version: "1.11.4", CreatedAt: time.Date(2026, 11, 21, 8, 31, 59, 123456789, time.UTC),
	}
	for _, text := range []string{lockText, strings.ReplaceAll(lockText, "\n", "\n│ "), strings.ReplaceAll(lockText, "\n", "\r\n")} {
		if diff := cmp.Diff(want, parseLock(text, time.Time{})); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
	other := strings.Replace(lockText, "resource temporarily unavailable", "HTTP remote state already locked: ID=other", 1)
	if diff := cmp.Diff(&engine.StateLock{ID: "other"}, parseLock(other, time.Time{})); diff != "" {
		t.Errorf("another's lock (-want +got):\n%s", diff)
	}
	// The engine's own request, printed where the holder's lock should be.
	at := want.CreatedAt
	if l := parseLock(lockText, at); l != nil {
		t.Errorf("the engine's own request was taken for a lock: %+v", l)
	}
	if diff := cmp.Diff(want, parseLock(lockText, at.Add(time.Nanosecond))); diff != "" {
		t.Errorf("a lock made before the engine began (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(&engine.StateLock{ID: "other"}, parseLock(strings.ReplaceAll(other, "locked: ID", "locked:\n│ ID"), at)); diff != "" {
		t.Errorf("another's lock, in wrapped text (-want +got):\n%s", diff)
	}
	if parseLock("Error acquiring the state lock", time.Time{}) != nil {
		t.Error("a lock out of nothing")
	}
}

func FuzzParseLock(f *testing.F) {
	f.Add(lockText)
	f.Fuzz(func(t *testing.T, text string) {
		if l := parseLock(text, time.Time{}); l != nil && l.ID == "" {
			t.Error("a lock without an id")
		}
	})
}

// quiet is a sink that keeps the log.
type quiet struct {
	mu     sync.Mutex
	log    strings.Builder
	events []engine.Event
	hidden []string
}

func (q *quiet) Emit(e engine.Event) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.events = append(q.events, e)
}
func (q *quiet) Log(p []byte)     { q.mu.Lock(); defer q.mu.Unlock(); q.log.Write(p) }
func (q *quiet) Hide(s []string)  { q.mu.Lock(); defer q.mu.Unlock(); q.hidden = append(q.hidden, s...) }
func (q *quiet) LogOffset() int64 { q.mu.Lock(); defer q.mu.Unlock(); return int64(q.log.Len()) }

func testPhase(secrets ...string) (*phase, *quiet) {
	q := &quiet{}
	return newPhase(New(Options{}), engine.Task{Workspace: "/w", Secrets: secrets}, "/p/plan", q), q
}

// The file is another in each job, and nobody's.
func TestTheFileOfTheInputsIsNotNamed(t *testing.T) {
	t.Parallel()
	p, q := testPhase()
	p.voice(stackjob.OpPlan, nil).diagnose(diagnostic{Severity: "warning", Summary: "Value for undeclared variable",
		Detail: fmt.Sprintf("The root module does not declare a variable named \"other\" but a value was found in file %q. If you meant to use this value, add a block.", filepath.Join(p.at.private, inputsFile))})
	const detail = "The root module does not declare a variable named \"other\" but a value was found in the inputs of the stack. If you meant to use this value, add a block."
	if diff := cmp.Diff([]string{"Warning: Value for undeclared variable: " + detail}, p.Warnings); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff("Warning: Value for undeclared variable\n\n"+detail+"\n", q.log.String()); diff != "" {
		t.Errorf("log (-want +got):\n%s", diff)
	}
}

func TestStreamBecomesReadableLinesAndDiagnostics(t *testing.T) {
	t.Parallel()
	p, q := testPhase("canary-secret")
	v := p.voice(stackjob.OpPlan, nil)
	out := v.stdout()
	stream := `
Warning: Unable to open CLI configuration file
{"@level":"info","@message":"Terraform 1.11.4","type":"version"}
{"@level":"info","@message":"x.a: Refreshing state... [id=1]","type":"refresh_start","hook":{"resource":{"addr":"x.a"}}}
{"@level":"info","@message":"x.a: Still creating... [10s elapsed]","type":"apply_progress","hook":{"resource":{"addr":"x.a"},"action":"create","elapsed_seconds":10}}
{"@level":"warn","@message":"Warning: w","type":"diagnostic","diagnostic":{"severity":"warning","summary":"Old argument","detail":"Use another.\nMore.","range":{"filename":"main.tf","start":{"line":3,"column":1}}}}
{"@level":"error","@message":"Error: e","type":"diagnostic","diagnostic":{"severity":"error","summary":"Invalid value","detail":"It is canary-secret.","range":{"filename":"sub/x.tf","start":{"line":7,"column":5}},"snippet":{"context":"resource \"x\" \"a\"","code":"  a = var.b","values":[{"traversal":"var.b","statement":"is \"c\""}]}}}
{"broken
no line end`
	for i := 0; i < len(stream); i += 7 { // cut anywhere
		out.Write([]byte(stream[i:min(len(stream), i+7)]))
	}
	v.errorOutput().Write([]byte("on standard error\n"))
	v.end()
	want := `Warning: Unable to open CLI configuration file
x.a: Refreshing state... [id=1]
x.a: Still creating... [10s elapsed]
Warning: Old argument
  on main.tf:3:1

Use another.
More.
Error: Invalid value
  on sub/x.tf:7:5, in resource "x" "a"
     7 │   a = var.b
       ├ var.b is "c"

It is canary-secret.
{"broken
on standard error
no line end
`
	if diff := cmp.Diff(want, q.log.String()); diff != "" {
		t.Errorf("log (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"Warning: Old argument (main.tf:3:1): Use another."}, p.Warnings); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
	events := []engine.Event{
		{Type: engine.ResourceProgress, Operation: stackjob.OpPlan, Resource: &engine.Progress{Address: "x.a", Action: stackjob.Read, Status: "started"}},
		{Type: engine.ResourceProgress, Operation: stackjob.OpPlan, Resource: &engine.Progress{Address: "x.a", Action: stackjob.Create, Status: "running", Elapsed: 10 * time.Second}},
	}
	if diff := cmp.Diff(events, q.events); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	f, _ := p.Failure(engineProblem(t.Context(), errors.New("exit status 1"), "plan", v))
	if strings.Contains(f.Text, "canary") || !strings.Contains(f.Text, "It is (sensitive).") || f.Reason.Detail != "Invalid value" {
		t.Errorf("failure = %+v", f)
	}
}

// What Terraform 1.11.4 says of a sensitive variable whose rule gives a text.
func TestTheValueOfAVariableIsNotShownBesideItsRule(t *testing.T) {
	t.Parallel()
	p, q := testPhase()
	v := p.voice(stackjob.OpPlan, nil)
	v.stdout().Write([]byte(`{"@level":"error","@message":"x","type":"diagnostic","diagnostic":{"severity":"error","summary":"Invalid variable validation result",` +
		`"detail":"Invalid validation condition result value: a bool is required.","range":{"filename":"main.tf","start":{"line":21,"column":17}},` +
		`"snippet":{"context":"variable \"c\"","code":"    condition = substr(var.c, 0, 1)","values":[{"traversal":"var.c","statement":"is \"canary-c\""}]}}}` + "\n"))
	const want = "Error: Invalid variable validation result\n  on main.tf:21:17, in variable \"c\"\n    21 │     condition = substr(var.c, 0, 1)\n\n" +
		"Invalid validation condition result value: a bool is required."
	if diff := cmp.Diff(want, v.failureText()); diff != "" {
		t.Errorf("failure (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(want+"\n", q.log.String()); diff != "" {
		t.Errorf("log (-want +got):\n%s", diff)
	}
}

func FuzzStream(f *testing.F) {
	f.Add([]byte(`{"@level":"info","type":"apply_complete","hook":{"resource":{"addr":"a"},"action":"create"}}` + "\n{\n\nx"))
	f.Add([]byte(`{"@level":"error","type":"diagnostic","diagnostic":null}` + "\n"))
	f.Add([]byte(`{"type":"planned_change"}` + "\n" + `{"type":"outputs","outputs":{"a":{}}}` + "\n" + `{"type":"change_summary"}`))
	f.Fuzz(func(t *testing.T, stream []byte) {
		p, _ := testPhase()
		h := newApplyHearing(func(string, string) {})
		ph := p.hearPlan()
		v := p.voice(stackjob.OpApply, func(m message) { h.hear(m); ph.hear(m) })
		v.stdout().Write(stream)
		v.end()
		if n := h.counts(); n.Create+n.Delete+n.Update+n.Replace > len(h.done) {
			t.Errorf("counts %+v of %d resources", n, len(h.done))
		}
	})
}

func TestApplyIsCountedByWhatWasDone(t *testing.T) {
	t.Parallel()
	var notes []string
	h := newApplyHearing(func(verb, address string) { notes = append(notes, verb+" "+address) })
	for _, line := range []string{
		`{"type":"planned_change","change":{"resource":{"addr":"r"},"action":"replace"}}`,
		`{"type":"planned_change","change":{"resource":{"addr":"half"},"action":"replace"}}`,
		`{"type":"planned_change","change":{"resource":{"addr":"f"},"action":"remove"}}`,
		`{"type":"apply_start","hook":{"resource":{"addr":"r"},"action":"delete"}}`,
		`{"type":"apply_complete","hook":{"resource":{"addr":"r"},"action":"delete"}}`,
		`{"type":"apply_complete","hook":{"resource":{"addr":"half"},"action":"delete"}}`,
		`{"type":"apply_start","hook":{"resource":{"addr":"r"},"action":"create"}}`,
		`{"type":"apply_complete","hook":{"resource":{"addr":"r"},"action":"create"}}`,
		`{"type":"apply_complete","hook":{"resource":{"addr":"c"},"action":"create"}}`,
		`{"type":"apply_complete","hook":{"resource":{"addr":"u"},"action":"update"}}`,
		`{"type":"apply_complete","hook":{"resource":{"addr":"data.d"},"action":"read"}}`,
		`{"type":"apply_start","hook":{"resource":{"addr":"open"},"action":"create"}}`,
	} {
		var m message
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatal(err)
		}
		h.hear(m)
	}
	want := stackjob.Counts{Create: 1, Update: 1, Delete: 1, Replace: 1}
	if diff := cmp.Diff(want, h.counts()); diff != "" {
		t.Errorf("cut off (-want +got):\n%s", diff)
	}
	var m message
	if err := json.Unmarshal([]byte(`{"type":"change_summary","changes":{"import":2,"operation":"apply"}}`), &m); err != nil {
		t.Fatal(err)
	}
	h.hear(m)
	want.Import, want.Forget = 2, 1
	if diff := cmp.Diff(want, h.counts()); diff != "" {
		t.Errorf("complete (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"begin r", "begin r", "done r", "done c", "done u", "begin open"}, notes); diff != "" {
		t.Errorf("notes (-want +got):\n%s", diff)
	}
}
