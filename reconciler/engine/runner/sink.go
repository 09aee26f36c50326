package runner

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/stackreeve/stackreeve/reconciler/engine"
	"github.com/stackreeve/stackreeve/reconciler/engine/runner/redact"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
)

// errJournal is the cause of a phase that was stopped before its engine started,
// because that it starts could not be written down.
var errJournal = errors.New("the journal cannot be written")

// isFull tells whether an error means that there is no room.
func isFull(err error) bool {
	return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) || errors.Is(err, unix.EFBIG)
}

// sink is the [engine.Sink] of one phase. A disk that is full does not stop an
// engine that runs: it would end in the middle of its work.
type sink struct {
	journal *journal
	log     *os.File
	// limit is the largest log, 0 for none.
	limit int64
	// stop ends the phase.
	stop func(cause error)

	mu       sync.Mutex
	redactor *redact.Redactor
	size     int64
	dropped  int64
	// fault is the first thing that could not be written.
	fault error
	// started tells that an operation's start is on the disk.
	started bool
	scratch []byte
}

func openSink(folder string, t engine.Task, j *journal, stop func(error)) (*sink, error) {
	f, err := os.OpenFile(filepath.Join(folder, logFile), os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	return &sink{journal: j, log: f, limit: t.Limits.LogBytes, stop: stop, redactor: maskerOf(t)}, nil
}

// maskerOf masks what a task holds that must not be read: its secrets, and the
// keys that are the daemon's own.
func maskerOf(t engine.Task) *redact.Redactor {
	return redact.New(append(slices.Clone(t.Secrets), t.Identity, base64.StdEncoding.EncodeToString(t.HashKey)))
}

// Emit journals an event.
func (s *sink) Emit(e engine.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e = s.mask(e)
	err := s.journal.write(e)
	if err == nil {
		s.started = s.started || e.Type == engine.OperationStarted || e.Type == engine.EngineStarted
		return
	}
	s.note(err)
	if e.Type == engine.OperationStarted {
		// What is not written down must not begin: after a crash it would be
		// taken for never begun. The engine of an earlier operation has ended.
		s.stop(fmt.Errorf("%w: %w", errJournal, err))
	}
}

// mask masks what an event says in words.
func (s *sink) mask(e engine.Event) engine.Event {
	e.Message = s.redactor.Text(e.Message)
	if e.Command != nil {
		e.Command = slices.Clone(e.Command)
		for i, word := range e.Command {
			e.Command[i] = s.redactor.Text(word)
		}
	}
	if e.Resource != nil {
		p := *e.Resource
		p.Address = s.redactor.Text(p.Address)
		e.Resource = &p
	}
	if e.Ended != nil {
		op := s.maskOperation(*e.Ended)
		e.Ended = &op
	}
	return e
}

func (s *sink) maskOperation(op stackjob.Operation) stackjob.Operation {
	op.Reason.Detail = s.redactor.Text(op.Reason.Detail)
	return op
}

// maskResult masks what a result says in words and names. What it says in values is the
// driver's matter.
func (s *sink) maskResult(r engine.Result) engine.Result {
	s.mu.Lock()
	defer s.mu.Unlock()
	r.Operations = slices.Clone(r.Operations)
	for i, op := range r.Operations {
		r.Operations[i] = s.maskOperation(op)
	}
	if r.Failure != nil {
		f := *r.Failure
		f.Text, f.Reason.Detail = s.redactor.Text(f.Text), s.redactor.Text(f.Reason.Detail)
		r.Failure = &f
	}
	if r.Plan != nil {
		p := s.maskPlan(*r.Plan)
		r.Plan = &p
	}
	if r.Outcome != nil {
		o := *r.Outcome
		o.Reason.Detail = s.redactor.Text(o.Reason.Detail)
		r.Outcome = &o
	}
	return r
}

// maskPlan masks the names in a plan, too: a program may call a resource, or a key of a map,
// by a secret. Its digest was made before.
func (s *sink) maskPlan(p stackjob.Plan) stackjob.Plan {
	text := s.redactor.Text
	p.Text, p.Warnings = text(p.Text), slices.Clone(p.Warnings)
	for i, w := range p.Warnings {
		p.Warnings[i] = text(w)
	}
	p.Resources, p.Drift, p.Outputs = slices.Clone(p.Resources), slices.Clone(p.Drift), slices.Clone(p.Outputs)
	for _, list := range [][]stackjob.ResourceChange{p.Resources, p.Drift} {
		for i, r := range list {
			r.Address, r.Previous, r.Name = text(r.Address), text(r.Previous), text(r.Name)
			r.Attributes = slices.Clone(r.Attributes)
			for j := range r.Attributes {
				r.Attributes[j].Path = text(r.Attributes[j].Path)
			}
			list[i] = r
		}
	}
	for i := range p.Outputs {
		p.Outputs[i].Path = text(p.Outputs[i].Path)
	}
	return p
}

// Log keeps what the engine says.
func (s *sink) Log(p []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.scratch = s.redactor.Append(s.scratch[:0], p)
	s.write(s.scratch)
}

// Hide masks what the driver found to be secret.
func (s *sink) Hide(secrets []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.redactor.Hide(secrets)
}

// write keeps what fits; what does not is counted.
func (s *sink) write(p []byte) {
	whole := int64(len(p))
	if s.limit > 0 {
		p = p[:min(whole, max(0, s.limit-s.size))]
	}
	n := 0
	if len(p) > 0 {
		var err error
		if n, err = s.log.Write(p); err != nil {
			s.note(fmt.Errorf("log: %w", err))
		}
	}
	s.size += int64(n)
	s.dropped += whole - int64(n)
}

// LogOffset is how much log there is.
func (s *sink) LogOffset() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.size
}

func (s *sink) note(err error) {
	if s.fault == nil {
		s.fault = err
	}
}

// hasStarted tells whether an engine may have been started.
func (s *sink) hasStarted() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.started
}

// toldBytes is how much of a log's end is looked through for what it says already.
const toldBytes = 256 << 10

// untold are the lines of a failure's text that the log does not say yet. An engine's own
// words are in it; what a driver or the runner found before there was an engine is not,
// and the log is where people read why.
func (s *sink) untold(text string) string {
	tail := make([]byte, min(s.size, toldBytes))
	if _, err := s.log.ReadAt(tail, s.size-int64(len(tail))); err != nil {
		s.note(fmt.Errorf("log: %w", err))
		return ""
	}
	var b strings.Builder
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line == "" || bytes.Contains(tail, []byte(line)) {
			continue
		}
		if b.Len() == 0 && len(tail) > 0 && !bytes.HasSuffix(tail, []byte{'\n'}) {
			b.WriteByte('\n')
		}
		b.WriteString(line + "\n")
	}
	return b.String()
}

// endLog writes what was held back, why the phase failed, and how much is missing.
func (s *sink) endLog(f *engine.Failure) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.scratch = s.redactor.Flush(s.scratch[:0])
	s.write(s.scratch)
	if s.dropped > 0 {
		why := fmt.Sprintf("a log is kept up to %d bytes", s.limit)
		if s.fault != nil {
			why = s.fault.Error()
		}
		if _, err := fmt.Fprintf(s.log, "\nreeve: %d bytes of the log are missing: %s\n", s.dropped, why); err != nil {
			s.note(err)
		}
	}
	if f != nil { // beyond the limit too
		if _, err := s.log.WriteString(s.untold(f.Text)); err != nil {
			s.note(err)
		}
	}
}
