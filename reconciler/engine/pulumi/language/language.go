package program

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/stackreeve/stackreeve/reconciler/engine"
	"github.com/stackreeve/stackreeve/schema"
)

// Host is a language host of Pulumi: what runs programs that are written in a language.
type Host struct {
	// Runtime is the word in Pulumi.yaml: "yaml", "nodejs", "go".
	Runtime string `json:"runtime"`
	Path    string `json:"path"`
}

// hostPrefix begins the name of every language host.
const hostPrefix = "pulumi-language-"

// Hosts lists the language hosts that a Pulumi program has, by runtime: those beside it,
// and for other runtimes those in the folders of path, as Pulumi itself looks for them. For
// another engine there are none.
func Hosts(f Found, path string) []Host {
	if f.Provisioner != schema.Pulumi {
		return nil
	}
	dirs := []string{filepath.Dir(f.Path)}
	if real, err := filepath.EvalSymlinks(f.Path); err == nil {
		dirs = append(dirs, filepath.Dir(real))
	}
	dirs = append(dirs, searched(Options{Path: path})...)
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
			if p := filepath.Join(dir, e.Name()); isProgram(p) {
				out = append(out, Host{Runtime: runtime, Path: p})
			}
		}
	}
	slices.SortFunc(out, func(a, b Host) int { return strings.Compare(a.Runtime, b.Runtime) })
	return out
}

// NoHost says that no language host of Pulumi is there for a program, and how to get it.
type NoHost struct {
	Runtime string
	Program engine.Program
}

// Error tells what is not there, what to do, and where it would be looked for.
func (e *NoHost) Error() string { return e.What() + "; " + e.How() + "; " + e.Instead() }

// What is not there.
func (e *NoHost) What() string {
	return fmt.Sprintf("%s%s, the host for programs of the runtime %s, is not there", hostPrefix, e.Runtime, e.Runtime)
}

// Instead is where it was looked for.
func (e *NoHost) Instead() string {
	return fmt.Sprintf("it is neither beside %s (%s) nor on PATH", e.Program, e.Program.Path)
}

// How to get it.
func (e *NoHost) How() string {
	return fmt.Sprintf("`reeve engine install pulumi` gets Pulumi with its hosts, or put the host beside it; if %s is a mistake, correct runtime in Pulumi.yaml", e.Runtime)
}

// CheckHost returns a *NoHost when a Pulumi program has no host for a runtime: neither of
// those that Hosts lists, nor a plugin in home, Pulumi's own folder.
func CheckHost(f Found, runtime, path, home string) error {
	if slices.ContainsFunc(Hosts(f, path), func(h Host) bool { return h.Runtime == runtime }) {
		return nil
	}
	// The separator of a version keeps "java" from standing for "java2".
	if plugins, _ := filepath.Glob(filepath.Join(home, "plugins", "language-"+runtime+"-v*")); len(plugins) > 0 {
		return nil
	}
	return &NoHost{Runtime: runtime, Program: f.Program}
}
