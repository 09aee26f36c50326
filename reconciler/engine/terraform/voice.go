package terraform

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/stackreeve/stackreeve/reconciler/engine"
	"github.com/stackreeve/stackreeve/reconciler/engine/telling"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
)

// message is one line of the engines' JSON stream: the union of what we read.
// https://developer.hashicorp.com/terraform/internals/machine-readable-ui
type message struct {
	Level   string  `json:"@level"`
	Text    string  `json:"@message"`
	Type    string  `json:"type"`
	Change  *change `json:"change"`
	Hook    *hook   `json:"hook"`
	Changes *struct {
		Import    int    `json:"import"`
		Forget    int    `json:"forget"`
		Operation string `json:"operation"`
	} `json:"changes"`
	Outputs    map[string]streamOutput `json:"outputs"`
	Diagnostic *diagnostic             `json:"diagnostic"`
}

type change struct {
	Resource struct {
		Addr string `json:"addr"`
	} `json:"resource"`
	Action string `json:"action"`
}

type hook struct {
	change
	Elapsed float64 `json:"elapsed_seconds"`
}

type streamOutput struct {
	Sensitive bool            `json:"sensitive"`
	Value     json.RawMessage `json:"value"`
}

type diagnostic struct {
	Severity string `json:"severity"`
	Summary  string `json:"summary"`
	Detail   string `json:"detail"`
	Address  string `json:"address"`
	Range    *struct {
		Filename string `json:"filename"`
		Start    struct {
			Line   int `json:"line"`
			Column int `json:"column"`
		} `json:"start"`
	} `json:"range"`
	Snippet *struct {
		Context *string        `json:"context"`
		Code    string         `json:"code"`
		Values  []snippetValue `json:"values"`
	} `json:"snippet"`
}

type snippetValue struct {
	Traversal string `json:"traversal"`
	Statement string `json:"statement"`
}

// maxKept is how many bytes of what an engine says outside its diagnostics are
// kept for a failure's text.
const maxKept = 16 << 10

// voice hears one engine process: it turns the JSON stream into log lines, events
// and diagnostics. What is not JSON is a log line: engines print warnings about
// their own configuration before they know of -json.
type voice struct {
	phase     *phase
	operation stackjob.OperationKind
	// listen gets every message of the stream, before it is logged.
	listen func(message)

	mu       sync.Mutex
	out, err telling.Lines
	errors   []diagnostic
	stderr   strings.Builder
	plain    strings.Builder // lines that were not JSON
	// began tells that the stream began, and working that the engine came to a resource.
	began, working bool
}

func (p *phase) voice(kind stackjob.OperationKind, listen func(message)) *voice {
	v := &voice{phase: p, operation: kind, listen: listen}
	if listen == nil {
		v.listen = func(message) {}
	}
	v.out.Line, v.err.Line = v.hear, v.hearError
	return v
}

// asked is when the process began to run; zero when nothing was run.
func (v *voice) asked() time.Time {
	if v.phase.engine == nil {
		return time.Time{}
	}
	return v.phase.engine.askedAt
}

func (v *voice) stdout() telling.Writer {
	return func(p []byte) { v.mu.Lock(); defer v.mu.Unlock(); v.out.Hear(p) }
}

func (v *voice) errorOutput() telling.Writer {
	return func(p []byte) { v.mu.Lock(); defer v.mu.Unlock(); v.err.Hear(p) }
}

// end hears what came last, without a line end.
func (v *voice) end() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.out.Flush()
	v.err.Flush()
}

func (v *voice) hear(line []byte) {
	var m message
	if len(line) == 0 || line[0] != '{' || json.Unmarshal(line, &m) != nil || m.Level == "" && m.Type == "" {
		v.hide()
		v.log(string(line))
		keep(&v.plain, string(line))
		return
	}
	v.began, v.working = true, v.working || m.Hook != nil
	v.phase.hearAddress(m)
	if m.Type == "apply_complete" {
		v.phase.written.Filled()
	}
	if !isRoutine(m.Type) {
		v.hide()
	}
	v.listen(m)
	switch m.Type {
	case "version":
		return
	case "diagnostic":
		if m.Diagnostic != nil {
			v.diagnose(*m.Diagnostic)
			return
		}
	}
	v.progress(m)
	v.log(m.Text)
}

func (v *voice) hearError(line []byte) {
	v.hide()
	v.log(string(line))
	keep(&v.stderr, string(line))
}

// hide hides what the state holds before something is logged that may quote it. Not in init
// and before the stream: there is nothing of the state in what is said then, and not all
// names are known.
func (v *voice) hide() {
	if v.began && v.operation != stackjob.OpInit {
		v.phase.hideState()
	}
}

// isRoutine tells whether the words of a message are the engine's own, with addresses in them
// and no values: a large state is not read again for each.
func isRoutine(kind string) bool {
	return slices.Contains([]string{"version", "planned_change", "resource_drift", "change_summary", "outputs"}, kind) ||
		strings.HasPrefix(kind, "apply_") || strings.HasPrefix(kind, "refresh_")
}

// hearAddress notes what a message speaks of.
func (p *phase) hearAddress(m message) {
	if m.Change != nil {
		p.names[m.Change.Resource.Addr] = true
	}
	if m.Hook != nil {
		p.names[m.Hook.Resource.Addr] = true
	}
}

func keep(b *strings.Builder, line string) {
	if b.Len() < maxKept {
		b.WriteString(line + "\n")
	}
}

func (v *voice) log(line string) {
	if line != "" {
		v.phase.Sink.Log([]byte(line + "\n"))
	}
}

func (v *voice) diagnose(d diagnostic) {
	text := d.render(v.phase.at)
	v.log(text)
	if d.Severity == "error" {
		v.errors = append(v.errors, d)
		return
	}
	line := "Warning: " + d.Summary
	if d.Range != nil {
		where, _, _ := strings.Cut(d.place(v.phase.at), ", in ")
		line += " (" + where + ")"
	}
	if first, _, _ := strings.Cut(v.phase.at.relativeToModule(d.Detail), "\n"); first != "" {
		line += ": " + first
	}
	v.phase.Warn(line)
}

// progress journals what the engine tells of one resource.
func (v *voice) progress(m message) {
	status := map[string]string{
		"apply_start": "started", "apply_progress": "running", "apply_complete": "done", "apply_errored": "failed",
		"refresh_start": "started", "refresh_complete": "done",
	}[m.Type]
	if status == "" || m.Hook == nil {
		return
	}
	action := stackjob.Read
	if strings.HasPrefix(m.Type, "apply") {
		action = actionOfStream(m.Hook.Action)
	}
	v.phase.Sink.Emit(engine.Event{Type: engine.ResourceProgress, Operation: v.operation, Resource: &engine.Progress{
		Address: v.phase.Mask.Text(m.Hook.Resource.Addr), Action: action, Status: status,
		Elapsed: time.Duration(m.Hook.Elapsed * float64(time.Second)),
	}})
}

// actionOfStream translates the stream's word for an action.
func actionOfStream(word string) stackjob.ChangeAction {
	switch word {
	case "noop":
		return stackjob.NoOp
	case "remove":
		return stackjob.Forget
	}
	return stackjob.ChangeAction(word) // create, read, update, replace, delete, import
}

// said is everything by which a failure is recognised.
func (v *voice) said() string {
	v.mu.Lock()
	defer v.mu.Unlock()
	var b strings.Builder
	for _, d := range v.errors {
		b.WriteString(d.Summary + "\n" + d.Detail + "\n")
	}
	b.WriteString(v.stderr.String())
	if len(v.errors) == 0 {
		b.WriteString(v.plain.String())
	}
	return b.String()
}

// own is what the engine says of the state and the plan that it was given: diagnostics that
// point at nothing, or what is no diagnostic when there are none. One that points at a place
// in the code or at a resource may quote anybody: what a command printed that a provisioner
// ran, a provider, the author. So may any when the engine has come to a resource: it has the
// state's lock then, and took the plan.
func (v *voice) own() string {
	v.mu.Lock()
	defer v.mu.Unlock()
	switch {
	case v.working:
		return ""
	case len(v.errors) == 0:
		return v.stderr.String() + v.plain.String()
	}
	var b strings.Builder
	for _, d := range v.errors {
		if d.Range == nil && d.Address == "" {
			b.WriteString(d.Summary + "\n" + d.Detail + "\n")
		}
	}
	return b.String()
}

// hadNoLock tells whether the engine could not have the state's lock, because of its
// holder or of its keeper: it has touched nothing then.
func (v *voice) hadNoLock() bool { return strings.Contains(strings.ToLower(v.own()), noLock) }

// failureText is what a person reads: the diagnostics, or, when there are none,
// what else the engine said.
func (v *voice) failureText() string {
	v.mu.Lock()
	defer v.mu.Unlock()
	var parts []string
	for _, d := range v.errors {
		parts = append(parts, d.render(v.phase.at))
	}
	if len(parts) == 0 {
		parts = append(parts, strings.TrimSpace(cmp.Or(strings.TrimSpace(v.stderr.String()), v.plain.String())))
	}
	return strings.TrimSpace(strings.Join(parts, "\n\n"))
}

func (v *voice) firstSummary() string {
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.errors) == 0 {
		return ""
	}
	return v.errors[0].Summary
}

// render writes a diagnostic for a person: severity and summary, the place, the
// line, the values in it, the detail.
func (d diagnostic) render(at layout) string {
	var b strings.Builder
	severity := "Error"
	if d.Severity == "warning" {
		severity = "Warning"
	}
	fmt.Fprintf(&b, "%s: %s\n", severity, d.Summary)
	if d.Range != nil {
		fmt.Fprintf(&b, "  on %s\n", d.place(at))
		if d.maySnippet(at) {
			for i, line := range strings.Split(strings.TrimRight(d.Snippet.Code, "\n"), "\n") {
				fmt.Fprintf(&b, "  %4d │ %s\n", d.Range.Start.Line+i, line)
			}
			for _, val := range d.shownValues() {
				fmt.Fprintf(&b, "       ├ %s %s\n", val.Traversal, val.Statement)
			}
		}
	} else if d.Address != "" {
		fmt.Fprintf(&b, "  with %s\n", d.Address)
	}
	if d.Detail != "" {
		b.WriteString("\n" + at.relativeToModule(strings.TrimSpace(d.Detail)) + "\n")
	}
	return strings.TrimRight(b.String(), "\n")
}

// place is where a diagnostic points, in the author's words.
func (d diagnostic) place(at layout) string {
	if at.isPrivate(d.Range.Filename) {
		return "the inputs of the stack"
	}
	where := fmt.Sprintf("%s:%d:%d", at.relativeToModule(d.Range.Filename), d.Range.Start.Line, d.Range.Start.Column)
	if d.Snippet != nil && d.Snippet.Context != nil {
		where += ", in " + *d.Snippet.Context
	}
	return where
}

// shownValues are the values beside a diagnostic's code. None in the block of a variable: of
// a rule there that cannot be evaluated Terraform shows the variable's value, also when it is
// declared sensitive ("Invalid variable validation result", or what the expression fails with).
func (d diagnostic) shownValues() []snippetValue {
	if d.Snippet.Context != nil && strings.HasPrefix(*d.Snippet.Context, `variable "`) {
		return nil
	}
	return d.Snippet.Values
}

// maySnippet tells whether the code and the values beside a diagnostic may be
// shown. Not those of our own inputs file, which is one line with every input in
// it; and not those of a variable that its own rule refuses, because the engines
// show its value there even when it is declared sensitive.
func (d diagnostic) maySnippet(at layout) bool {
	return d.Snippet != nil && d.Snippet.Code != "" && !at.isPrivate(d.Range.Filename) && d.Summary != "Invalid value for variable"
}
