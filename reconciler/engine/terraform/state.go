package terraform

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// state is what we read of a state file (format version 4 of both engines).
type state struct {
	Version   int                    `json:"version"`
	Serial    int64                  `json:"serial"`
	Lineage   string                 `json:"lineage"`
	Outputs   map[string]stateOutput `json:"outputs"`
	Resources []stateResource        `json:"resources"`
	// Encrypted is set when OpenTofu encrypted the rest.
	Encrypted json.RawMessage `json:"encrypted_data"`
}

type stateOutput struct {
	Value     json.RawMessage `json:"value"`
	Sensitive bool            `json:"sensitive"`
}

type stateResource struct {
	Mode      string            `json:"mode"`
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
	stamp        = "20060102T150405.000000000Z"
	backupSuffix = ".tfstate"
)

// backUp copies the state into the backups before an apply, and lets the oldest
// go. A state that is damaged is not copied: it would push out a good one.
func (p *phase) backUp() error {
	if !p.isLocal() || p.task.StateBackups == "" {
		return nil
	}
	s, err := readState(p.task.StateFile)
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
	name := p.driver.now().UTC().Format(stamp) + fmt.Sprintf("-%d", s.Serial) + backupSuffix
	if err := writeFile(filepath.Join(p.task.StateBackups, name), b); err != nil {
		return fmt.Errorf("back up the state: %w", err)
	}
	all, err := p.backups()
	if err != nil {
		return err
	}
	for _, old := range all[min(len(all), keptBackups):] {
		if err := os.Remove(old); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

// backups lists the backups, newest first.
func (p *phase) backups() ([]string, error) {
	if p.task.StateBackups == "" {
		return nil, nil
	}
	entries, err := os.ReadDir(p.task.StateBackups)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	var out []string
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), backupSuffix) {
			out = append(out, filepath.Join(p.task.StateBackups, e.Name()))
		}
	}
	slices.Sort(out)
	slices.Reverse(out)
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
	if !p.isLocal() {
		return nil
	}
	begun, killed, err := p.readBegun()
	if err != nil {
		return err
	}
	_, err = readState(p.task.StateFile)
	if err == nil {
		missing := false
		if killed {
			if _, err := os.Stat(p.task.StateFile); errors.Is(err, os.ErrNotExist) {
				missing = true
			}
		}
		if !missing {
			if open := begun.open(); killed && len(open) > 0 {
				p.tellBegun("The last apply was killed in the middle.", open)
			}
			return nil
		}
		return p.restore("", begun.all())
	}
	if !errors.Is(err, errDamaged) {
		return fmt.Errorf("read the state: %w", err)
	}
	backup, _, berr := p.newestGood()
	if berr != nil {
		return berr
	}
	if st, serr := os.Stat(p.task.StateFile); serr == nil && st.Size() == 0 && backup == "" && !killed {
		// Not damage: a plan that was killed leaves the empty file that it made
		// to lock. There never was a state.
		return os.Remove(p.task.StateFile)
	}
	aside := p.task.StateFile + ".damaged-" + p.driver.now().UTC().Format(stamp)
	if err := os.Rename(p.task.StateFile, aside); err != nil {
		return fmt.Errorf("put the damaged state aside: %w", err)
	}
	return p.restore(aside, begun.all())
}

// restore puts the newest good backup in the state's place and tells of it.
func (p *phase) restore(aside string, begun []string) error {
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
	p.tellBegun(text, begun)
	return nil
}

func (p *phase) tellBegun(text string, begun []string) {
	if len(begun) > 0 {
		text += " What that apply had begun may exist without the state knowing it: " + strings.Join(begun, ", ") + "."
	}
	p.say("Warning: " + text)
	p.warn("Warning: " + text)
}

// secureState makes the state readable by this user alone; the engines do not.
func (p *phase) secureState() {
	if p.isLocal() {
		_ = os.Chmod(p.task.StateFile, 0o600) // it may not exist; its folder is 0700 anyway
		_ = os.Chmod(p.task.StateFile+".backup", 0o600)
	}
}

// begun is what an apply had begun, by address, in order.
type begun struct {
	order []string
	done  map[string]bool
}

func (b begun) all() []string { return b.order }

func (b begun) open() []string {
	return slices.DeleteFunc(slices.Clone(b.order), func(a string) bool { return b.done[a] })
}

func (p *phase) begunFile() string { return filepath.Join(p.task.StateBackups, "applying.log") }

// readBegun reads what an apply left that never came to its end.
func (p *phase) readBegun() (begun, bool, error) {
	out := begun{done: map[string]bool{}}
	if p.task.StateBackups == "" {
		return out, false, nil
	}
	b, err := readIfThere(p.begunFile())
	if err != nil || b == nil {
		return out, false, err
	}
	for line := range strings.Lines(string(b)) {
		verb, address, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		switch {
		case !ok:
		case verb == "begin" && !slices.Contains(out.order, address):
			out.order = append(out.order, address)
		case verb == "done":
			out.done[address] = true
		}
	}
	return out, true, nil
}

// openBegun starts the note of what an apply begins. It outlives a crash of ours,
// and is not fsynced line by line: a crash of the machine is rarer than an apply
// of a thousand resources.
func (p *phase) openBegun() (note func(verb, address string), end func(forget bool), err error) {
	if !p.isLocal() || p.task.StateBackups == "" {
		return func(string, string) {}, func(bool) {}, nil
	}
	if err := os.MkdirAll(p.task.StateBackups, 0o700); err != nil {
		return nil, nil, err
	}
	f, err := os.OpenFile(p.begunFile(), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, nil, err
	}
	if _, err := fmt.Fprintf(f, "at %s\n", p.driver.now().UTC().Format(time.RFC3339)); err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	if err := f.Sync(); err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	note = func(verb, address string) { fmt.Fprintf(f, "%s %s\n", verb, address) }
	end = func(forget bool) {
		f.Close()
		if forget {
			os.Remove(p.begunFile())
		}
	}
	return note, end, nil
}
