// Package statefile looks after states that are files of the data folder, whatever engine
// writes them: it names their backups, lists them and puts them back. What differs
// between engines is a [Format].
//
//	state/terraform.tfstate                              the state
//	state/backups/20261121T215310.123456789Z-3-sj_….tfstate   before the work of a job, at serial 3
//
// Names sort by time. A name says nothing that is in a state, and neither does anything
// that this package returns: errors of parsers, which quote, are left out.
package statefile

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/renameio/v2"

	"github.com/stackreeve/stackreeve/reconciler/engine"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
)

// Stamp is the time in the name of a backup: of one length, so that names sort by time.
const Stamp = "20060102T150405.000000000Z"

// Format is what must be known of the files of one kind of engine.
type Format interface {
	// Suffix ends the names of backups, with its dot.
	Suffix() string
	// File finds the file of a state from engine.StateFiles.State, whether or not it is there.
	File(state string) (string, error)
	// Read reads what a state says of itself. An error means that it is none.
	Read(state []byte) (Summary, error)
	// InUse tells whether an engine is at work on the state in a file, which may not exist.
	InUse(path string) (bool, error)
}

// Summary is what a state says of itself, as in engine.StateFile.
type Summary struct {
	Serial    int64
	Lineage   string
	Resources int
	Encrypted bool
}

// Name is the name of a backup. job is "" for one that belongs to none.
func Name(at time.Time, serial int64, job stackjob.JobID, suffix string) string {
	name := fmt.Sprintf("%s-%d", at.UTC().Format(Stamp), serial)
	if job != "" {
		name += "-" + string(job)
	}
	return name + suffix
}

// parts reads a name. What cannot be read is zero: a person may have put a file there.
func parts(name, suffix string) (at time.Time, job stackjob.JobID) {
	words := strings.SplitN(strings.TrimSuffix(name, suffix), "-", 3)
	at, err := time.Parse(Stamp, words[0])
	if err != nil || len(words) < 2 {
		return time.Time{}, ""
	}
	if _, err := strconv.ParseInt(words[1], 10, 64); err == nil && len(words) == 3 {
		job = stackjob.JobID(words[2])
	}
	return at, job
}

// Backups lists the names of the backups in a folder, newest first; none when there is no
// folder.
func Backups(folder, suffix string) ([]string, error) {
	entries, err := os.ReadDir(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var out []string
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), suffix) && e.Type().IsRegular() {
			out = append(out, e.Name())
		}
	}
	slices.Sort(out)
	slices.Reverse(out)
	return out, err
}

// Kept is how many backups of a stack's state are kept.
const Kept = 20

// Prune lets the oldest backups in a folder go that are more than Kept.
func Prune(folder, suffix string) error {
	names, err := Backups(folder, suffix)
	if err != nil {
		return err
	}
	for _, old := range names[min(len(names), Kept):] {
		if err := os.Remove(filepath.Join(folder, old)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// Keeper is engine.States for the files of one format.
type Keeper struct {
	format Format
	now    func() time.Time
}

var _ engine.States = (*Keeper)(nil)

// New returns a Keeper. now is the clock; nil means time.Now.
func New(f Format, now func() time.Time) *Keeper {
	if now == nil {
		now = time.Now
	}
	return &Keeper{format: f, now: now}
}

// List tells of the state and its backups.
func (k *Keeper) List(at engine.StateFiles) (engine.StateList, error) {
	var out engine.StateList
	at, err := k.find(at)
	if err != nil {
		return out, err
	}
	state, err := k.state(at)
	if err != nil {
		return out, err
	}
	if state != nil {
		out.State = &state.file
	}
	names, err := Backups(at.Backups, k.format.Suffix())
	if err != nil {
		return out, fmt.Errorf("list the backups of the state: %w", err)
	}
	for _, name := range names {
		b, err := k.backup(at, name)
		if errors.Is(err, engine.ErrNoBackup) {
			continue // an apply has just let it go
		}
		if err != nil {
			return out, err
		}
		b.file.Current = state != nil && bytes.Equal(b.content, state.content)
		out.Backups = append(out.Backups, b.file)
	}
	return out, nil
}

// find returns the files with that of the state.
func (k *Keeper) find(at engine.StateFiles) (engine.StateFiles, error) {
	file, err := k.format.File(at.State)
	if err != nil {
		return at, fmt.Errorf("find the state: %w", err)
	}
	at.State = file
	return at, nil
}

// copied is a file that was read.
type copied struct {
	file    engine.StateFile
	content []byte
}

// state reads the state; nil when there is none.
func (k *Keeper) state(at engine.StateFiles) (*copied, error) {
	fi, err := os.Stat(at.State)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the state: %w", err)
	}
	content, err := os.ReadFile(at.State)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the state: %w", err)
	}
	c := k.read(filepath.Base(at.State), content)
	c.file.At = fi.ModTime().UTC()
	return c, nil
}

// backup reads a backup. Its name must be one of the folder's, and no way out of it.
func (k *Keeper) backup(at engine.StateFiles, name string) (*copied, error) {
	if name != filepath.Base(name) || !strings.HasSuffix(name, k.format.Suffix()) {
		return nil, fmt.Errorf("%w: %q", engine.ErrNoBackup, name)
	}
	content, err := os.ReadFile(filepath.Join(at.Backups, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %q", engine.ErrNoBackup, name)
	}
	if err != nil {
		return nil, fmt.Errorf("read a backup of the state: %w", err)
	}
	c := k.read(name, content)
	c.file.At, c.file.Job = parts(name, k.format.Suffix())
	return c, nil
}

func (k *Keeper) read(name string, content []byte) *copied {
	c := &copied{content: content, file: engine.StateFile{Name: name, Size: int64(len(content))}}
	s, err := k.format.Read(content)
	if err != nil {
		c.file.Damaged = true
		return c
	}
	c.file.Serial, c.file.Lineage, c.file.Resources, c.file.Encrypted = s.Serial, s.Lineage, s.Resources, s.Encrypted
	return c
}

// Keep makes a backup of the state before a job replaces it.
func (k *Keeper) Keep(at engine.StateFiles, job stackjob.JobID) (*engine.StateFile, error) {
	at, err := k.find(at)
	if err != nil {
		return nil, err
	}
	made, err := k.keptFor(at, job)
	if made != nil || err != nil {
		return made, err
	}
	if err := k.free(at); err != nil {
		return nil, err
	}
	state, err := k.state(at)
	if state == nil || err != nil {
		return nil, err
	}
	now := k.now()
	if state.file.Damaged {
		if err := write(at.State+".damaged-"+now.UTC().Format(Stamp), state.content); err != nil {
			return nil, fmt.Errorf("put a copy of the damaged state aside: %w", err)
		}
		return nil, nil
	}
	if err := os.MkdirAll(at.Backups, 0o700); err != nil {
		return nil, err
	}
	name := Name(now, state.file.Serial, job, k.format.Suffix())
	if err := write(filepath.Join(at.Backups, name), state.content); err != nil {
		return nil, fmt.Errorf("back up the state: %w", err)
	}
	kept := state.file
	kept.Name, kept.At, kept.Job = name, now.UTC(), job
	return &kept, nil
}

// keptFor is the backup that was made for a job; nil when there is none.
func (k *Keeper) keptFor(at engine.StateFiles, job stackjob.JobID) (*engine.StateFile, error) {
	names, err := Backups(at.Backups, k.format.Suffix())
	if err != nil {
		return nil, fmt.Errorf("list the backups of the state: %w", err)
	}
	for _, name := range names {
		if _, of := parts(name, k.format.Suffix()); of != job {
			continue
		}
		b, err := k.backup(at, name)
		if err != nil {
			return nil, err
		}
		return &b.file, nil
	}
	return nil, nil
}

// Replace puts a backup in the place of the state.
func (k *Keeper) Replace(at engine.StateFiles, backup string) error {
	at, err := k.find(at)
	if err != nil {
		return err
	}
	b, err := k.backup(at, backup)
	if err != nil {
		return err
	}
	if b.file.Damaged {
		return fmt.Errorf("%w: %q", engine.ErrStateDamaged, backup)
	}
	if err := os.MkdirAll(filepath.Dir(at.State), 0o700); err != nil {
		return err
	}
	if err := k.free(at); err != nil {
		return err
	}
	if err := write(at.State, b.content); err != nil {
		return fmt.Errorf("put the backup in the place of the state: %w", err)
	}
	return nil
}

// write puts a file in its place, whole and on the disk: what is recorded as done after it
// must not be newer than the file when the machine loses its power.
func write(path string, content []byte) error {
	if err := renameio.WriteFile(path, content, 0o600); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

func (k *Keeper) free(at engine.StateFiles) error {
	busy, err := k.format.InUse(at.State)
	if err == nil && busy {
		err = engine.ErrStateInUse
	}
	return err
}
