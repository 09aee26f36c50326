package pulumi

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/stackreeve/stackreeve/reconciler/engine/statefile"
)

// StateFormat is how Pulumi writes a state into a folder that is the stack's own: the
// checkpoint .pulumi/stacks/PROJECT/STACK.json, JSON of version 3.
type StateFormat struct{}

var _ statefile.Format = StateFormat{}

// Suffix ends the names of backups.
func (StateFormat) Suffix() string { return backupSuffix }

// File finds the checkpoint in a backend's folder. One is there as soon as the stack was
// planned once.
func (StateFormat) File(state string) (string, error) {
	found, err := filepath.Glob(filepath.Join(state, ".pulumi", "stacks", "*", "*.json"))
	if err != nil {
		return "", err
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return "", errors.New("there is no stack of Pulumi's in its folder yet")
	}
	return "", fmt.Errorf("there are %d stacks of Pulumi's in a folder that is one stack's own", len(found))
}

// Read reads what a checkpoint says of itself. Pulumi counts no writes; what names a state
// through all of them is the stack's name.
func (StateFormat) Read(b []byte) (statefile.Summary, error) {
	d, err := parseCheckpoint(b)
	if err != nil {
		return statefile.Summary{}, err
	}
	return statefile.Summary{Lineage: d.stack, Resources: d.managed()}, nil
}

// InUse tells whether an update holds the stack's lock. One that was killed holds it still.
func (StateFormat) InUse(path string) (bool, error) {
	project := filepath.Dir(path)
	stack := strings.TrimSuffix(filepath.Base(path), ".json")
	root := filepath.Dir(filepath.Dir(project))
	held, err := filepath.Glob(filepath.Join(root, "locks", "organization", filepath.Base(project), stack, "*.json"))
	return len(held) > 0, err
}

// ExportFormat is how the states of backends are backed up, which are no files of ours: as
// `pulumi stack export` writes them and `pulumi stack import` takes them, JSON of version 3.
// The state itself is nowhere to be read here.
type ExportFormat struct{}

var _ statefile.Format = ExportFormat{}

// Suffix ends the names of backups.
func (ExportFormat) Suffix() string { return exportSuffix }

// File names a file that nobody writes, in the folder in which the stack's own state would be.
func (ExportFormat) File(state string) (string, error) {
	return filepath.Join(state, "kept-by-a-backend"), nil
}

// Read reads what an export says of itself: the engine counts no writes, and asks itself
// whether a state is the stack's.
func (ExportFormat) Read(b []byte) (statefile.Summary, error) {
	d, err := parseExport(b)
	if err != nil {
		return statefile.Summary{}, err
	}
	if len(d.raw) == 0 {
		return statefile.Summary{}, errDamaged
	}
	return statefile.Summary{Resources: d.managed()}, nil
}

// InUse is for the backend to tell.
func (ExportFormat) InUse(string) (bool, error) { return false, nil }
