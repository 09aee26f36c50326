package program

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

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
