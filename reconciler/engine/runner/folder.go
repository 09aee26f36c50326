package runner

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"

	"github.com/stackreeve/stackreeve/reconciler/engine"
)

// The names in a folder; see package engine.
const (
	taskFile      = "task.json"
	lockFile      = "lock"
	journalFile   = "journal.jsonl"
	logFile       = "log"
	resultFile    = "result.json"
	abandonedFile = "abandoned"
	// privateFolder holds the plan in clear while the engine needs it.
	privateFolder = "private"
	// planFile is the plan's name in there.
	planFile = "plan"
	// interruptFile asks the runner to stop: a signal could come before it listens.
	interruptFile = "interrupt"
	// reserveFile takes up room on the disk that the result may need.
	reserveFile = "reserve"
	// outputFile is what the runner itself prints: nothing, unless it crashes.
	outputFile = "runner.log"
)

// transient are the files that only a living runner needs.
var transient = []string{taskFile, privateFolder, interruptFile, reserveFile}

// tidy removes what only a living runner needs.
func tidy(folder string) error {
	var errs []error
	for _, name := range transient {
		errs = append(errs, os.RemoveAll(filepath.Join(folder, name)))
	}
	return errors.Join(errs...)
}

// Cleanup removes from the folder of an ended phase everything but log, journal
// and result, the sealed plan too. It refuses while the runner lives.
func Cleanup(folder string) error {
	l, err := takeLock(folder)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		// Cleaned up before, or never begun.
	case err != nil:
		return fmt.Errorf("clean up %s: %w", folder, err)
	default:
		defer release(l)
	}
	entries, err := os.ReadDir(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("clean up: %w", err)
	}
	var errs []error
	for _, e := range entries {
		switch e.Name() {
		case logFile, journalFile, resultFile:
		default:
			errs = append(errs, os.RemoveAll(filepath.Join(folder, e.Name())))
		}
	}
	return errors.Join(errs...)
}

// syncFolder makes the names in a folder durable.
func syncFolder(folder string) error {
	d, err := os.Open(folder)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("sync %s: %w", folder, err)
	}
	return nil
}

// makeFolder makes a folder that must not be there, and durably those above it.
func makeFolder(folder string) error {
	var made []string // parents that got a new name in them
	for dir := filepath.Dir(folder); ; dir = filepath.Dir(dir) {
		made = append(made, dir)
		if _, err := os.Stat(dir); err == nil || filepath.Dir(dir) == dir {
			break
		}
	}
	if err := os.MkdirAll(filepath.Dir(folder), 0o700); err != nil {
		return err
	}
	if err := os.Mkdir(folder, 0o700); err != nil {
		return err
	}
	for _, dir := range made {
		if err := syncFolder(dir); err != nil {
			return err
		}
	}
	return nil
}

// readResult returns nil when there is none. A result is written atomically, so one
// that cannot be read is damage, not a matter of time.
func readResult(folder string) (*engine.Result, error) {
	b, err := os.ReadFile(filepath.Join(folder, resultFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var r engine.Result
	if err := json.Unmarshal(b, &r); err != nil {
		return nil, fmt.Errorf("read %s: %w", filepath.Join(folder, resultFile), err)
	}
	return &r, nil
}

func readTask(folder string) (engine.Task, error) {
	var t engine.Task
	b, err := os.ReadFile(filepath.Join(folder, taskFile))
	if err != nil {
		return t, err
	}
	if json.Unmarshal(b, &t) != nil {
		return t, errors.New("it is no task") // the error could quote a secret
	}
	return t, nil
}

// replace writes a file of the folder atomically and durably.
func replace(folder, name string, content []byte) error {
	if err := renameio.WriteFile(filepath.Join(folder, name), content, 0o600, renameio.WithTempDir(folder)); err != nil {
		return err
	}
	return syncFolder(folder)
}

func exists(folder, name string) (bool, error) {
	_, err := os.Lstat(filepath.Join(folder, name))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}
