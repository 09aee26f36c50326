package terraform

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/stackreeve/stackreeve/reconciler/engine/begun"
	"github.com/stackreeve/stackreeve/reconciler/engine/facts"
	"github.com/stackreeve/stackreeve/reconciler/engine/statefile"
	"github.com/stackreeve/stackreeve/reconciler/engine/telling"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
)

// state is what we read of a state file (format version 4 of both engines).
type state struct {
	Version   int                     `json:"version"`
	Serial    int64                   `json:"serial"`
	Lineage   string                  `json:"lineage"`
	Outputs   map[string]facts.Output `json:"outputs"`
	Resources []stateResource         `json:"resources"`
	// Encrypted is set when OpenTofu encrypted the rest.
	Encrypted json.RawMessage `json:"encrypted_data"`
}

type stateResource struct {
	Module    string            `json:"module"`
	Mode      string            `json:"mode"`
	Type      string            `json:"type"`
	Name      string            `json:"name"`
	Instances []json.RawMessage `json:"instances"`
}

// errDamaged means that a state file is there and is no state.
var errDamaged = errors.New("the state file is damaged")

func parseState(b []byte) (*state, error) {
	var s state
	if err := json.Unmarshal(b, &s); err != nil {
		return nil, fmt.Errorf("%w: %w", errDamaged, err)
	}
	if s.Version == 0 && len(s.Encrypted) == 0 {
		return nil, fmt.Errorf("%w: it has no version", errDamaged)
	}
	return &s, nil
}

// readState reads a state file; nil when there is none, errDamaged when it is not
// one.
func readState(path string) (*state, error) {
	b, err := readIfThere(path)
	if b == nil || err != nil {
		return nil, err
	}
	return parseState(b)
}

// holdsResources tells whether there is anything to lose.
func (s *state) holdsResources() bool { return len(s.Encrypted) > 0 || s.managed() > 0 }

// managed counts the managed resource instances.
func (s *state) managed() int {
	n := 0
	for _, r := range s.Resources {
		if r.Mode == "managed" {
			n += len(r.Instances)
		}
	}
	return n
}

const (
	stamp        = statefile.Stamp
	backupSuffix = ".tfstate"
)

// backUp copies the state into the backups before an apply, and lets the oldest
// go. A state that is damaged is not copied: it would push out a good one.
func (p *phase) backUp() error {
	if !p.isLocal() || p.task.StateBackups == "" {
		return nil
	}
	if busy, err := isLocked(p.task.StateFile); busy || err != nil {
		return err // the engine will refuse and say whose the lock is
	}
	s, err := readState(p.task.StateFile)
	if errors.Is(err, errDamaged) {
		return telling.Person(stackjob.ReasonStateDamaged, "after the plan was made",
			"The state file was whole when the plan was made and is damaged now.\nNothing was applied. Run the job again: its plan puts the newest good backup back.")
	}
	if err != nil || s == nil {
		return err
	}
	if err := os.MkdirAll(p.task.StateBackups, 0o700); err != nil {
		return err
	}
	b, err := os.ReadFile(p.task.StateFile)
	if err != nil {
		return err
	}
	name := statefile.Name(p.driver.now(), s.Serial, p.task.Job, backupSuffix)
	if err := writeFile(filepath.Join(p.task.StateBackups, name), b); err != nil {
		return fmt.Errorf("back up the state: %w", err)
	}
	return statefile.Prune(p.task.StateBackups, backupSuffix)
}

// backups lists the backups, newest first.
func (p *phase) backups() ([]string, error) {
	if p.task.StateBackups == "" {
		return nil, nil
	}
	names, err := statefile.Backups(p.task.StateBackups, backupSuffix)
	out := make([]string, 0, len(names))
	for _, name := range names {
		out = append(out, filepath.Join(p.task.StateBackups, name))
	}
	return out, err
}

// newestGood is the newest backup that is a state: ours, or the one that the
// engine makes before its first write.
func (p *phase) newestGood() (path string, s *state, err error) {
	all, err := p.backups()
	if err != nil {
		return "", nil, err
	}
	for _, path := range append(all, p.task.StateFile+".backup") {
		if s, err := readState(path); err == nil && s != nil {
			return path, s, nil
		}
	}
	return "", nil, nil
}

// repair looks whether the state file is whole. OpenTofu killed during an apply
// leaves it empty or cut off: then it is put aside, never deleted, and the newest
// good backup takes its place. What an apply that was killed had begun is told:
// it may exist though the state does not know it.
func (p *phase) repair() error {
	killed, err := begun.Read(begun.FileOf(p.task))
	if err != nil {
		return err
	}
	var all []string
	if killed != nil {
		all = killed.Order
	}
	if !p.isLocal() {
		p.tellKilled(killed)
		return nil
	}
	// Somebody is at work on it, perhaps a person: an empty file is then the one
	// that was made to lock. The engine will say whose the lock is.
	if busy, err := isLocked(p.task.StateFile); busy || err != nil {
		return err
	}
	s, err := readState(p.task.StateFile)
	switch {
	case err == nil && (s != nil || killed == nil):
		p.tellKilled(killed)
		return nil
	case err == nil:
		backup, _, err := p.newestGood()
		if backup == "" || err != nil { // killed before the first state was written
			p.tellKilled(killed)
			return err
		}
		return p.restore("", all)
	case !errors.Is(err, errDamaged):
		return fmt.Errorf("read the state: %w", err)
	}
	if st, serr := os.Stat(p.task.StateFile); serr == nil && st.Size() == 0 && killed == nil {
		if backup, _, berr := p.newestGood(); backup == "" {
			// Not damage: a plan that was killed leaves the empty file that it
			// made to lock. There never was a state.
			return errors.Join(berr, os.Remove(p.task.StateFile))
		}
	}
	aside := p.task.StateFile + ".damaged-" + p.driver.now().UTC().Format(stamp)
	if err := os.Rename(p.task.StateFile, aside); err != nil {
		return fmt.Errorf("put the damaged state aside: %w", err)
	}
	return p.restore(aside, all)
}

// isLocked tells whether a process holds the engines' lock on a state file (a POSIX
// record lock).
func isLocked(path string) (bool, error) {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read the state: %w", err)
	}
	defer f.Close()
	probe := unix.Flock_t{Type: unix.F_WRLCK}
	if err := unix.FcntlFlock(f.Fd(), unix.F_GETLK, &probe); err != nil {
		return false, fmt.Errorf("look at the lock of the state: %w", err)
	}
	return probe.Type != unix.F_UNLCK, nil
}

// tellKilled tells what a killed apply was at, when the state is whole.
func (p *phase) tellKilled(killed *begun.Work) {
	if killed == nil {
		return
	}
	if open := killed.Unfinished(); len(open) > 0 {
		p.tellBegun("The last apply was killed in the middle.", open)
	}
}

// restore puts the newest good backup in the state's place and tells of it.
func (p *phase) restore(aside string, at []string) error {
	backup, s, err := p.newestGood()
	if err != nil {
		return err
	}
	text := "The state file was missing after an apply that was killed."
	if aside != "" {
		text = "The state file was damaged; it was put aside as " + filepath.Base(aside) + "."
	}
	if s == nil {
		text += " There was no state before that apply, so the stack starts without one."
	} else {
		b, err := os.ReadFile(backup)
		if err != nil {
			return err
		}
		if err := writeFile(p.task.StateFile, b); err != nil {
			return fmt.Errorf("put the state's backup back: %w", err)
		}
		text += fmt.Sprintf(" The backup %s (serial %d) was put back.", filepath.Base(backup), s.Serial)
	}
	p.damage = text
	p.tellBegun(text, at)
	return nil
}

func (p *phase) tellBegun(text string, at []string) {
	if len(at) > 0 {
		text += " What that apply had begun may exist without the state knowing it: " + strings.Join(at, ", ") + "."
	}
	p.Say("Warning: " + text)
	p.Warn("Warning: " + text)
}

// secureState makes the state readable by this user alone; the engines do not.
func (p *phase) secureState() {
	if p.isLocal() {
		_ = os.Chmod(p.task.StateFile, 0o600) // it may not exist; its folder is 0700 anyway
		_ = os.Chmod(p.task.StateFile+".backup", 0o600)
	}
}
