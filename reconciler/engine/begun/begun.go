// Package begun keeps the note of what an apply has begun.
//
// An engine that is killed may have done what its state does not know. So while an apply
// runs, a note beside the state's backups names each resource that was begun; when the
// apply ends, the note goes. A note that is found was left by a crash:
//
//	file := begun.FileOf(task)
//	left, err := begun.Read(file)          // nil: the last apply came to its end
//	if left != nil && left.Plan == plan {  // refuse: the engine would run it again
//	note, err := begun.Open(file, plan)
//	note.Line(begun.Began, address) … note.Line(begun.Done, address)
//	err = note.Remove()                    // or Keep, for the next plan to tell of,
//	                                       // or Undo, when nothing was begun after all
package begun

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/renameio/v2"

	"github.com/stackreeve/stackreeve/reconciler/engine"
)

// FileOf is the note of a task's stack: beside the backups, which outlive a workspace.
func FileOf(t engine.Task) string {
	return filepath.Join(cmp.Or(t.StateBackups, t.Workspace), "applying.log")
}

// The verbs of a note's lines.
const (
	Began = "begin"
	Done  = "done"
)

// Work is what an apply that never came to its end had begun.
type Work struct {
	// Plan is the saved plan's name, as it was given to Open.
	Plan string
	// Order are the addresses that were begun, in order.
	Order []string
	done  map[string]bool
}

// Unfinished are the addresses that were begun and not done.
func (w Work) Unfinished() []string {
	return slices.DeleteFunc(slices.Clone(w.Order), func(a string) bool { return w.done[a] })
}

// Read reads a note; nil when there is none.
func Read(file string) (*Work, error) {
	b, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	out := Work{done: map[string]bool{}}
	for line := range strings.Lines(string(b)) {
		verb, rest, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		switch {
		case !ok:
		case verb == "plan":
			out.Plan = rest
		case verb == Began && !slices.Contains(out.Order, rest):
			out.Order = append(out.Order, rest)
		case verb == Done:
			out.done[rest] = true
		}
	}
	return &out, nil
}

// Note is an open note.
type Note struct {
	file *os.File
	// left is the text of the note in whose place this one is; nil for none.
	left []byte
}

// Open starts a note for a saved plan; the name must tell it from every other. The
// note's head is on the disk before the engine starts; its lines outlive a crash of
// ours, and are not fsynced one by one: the machine crashes more rarely than an apply
// has a thousand resources. A note that was there is replaced by it in one step, also where
// the disk is full.
func Open(file, plan string) (*Note, error) {
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return nil, err
	}
	left, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err := renameio.WriteFile(file, []byte("plan "+plan+"\n"), 0o600); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return nil, err
	}
	return &Note{file: f, left: left}, nil
}

// Line adds a line. One that cannot be written (a full disk) must not stop an
// apply in the middle.
func (n *Note) Line(verb, address string) { _, _ = fmt.Fprintf(n.file, "%s %s\n", verb, address) }

// Keep closes the note and leaves it for the next plan to tell of.
func (n *Note) Keep() error { return n.file.Close() }

// Remove closes the note and removes it: the apply came to its end.
func (n *Note) Remove() error { return errors.Join(n.file.Close(), os.Remove(n.file.Name())) }

// Undo closes the note of an apply that touched nothing, because it could not have the
// state's lock. What an earlier one had left is there again, and is told of on.
func (n *Note) Undo() error {
	if n.left == nil {
		return n.Remove()
	}
	return errors.Join(n.file.Close(), renameio.WriteFile(n.file.Name(), n.left, 0o600))
}
