package terraform

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/stackreeve/stackreeve/reconciler/stackjob"
)

// begun is what an apply that never came to its end had begun. It is read from a
// note that the apply keeps while it runs and removes when it ends, so a note that
// is found was left by a crash.
type begun struct {
	// plan is the saved plan's name: see planName.
	plan  string
	order []string // addresses
	done  map[string]bool
}

// open are the addresses that were begun and not done.
func (b begun) open() []string {
	return slices.DeleteFunc(slices.Clone(b.order), func(a string) bool { return b.done[a] })
}

func (p *phase) begunFile() string {
	dir := p.task.StateBackups
	if dir == "" {
		dir = p.at.workspace
	}
	return filepath.Join(dir, "applying.log")
}

// readBegun reads the note; nil when there is none.
func (p *phase) readBegun() (*begun, error) {
	b, err := readIfThere(p.begunFile())
	if err != nil || b == nil {
		return nil, err
	}
	out := begun{done: map[string]bool{}}
	for line := range strings.Lines(string(b)) {
		verb, rest, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		switch {
		case !ok:
		case verb == "plan":
			out.plan = rest
		case verb == "begin" && !slices.Contains(out.order, rest):
			out.order = append(out.order, rest)
		case verb == "done":
			out.done[rest] = true
		}
	}
	return &out, nil
}

// planName names a saved plan. Its digest is not enough: two plans made within one
// second from the same state are the same bytes.
func (p *phase) planName() string {
	return fmt.Sprintf("%s %s/%d", p.task.PlanFileDigest, p.task.Job, p.task.Attempt)
}

// refuseAgain refuses a plan whose apply was killed. The daemon's intent refuses
// it before us; but an engine killed before its first state write would run it
// again, with every side effect, so this is said twice.
func (p *phase) refuseAgain() error {
	b, err := p.readBegun()
	if err != nil || b == nil || b.plan != p.planName() {
		return err
	}
	text := "This plan was being applied when its engine was killed, and a plan runs once.\nNothing was applied now."
	if len(b.order) > 0 {
		text += " What it had begun may exist: " + strings.Join(b.order, ", ") + "."
	}
	return personProblem(stackjob.ReasonAfterInterrupt, "the same plan", text+"\nLook at it, then run the job again for a fresh plan.")
}

// note is an open note.
type note struct{ file *os.File }

// openBegun starts the note. Its head is on the disk before the engine starts; its
// lines outlive a crash of ours, and are not fsynced one by one: the machine
// crashes more rarely than an apply has a thousand resources.
func (p *phase) openBegun() (*note, error) {
	if err := os.MkdirAll(filepath.Dir(p.begunFile()), 0o700); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(p.begunFile(), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	if _, err := fmt.Fprintf(f, "plan %s\n", p.planName()); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if err := f.Sync(); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &note{file: f}, nil
}

// line adds a line. One that cannot be written (a full disk) must not stop an
// apply in the middle.
func (n *note) line(verb, address string) { _, _ = fmt.Fprintf(n.file, "%s %s\n", verb, address) }

// keep closes the note and leaves it for the next plan to tell of.
func (n *note) keep() error { return n.file.Close() }

// remove closes the note and removes it: the apply came to its end.
func (n *note) remove() error { return errors.Join(n.file.Close(), os.Remove(n.file.Name())) }
