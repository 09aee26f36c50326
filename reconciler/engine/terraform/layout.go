package terraform

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/renameio/v2"

	"github.com/stackreeve/stackreeve/reconciler/engine"
)

// layout is where things are in a workspace.
type layout struct {
	workspace string
	root      string // shows ModuleRoot
	module    string // the module's folder in root: the engine's working folder
	data      string
	private   string
	initFile  string
	farmFile  string
}

// layoutOf places what holds secrets beside the saved plan, in the folder that the
// runner keeps for such things and empties after a crash too.
func layoutOf(t engine.Task, planFile string) layout {
	private := filepath.Join(t.Workspace, "private")
	if planFile != "" {
		private = filepath.Join(filepath.Dir(planFile), "engine")
	}
	root := filepath.Join(t.Workspace, "root")
	return layout{
		workspace: t.Workspace,
		root:      root,
		module:    filepath.Join(root, filepath.FromSlash(t.ModulePath)),
		data:      filepath.Join(t.Workspace, "data"),
		private:   private,
		initFile:  filepath.Join(t.Workspace, "init.json"),
		farmFile:  filepath.Join(t.Workspace, "farm.json"),
	}
}

func (l layout) lockFile() string     { return filepath.Join(l.module, lockFileName) }
func (l layout) overrideFile() string { return filepath.Join(l.module, overrideFileName) }

// checkPaths refuses what would make the driver work in a place that is not the
// task's.
func checkPaths(t engine.Task, private string) error {
	for what, path := range map[string]string{
		"workspace": t.Workspace, "module root": t.ModuleRoot, "engine": t.Program.Path, "saved plan's folder": private,
	} {
		if !filepath.IsAbs(path) {
			return fmt.Errorf("%s %q is not an absolute path", what, path)
		}
	}
	if t.StateFile != "" && !filepath.IsAbs(t.StateFile) {
		return fmt.Errorf("state file %q is not an absolute path", t.StateFile)
	}
	if t.ModulePath != "" && !filepath.IsLocal(filepath.FromSlash(t.ModulePath)) {
		return fmt.Errorf("module path %q leads out of its repository", t.ModulePath)
	}
	for _, f := range t.VarFiles {
		if !filepath.IsLocal(filepath.FromSlash(f)) {
			return fmt.Errorf("var file %q leads out of its module", f)
		}
	}
	return nil
}

// makeFolders makes the workspace's folders and empties the private one of what a
// killed run left.
func (l layout) makeFolders() error {
	if err := l.clearPrivate(); err != nil {
		return err
	}
	for _, dir := range []string{l.workspace, l.data, l.private} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	return nil
}

func (l layout) clearPrivate() error { return os.RemoveAll(l.private) }

// writePrivate writes a file that only this user reads and that goes when the
// phase ends.
func (l layout) writePrivate(name string, content []byte) (string, error) {
	path := filepath.Join(l.private, name)
	return path, os.WriteFile(path, content, 0o600)
}

// writeFile replaces a small file of our own atomically.
func writeFile(path string, content []byte) error {
	return renameio.WriteFile(path, content, 0o600)
}

// readIfThere reads a file; nil when there is none.
func readIfThere(path string) ([]byte, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	return b, err
}

// isPrivate tells whether a file is one that we wrote with secrets in it. Engines
// name files relative to their working folder when they can.
func (l layout) isPrivate(file string) bool {
	if !filepath.IsAbs(file) {
		file = filepath.Join(l.module, file)
	}
	rel, err := filepath.Rel(l.private, file)
	return err == nil && filepath.IsLocal(rel)
}

// inputsFile is the file among the private ones that has the stack's inputs.
const inputsFile = "inputs.tfvars.json"

// relativeToModule shows a path of the workspace as the module's author knows it. That of
// the inputs nobody knows, and it is another in each job.
func (l layout) relativeToModule(text string) string {
	text = strings.ReplaceAll(text, fmt.Sprintf("file %q", filepath.Join(l.private, inputsFile)), "the inputs of the stack")
	return strings.ReplaceAll(text, l.module+string(filepath.Separator), "")
}
