// Package program finds the engines that are there, several versions of each side by
// side, and says which one a stack gets.
//
//	Options ─▶ Finder.Find ─▶ Inventory (what is there, best first) ─▶ Choose(Wanted) ─▶ Found, or *NoneFits
//
// Programs come from four places: the paths that the configuration names, its folders,
// the folder into which `reeve engine install` puts them, and every folder of PATH. Of
// one engine they stand in this order:
//
//  1. the one that the configuration names (engine.tofu): whoever names a program means it
//  2. by version, the newest first; what came before a release comes after all releases
//  3. of one version: the configuration's folders in their order, what was installed, PATH
//
// The first whose version satisfies the stack's constraint is taken. So the answer depends
// on what is there and on nothing else.
//
// To ask a program for its version costs a process. It is asked once for as long as its
// file is the same (path, size, time, inode), across restarts too, and never for a job. A
// program that says that it is another engine than it is called does not work.
// A program that only stands for others, as version switchers do, may answer something
// else tomorrow while its file is the same: it is asked again after a minute.
//
// The package runs no engine but for its version, and knows no stack. Package install,
// below it, brings engines here.
package program

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashicorp/go-version"

	"github.com/stackreeve/stackreeve/reconciler/engine"
	"github.com/stackreeve/stackreeve/schema"
)

// names are the engines in the order in which they are listed; the program of an engine
// has its name.
var names = []schema.Provisioner{schema.Terraform, schema.OpenTofu, schema.Pulumi}

// Names lists the engines in the order in which they are shown.
func Names() []schema.Provisioner { return slices.Clone(names) }

// Origin says how a program was found.
type Origin string

// The origins.
const (
	Configured Origin = "configured" // its path is in the configuration
	InFolder   Origin = "folder"     // in a folder that the configuration names
	Installed  Origin = "installed"  // by `reeve engine install`
	OnPath     Origin = "PATH"
)

// Sentence is the origin in words.
func (o Origin) Sentence() string {
	switch o {
	case Configured:
		return "named in the configuration"
	case InFolder:
		return "in a folder that the configuration names"
	case Installed:
		return "installed by reeve"
	}
	return "on PATH"
}

// Found is a program that works.
type Found struct {
	engine.Program
	Origin Origin `json:"origin"`

	number *version.Version
}

// Broken is a program that is there and does not work.
type Broken struct {
	Provisioner schema.Provisioner `json:"provisioner"`
	Path        string             `json:"path"`
	Origin      Origin             `json:"origin"`
	Err         string             `json:"error"`
}

// Options say where engines may be.
type Options struct {
	// Named are the programs that the configuration names: absolute paths.
	Named map[schema.Provisioner]string
	// Folders are absolute paths, in the order in which they are preferred.
	Folders []string
	// Installed is the folder of `reeve engine install`; see InstalledPath. "" for none.
	Installed string
	// Only is the engine that is looked for; "" for all.
	Only schema.Provisioner
	// Oldest are the versions from which on programs can be used; what is older is there and
	// does not work.
	Oldest map[schema.Provisioner]*version.Version
	// Path is a list of folders as in the PATH variable. Relative folders in it are
	// passed over: what runs must not depend on where the daemon was started. It is also
	// all of the environment in which programs are asked for their version.
	Path string
	// Asking is told of each program that is asked for its version, before; it may be nil.
	Asking func(p schema.Provisioner, path string)
}

// InstalledPath is where an installed program is below the folder of all of them.
func InstalledPath(root string, p schema.Provisioner, number string) string {
	return filepath.Join(root, string(p), number, string(p))
}

// Inventory is what is there.
type Inventory struct {
	// Found are the programs, the best of each engine first.
	Found []Found
	// Broken are those that do not work.
	Broken []Broken
	// Looked are the folders that were looked in.
	Looked []string
}

// Best is the program of an engine that stacks without a constraint get.
func (inv Inventory) Best(p schema.Provisioner) (Found, bool) {
	f, err := inv.Choose(engine.Wanted{Provisioner: p})
	return f, err == nil
}

// Choose picks the program for a stack: the first that its constraint allows. The error
// is *NoneFits.
func (inv Inventory) Choose(w engine.Wanted) (Found, error) {
	none := &NoneFits{Wanted: w, Looked: inv.Looked}
	for _, b := range inv.Broken {
		if b.Provisioner == w.Provisioner {
			none.Broken = append(none.Broken, b)
		}
	}
	if i := slices.IndexFunc(none.Broken, func(b Broken) bool { return b.Origin == Configured }); i >= 0 {
		// Whoever names a program must not get another one because it does not work today.
		none.Broken = none.Broken[i : i+1]
		return Found{}, none
	}
	for _, f := range inv.Found {
		if f.Provisioner != w.Provisioner {
			none.Others = append(none.Others, f)
			continue
		}
		if w.Version.Allows(f.number) {
			return f, nil
		}
		none.There = append(none.There, f)
	}
	return Found{}, none
}

// NoneFits says that no program can be used for a stack, and how to get one. It is
// engine.ErrVersion when programs of the engine are there.
type NoneFits struct {
	Wanted engine.Wanted
	// There are the programs of the engine, and Others those of other engines.
	There, Others []Found
	Broken        []Broken
	Looked        []string
}

// Is tells errors.Is whether it is the version that does not fit.
func (e *NoneFits) Is(target error) bool {
	return target == engine.ErrVersion && len(e.There) > 0
}

// Error tells what is wanted and by whom, what to do, and then what is there: whoever shows
// the beginning of it alone shows the command.
func (e *NoneFits) Error() string {
	text := e.What() + "; " + e.How()
	if there := e.Instead(); there != "" {
		text += "; " + there
	}
	return text
}

// What is wanted and by whom.
func (e *NoneFits) What() string {
	name := string(e.Wanted.Provisioner)
	switch {
	case e.isNamed():
		return e.Broken[0].Path + ": " + e.Broken[0].Err
	case len(e.There) > 0:
		return "no " + name + " satisfies " + constraint(e.Wanted.Version)
	case e.Wanted.Version.Constraint != "":
		return name + " is not installed; " + constraint(e.Wanted.Version) + " is wanted"
	}
	return name + " is not installed"
}

// Instead is what is there, and does not fit; "" where What says it.
func (e *NoneFits) Instead() string {
	if e.isNamed() {
		return ""
	}
	var parts []string
	switch {
	case len(e.There) > 0:
		parts = append(parts, "there is "+list(e.There))
	case len(e.Others) > 0:
		parts = append(parts, "there is only "+list(e.Others))
	case len(e.Looked) > 0:
		parts = append(parts, "none was found in "+strings.Join(e.Looked, ", "))
	}
	for _, x := range e.Broken {
		parts = append(parts, x.Path+" does not work: "+x.Err)
	}
	return strings.Join(parts, "; ")
}

// How to get what is wanted.
func (e *NoneFits) How() string {
	name := string(e.Wanted.Provisioner)
	if e.isNamed() {
		return "correct engine." + name + " in reeve.yaml"
	}
	return fmt.Sprintf("`%s` gets it, or name a program in reeve.yaml (engine.%s)", InstallCommand(e.Wanted), name)
}

// isNamed tells that it is the program that the configuration names which does not work.
func (e *NoneFits) isNamed() bool { return len(e.Broken) == 1 && e.Broken[0].Origin == Configured }

// InstallCommand is what a person types to get what is wanted.
func InstallCommand(w engine.Wanted) string {
	s := "reeve engine install " + string(w.Provisioner)
	if c := w.Version.Constraint; c != "" {
		return "reeve engine install '" + string(w.Provisioner) + "@" + strings.ReplaceAll(c, "'", "") + "'"
	}
	return s
}

// constraint names a constraint and where it stands.
func constraint(v schema.EngineVersion) string {
	s := "`" + v.Constraint + "`"
	if v.Pos.File != "" {
		s += " (" + v.Pos.String() + ")"
	}
	return s
}

// listed is how many programs are named at most.
const listed = 4

// list names programs with their places: "tofu 1.9.4 (/opt/tofu), 1.8.0 (/usr/bin/tofu)".
func list(found []Found) string {
	var parts []string
	last := schema.Provisioner("")
	for _, f := range found[:min(len(found), listed)] {
		s := f.Version
		if f.Provisioner != last {
			s = f.Program.String()
		}
		last = f.Provisioner
		parts = append(parts, s+" ("+f.Path+")")
	}
	if more := len(found) - listed; more > 0 {
		parts = append(parts, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(parts, ", ")
}

// Find lists the programs that are there. The error is ctx's.
func (f *Finder) Find(ctx context.Context, o Options) (Inventory, error) {
	var inv Inventory
	inv.Looked = searched(o)
	for _, p := range names {
		if o.Only != "" && p != o.Only {
			continue
		}
		start := len(inv.Found)
		seen := map[string]bool{}
		for _, c := range candidates(o, inv.Looked, p) {
			if c.origin != Configured && !isFile(c.path) {
				continue
			}
			real, number, err := f.version(ctx, asked{p, c.path}, o)
			if ctx.Err() != nil {
				return inv, ctx.Err()
			}
			if oldest := o.Oldest[p]; err == nil && oldest != nil && number.LessThan(oldest) {
				err = fmt.Errorf("its version %s is too old: %s or newer is needed", number, oldest)
			}
			if err != nil {
				inv.Broken = append(inv.Broken, Broken{Provisioner: p, Path: c.path, Origin: c.origin, Err: err.Error()})
				continue
			}
			if seen[real] {
				continue // the same program under another name, /bin and /usr/bin above all
			}
			seen[real] = true
			inv.Found = append(inv.Found, Found{Program: engine.Program{Provisioner: p, Path: c.path, Version: number.Original()},
				Origin: c.origin, number: number})
		}
		slices.SortStableFunc(inv.Found[start:], better)
	}
	return inv, nil
}

// better is the order of programs of one engine; what it finds equal stays in the order
// of the candidates.
func better(a, b Found) int {
	rank := func(f Found) int {
		switch {
		case f.Origin == Configured:
			return 0
		case f.number.Prerelease() == "":
			return 1
		}
		return 2
	}
	return cmp.Or(cmp.Compare(rank(a), rank(b)), b.number.Compare(a.number))
}

// candidate is a path at which a program may be.
type candidate struct {
	path   string
	origin Origin
}

// candidates lists where a program of an engine may be, those that are preferred first.
func candidates(o Options, looked []string, p schema.Provisioner) []candidate {
	var out []candidate
	if path := o.Named[p]; path != "" {
		out = append(out, candidate{path, Configured})
	}
	for _, dir := range o.Folders {
		out = append(out, candidate{filepath.Join(dir, string(p)), InFolder})
	}
	if o.Installed != "" {
		versions, _ := os.ReadDir(filepath.Join(o.Installed, string(p))) // that there is none is no error
		for _, v := range versions {
			if _, err := version.NewVersion(v.Name()); err == nil {
				out = append(out, candidate{InstalledPath(o.Installed, p, v.Name()), Installed})
			}
		}
	}
	for _, dir := range looked {
		if !slices.Contains(o.Folders, dir) {
			out = append(out, candidate{filepath.Join(dir, string(p)), OnPath})
		}
	}
	return out
}

// searched are the configuration's folders and PATH's, each once.
func searched(o Options) []string {
	var dirs []string
	for _, dir := range append(slices.Clone(o.Folders), filepath.SplitList(o.Path)...) {
		if filepath.IsAbs(dir) && !slices.Contains(dirs, filepath.Clean(dir)) {
			dirs = append(dirs, filepath.Clean(dir))
		}
	}
	return dirs
}

// isFile tells whether somebody has put a file there: one that may not be executed is told
// of, for it was meant to be; a folder of an engine's name is nothing.
func isFile(path string) bool {
	st, err := os.Stat(path)
	return err == nil && st.Mode().IsRegular()
}
