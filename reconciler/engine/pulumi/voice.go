package pulumi

import (
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/auto/events"
	"github.com/pulumi/pulumi/sdk/v3/go/common/apitype"

	"github.com/stackreeve/stackreeve/reconciler/engine"
	"github.com/stackreeve/stackreeve/reconciler/engine/telling"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
)

// maxKept is how many bytes of what an engine says outside its diagnostics are kept for
// a failure's text.
const maxKept = 16 << 10

// voice hears one engine process: it turns events into log lines, journal events and
// diagnostics. The log is made of events, like that of the other engines: what Pulumi
// draws on its standard output is the same once more.
type voice struct {
	phase     *phase
	operation stackjob.OperationKind
	// listen gets every event, before it is logged.
	listen func(apitype.EngineEvent)

	mu      sync.Mutex
	err     telling.Lines
	out     telling.Lines
	errors  []apitype.DiagnosticEvent
	stderr  strings.Builder
	started map[string]time.Time
}

func (p *phase) voice(kind stackjob.OperationKind, listen func(apitype.EngineEvent)) *voice {
	v := &voice{phase: p, operation: kind, listen: listen, started: map[string]time.Time{}}
	if listen == nil {
		v.listen = func(apitype.EngineEvent) {}
	}
	v.err.Line, v.out.Line = v.hearError, func(line []byte) { v.log(p.at.relative(string(line))) }
	return v
}

func (v *voice) output() io.Writer {
	return telling.Writer(func(p []byte) { v.mu.Lock(); defer v.mu.Unlock(); v.out.Hear(p) })
}

func (v *voice) errorOutput() io.Writer {
	return telling.Writer(func(p []byte) { v.mu.Lock(); defer v.mu.Unlock(); v.err.Hear(p) })
}

// end hears what came last, without a line end.
func (v *voice) end() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.out.Flush()
	v.err.Flush()
}

func (v *voice) hearError(line []byte) {
	// What an update plan is for is no news here, nor where a plugin was found.
	text := v.phase.at.relative(string(line))
	if !strings.HasPrefix(text, "Update plan written to") && !strings.HasPrefix(text, "Run `pulumi up --plan=") && !isMachines(strings.TrimPrefix(text, "warning: ")) {
		v.log(text)
		if v.stderr.Len() < maxKept {
			v.stderr.WriteString(text + "\n")
		}
	}
}

// isMachines tells whether a warning says where a plugin was found: the machine's matter.
func isMachines(warning string) bool {
	return strings.HasPrefix(warning, "using pulumi-resource-") || strings.HasPrefix(warning, "using pulumi-language-")
}

func (v *voice) log(line string) {
	if strings.TrimSpace(line) != "" {
		v.phase.Sink.Log([]byte(line + "\n"))
	}
}

// following runs the engine once and hears its events. run gives them to the channel
// until it returns; the channel may never be closed when the engine dies young.
func (v *voice) following(run func(chan<- events.EngineEvent) error) error {
	ch, heard, over := make(chan events.EngineEvent), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(heard)
		for {
			select {
			case e, ok := <-ch:
				if !ok {
					return
				}
				if e.Error == nil { // a broken stream is an engine that died
					v.hear(e.EngineEvent)
				}
			case <-over:
				return
			}
		}
	}()
	err := run(ch)
	close(over)
	<-heard
	return err
}

func (v *voice) hear(e apitype.EngineEvent) {
	v.listen(e)
	switch {
	case e.ResourcePreEvent != nil:
		v.progress(e.ResourcePreEvent.Metadata, "started")
	case e.ResOutputsEvent != nil:
		v.progress(e.ResOutputsEvent.Metadata, "done")
	case e.ResOpFailedEvent != nil:
		v.progress(e.ResOpFailedEvent.Metadata, "failed")
	case e.DiagnosticEvent != nil:
		v.diagnose(*e.DiagnosticEvent)
	case e.StdoutEvent != nil:
		v.log(v.phase.at.relative(strings.TrimRight(e.StdoutEvent.Message, "\n")))
	case e.PolicyEvent != nil:
		v.diagnose(apitype.DiagnosticEvent{URN: e.PolicyEvent.ResourceURN, Message: e.PolicyEvent.Message,
			Severity: map[bool]string{true: "error", false: "warning"}[e.PolicyEvent.EnforcementLevel == "mandatory"]})
	}
}

func (v *voice) diagnose(d apitype.DiagnosticEvent) {
	d.Message = v.phase.at.relative(withoutValues(strings.TrimSpace(d.Message)))
	if v.operation == stackjob.OpApply || v.operation == stackjob.OpDestroy {
		v.phase.hideWritten()
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	switch d.Severity {
	case "error":
		if d.URN == "" && len(v.errors) > 0 && (d.Message == "update failed" || d.Message == "preview failed") {
			return // it says nothing that is not known
		}
		if len(v.errors) > 0 && strings.HasSuffix(d.Message, " but none were seen") {
			return // a saved plan's step that another's failure kept from its turn: nothing is wrong with it
		}
		v.log("Error: " + render(d))
		v.errors = append(v.errors, d)
	case "warning":
		if isMachines(d.Message) {
			return
		}
		v.log("Warning: " + render(d))
		first, _, _ := strings.Cut(render(d), "\n")
		v.phase.Warn("Warning: " + first)
	case "info", "info#err":
		if d.Ephemeral {
			return
		}
		if stack, ok := strings.CutPrefix(d.Message, "eliding undecryptable secrets for stack reference "); ok {
			// The program goes on with the text "[secret]" for each of them.
			text := "Warning: The program reads the stack " + stack + " by a StackReference, and that stack's secrets are encrypted with another key: in the place of each it gets a text that is not the secret. Read outputs by valueFrom in the config instead."
			v.log(text)
			v.phase.Warn(text)
			return
		}
		v.log(d.Message)
		// Language hosts print what is wrong with a program there, and the engine then says
		// nothing more.
		if d.Severity == "info#err" && v.stderr.Len() < maxKept {
			v.stderr.WriteString(d.Message + "\n")
		}
	}
}

// render writes a diagnostic: whose it is, and what it says.
func render(d apitype.DiagnosticEvent) string {
	if d.URN == "" || typeOf(d.URN) == stackType {
		return d.Message
	}
	return fmt.Sprintf("%s (%s): %s", nameOf(d.URN), typeOf(d.URN), d.Message)
}

// doing are the words of the log for a step that begins and one that is done.
var doing = map[apitype.OpType][2]string{
	apitype.OpCreate:            {"Creating", "Creation complete"},
	apitype.OpCreateReplacement: {"Creating the replacement", "Replacement created"},
	apitype.OpUpdate:            {"Modifying", "Modifications complete"},
	apitype.OpDelete:            {"Destroying", "Destruction complete"},
	apitype.OpDeleteReplaced:    {"Destroying what was replaced", "Destruction complete"},
	apitype.OpRefresh:           {"Refreshing", ""},
	apitype.OpRead:              {"Reading", "Read complete"},
	apitype.OpReadReplacement:   {"Reading", "Read complete"},
	apitype.OpImport:            {"Importing", "Import complete"},
	apitype.OpImportReplacement: {"Importing the replacement", "Import complete"},
	opForget:                    {"Removing from the state", "Removed from the state and not destroyed,"},
}

// actions are the steps that are journaled, in everybody's words.
var actions = map[apitype.OpType]stackjob.ChangeAction{
	apitype.OpCreate: stackjob.Create, apitype.OpCreateReplacement: stackjob.Create,
	apitype.OpUpdate: stackjob.Update, apitype.OpDelete: stackjob.Delete, apitype.OpDeleteReplaced: stackjob.Delete,
	apitype.OpRefresh: stackjob.Read, apitype.OpImport: stackjob.Import, apitype.OpImportReplacement: stackjob.Import,
	opForget: stackjob.Forget,
}

// progress logs and journals what the engine does with one resource. In a plan only the
// refresh is done; the rest is what would be.
func (v *voice) progress(md apitype.StepEventMetadata, status string) {
	if (md.Op == apitype.OpDelete || md.Op == apitype.OpDeleteReplaced) && md.Old != nil && md.Old.RetainOnDelete {
		md.Op = opForget
	}
	action, known := actions[md.Op]
	if isPseudo(typeOf(md.URN)) || !known || v.operation == stackjob.OpPlan && md.Op != apitype.OpRefresh {
		return
	}
	p := &engine.Progress{Address: v.phase.Mask.Text(md.URN), Action: action, Status: status}
	key := string(md.Op) + md.URN
	now := v.phase.driver.now()
	if status == "started" {
		v.started[key] = now
	} else if at, ok := v.started[key]; ok {
		p.Elapsed = now.Sub(at)
	}
	who := fmt.Sprintf("%s (%s): ", nameOf(md.URN), typeOf(md.URN))
	switch words := doing[md.Op]; {
	case status == "started":
		v.log(who + words[0] + "...")
	case status == "done" && words[1] != "":
		v.log(fmt.Sprintf("%s%s after %s", who, words[1], p.Elapsed.Round(time.Second)))
	case status == "failed":
		v.log(who + "failed")
	}
	v.phase.Sink.Emit(engine.Event{Type: engine.ResourceProgress, Operation: v.operation, Resource: p})
}

// said is everything by which a failure is recognised.
func (v *voice) said() string {
	v.mu.Lock()
	defer v.mu.Unlock()
	var b strings.Builder
	for _, d := range v.errors {
		b.WriteString(d.Message + "\n")
	}
	b.WriteString(v.stderr.String())
	return b.String()
}

// failureText is what a person reads: the diagnostics, or, when there are none, what
// else the engine said.
func (v *voice) failureText() string {
	v.mu.Lock()
	defer v.mu.Unlock()
	var parts []string
	for _, d := range v.errors {
		parts = append(parts, "Error: "+render(d))
	}
	if len(parts) == 0 {
		parts = append(parts, strings.TrimSpace(v.stderr.String()))
	}
	return strings.TrimSpace(strings.Join(parts, "\n\n"))
}

// hasDiagnostics tells whether the engine told of errors by events: it ran a program then.
func (v *voice) hasDiagnostics() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return len(v.errors) > 0
}

// programFailed tells whether the program itself reported an error. The engine goes on
// without what could not be computed, and ends as if all were well: "1 errored", and 0.
func (v *voice) programFailed() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.ContainsFunc(v.errors, func(d apitype.DiagnosticEvent) bool { return d.URN == "" || typeOf(d.URN) == stackType })
}

func (v *voice) firstSummary() string {
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.errors) > 0 {
		summary := sentence(render(v.errors[0]))
		if said := v.firstSaid(); said != "" && strings.Contains(strings.ToLower(summary), "program exited with non-zero exit code") {
			summary += ": " + said // why, the program itself has said
		}
		return summary
	}
	text := v.stderr.String()
	if at := saysError.FindStringIndex(text); at != nil {
		return sentence(text[at[1]:])
	}
	return ""
}

// firstMistake is the first line of a compiler that tells of one.
func (v *voice) firstMistake() string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.firstSaid()
}

// firstSaid is the first line of standard error that is about the program: Go's compiler
// names the package above its mistakes, and what it downloads.
func (v *voice) firstSaid() string {
	for line := range strings.Lines(v.stderr.String()) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") && !strings.HasPrefix(line, "go: downloading ") {
			return strings.TrimRight(line, ".:")
		}
	}
	return ""
}

// saysError is how a line of an error begins that is no diagnostic.
var saysError = regexp.MustCompile(`(?mi)^\s*error: +`)

// sentence is the first line of a text, with the lines into which the engine broke it:
// "… cannot be deleted", and in the next "because it is protected".
func sentence(text string) string {
	first, rest, _ := strings.Cut(text, "\n")
	for rest != "" && 'a' <= rest[0] && rest[0] <= 'z' {
		var line string
		line, rest, _ = strings.Cut(rest, "\n")
		first += " " + line
	}
	if i := strings.Index(first, ". "); i > 0 {
		first = first[:i]
	}
	return strings.TrimRight(strings.TrimSpace(first), ".:")
}
