package pulumi

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
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
	module    string // the program's folder in root
	private   string
	farmFile  string
	stackFile string
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
		private:   private,
		farmFile:  filepath.Join(t.Workspace, "farm.json"),
		stackFile: filepath.Join(t.Workspace, "stack.json"),
	}
}

// relative shows paths of the workspace as the program's author knows them: from the
// program's folder, or from the top of the repository.
func (l layout) relative(text string) string {
	return strings.NewReplacer(l.module+string(filepath.Separator), "", l.root+string(filepath.Separator), "").Replace(text)
}

// settingsFile is the stack's settings of this phase: config and how secrets are kept.
func (l layout) settingsFile() string { return filepath.Join(l.private, "settings.yaml") }

// credentials is where Pulumi keeps whom it is logged in as.
func (l layout) credentials() string { return filepath.Join(l.private, "credentials") }

// emptyProgram is the folder of a project without a program.
func (l layout) emptyProgram() string { return filepath.Join(l.private, "empty") }

// checkPaths refuses what would make the driver work in a place that is not the task's.
func checkPaths(t engine.Task, private string) error {
	for what, path := range map[string]string{
		"workspace": t.Workspace, "module root": t.ModuleRoot, "engine": t.Program.Path, "saved plan's folder": private,
	} {
		if !filepath.IsAbs(path) {
			return fmt.Errorf("%s %q is not an absolute path", what, path)
		}
	}
	if t.Pulumi == nil || t.Pulumi.Stack == "" || t.Pulumi.BackendURL == "" {
		return errors.New("the task names no stack or no backend of Pulumi's")
	}
	if t.ModulePath != "" && !filepath.IsLocal(filepath.FromSlash(t.ModulePath)) {
		return fmt.Errorf("module path %q leads out of its repository", t.ModulePath)
	}
	return nil
}

// makeFolders makes the workspace's folders and empties the private one of what a killed
// run left.
func (l layout) makeFolders() error {
	if err := l.clearPrivate(); err != nil {
		return err
	}
	for _, dir := range []string{l.workspace, l.private, l.emptyProgram()} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	return nil
}

func (l layout) clearPrivate() error { return os.RemoveAll(l.private) }

// record is what is remembered of a stack between two phases. It holds no secret: keys
// are sealed with the daemon's own, and ciphertexts are the stack's.
type record struct {
	// Place is where the state is (a keyed hash), Held whether it held resources.
	Place string `json:"place,omitempty"`
	Held  bool   `json:"held,omitempty"`
	// Salt, SecretsProvider and EncryptedKey are of the stack's settings, as Pulumi
	// wrote them when the stack was made.
	Salt            string `json:"salt,omitempty"`
	SecretsProvider string `json:"secretsProvider,omitempty"`
	EncryptedKey    string `json:"encryptedKey,omitempty"`
	// Keys are the keys of salts, sealed (keyring).
	Keys map[string][]byte `json:"keys,omitempty"`
	// Ciphertexts are those of config values, by keyed hash: an equal value keeps its
	// ciphertext, so that settings do not move.
	Ciphertexts map[string]string `json:"ciphertexts,omitempty"`
	// Installed is the digest of what dependencies were installed for.
	Installed string `json:"installed,omitempty"`
}

func (l layout) readRecord() (record, error) {
	b, err := readIfThere(l.stackFile)
	var r record
	if err != nil || b == nil {
		return r, err
	}
	if json.Unmarshal(b, &r) != nil {
		return record{}, nil // it is made again
	}
	return r, nil
}

func (l layout) writeRecord(r record) error {
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return renameio.WriteFile(l.stackFile, b, 0o600)
}

// readIfThere reads a file; nil when there is none.
func readIfThere(path string) ([]byte, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return b, err
}
