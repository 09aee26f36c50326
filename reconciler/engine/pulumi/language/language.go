// Package language says in which languages a Pulumi can run programs: each has a language
// host, a program of its own. Whoever asks before a job and the driver that runs it get one
// answer, which is Pulumi's own: it looks beside itself and on PATH, and among the plugins
// of its home.
package language

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/stackreeve/stackreeve/reconciler/engine"
	"github.com/stackreeve/stackreeve/schema"
)

// Host is a language host: what runs programs that are written in a language.
type Host struct {
	// Runtime is the word in Pulumi.yaml: "yaml", "nodejs", "go".
	Runtime string `json:"runtime"`
	Path    string `json:"path"`
}

// hostPrefix begins the name of every language host.
const hostPrefix = "pulumi-language-"

// Hosts lists the language hosts that a Pulumi has, by runtime: those beside it, or beside
// what it links to, and for other runtimes those in the folders of search, a PATH. Another
// engine has none.
func Hosts(p engine.Program, search string) []Host {
	if p.Provisioner != schema.Pulumi {
		return nil
	}
	dirs := []string{filepath.Dir(p.Path)}
	if real, err := filepath.EvalSymlinks(p.Path); err == nil {
		dirs = append(dirs, filepath.Dir(real))
	}
	for _, dir := range filepath.SplitList(search) {
		if filepath.IsAbs(dir) {
			dirs = append(dirs, dir)
		}
	}
	var out []Host
	for _, dir := range dirs {
		entries, err := os.ReadDir(dir)
		if err != nil {
			continue
		}
		for _, e := range entries {
			runtime, ok := strings.CutPrefix(e.Name(), hostPrefix)
			// Beside a host may lie what it is started with, pulumi-language-python-exec.
			if !ok || runtime == "" || strings.HasSuffix(runtime, "-exec") || strings.Contains(runtime, ".") ||
				slices.ContainsFunc(out, func(h Host) bool { return h.Runtime == runtime }) {
				continue
			}
			if path := filepath.Join(dir, e.Name()); isProgram(path) {
				out = append(out, Host{Runtime: runtime, Path: path})
			}
		}
	}
	slices.SortFunc(out, func(a, b Host) int { return strings.Compare(a.Runtime, b.Runtime) })
	return out
}

func isProgram(path string) bool {
	st, err := os.Stat(path)
	return err == nil && st.Mode().IsRegular() && st.Mode()&0o111 != 0
}

// Check returns a *NoHost when a Pulumi has no host for a runtime: neither one that Hosts
// lists, nor a plugin in home, Pulumi's own folder ("" for none).
func Check(p engine.Program, runtime, search, home string) error {
	if slices.ContainsFunc(Hosts(p, search), func(h Host) bool { return h.Runtime == runtime }) {
		return nil
	}
	if home != "" {
		// The separator of a version keeps "java" from standing for "java2".
		if plugins, _ := filepath.Glob(filepath.Join(home, "plugins", "language-"+runtime+"-v*")); len(plugins) > 0 {
			return nil
		}
	}
	return &NoHost{Runtime: runtime, Program: p}
}

// NoHost says that no language host is there for a program, and how to get it.
type NoHost struct {
	Runtime string
	// Program is the Pulumi that has none.
	Program engine.Program
}

// Error tells what is not there, what to do, and where it would be looked for.
func (e *NoHost) Error() string { return e.What() + "; " + e.How() + "; " + e.Instead() }

// Name is what the host is called, and for what it is.
func (e *NoHost) Name() string {
	return fmt.Sprintf("%s%s, the host for programs of the runtime %s", hostPrefix, e.Runtime, e.Runtime)
}

// What is not there.
func (e *NoHost) What() string { return e.Name() + ", is not there" }

// Instead is where it was looked for.
func (e *NoHost) Instead() string {
	return fmt.Sprintf("it is neither beside %s (%s) nor on PATH", e.Program, e.Program.Path)
}

// How to get it.
func (e *NoHost) How() string {
	return fmt.Sprintf("`reeve engine install pulumi` gets Pulumi with its hosts, or put the host beside it; if %s is a mistake, correct runtime in Pulumi.yaml", e.Runtime)
}
