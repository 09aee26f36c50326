package app

import (
	"context"
	"path/filepath"
	"sync"

	"github.com/hashicorp/go-version"

	"github.com/stackreeve/stackreeve/internal/config"
	"github.com/stackreeve/stackreeve/internal/program"
	"github.com/stackreeve/stackreeve/reconciler"
	"github.com/stackreeve/stackreeve/reconciler/engine"
	"github.com/stackreeve/stackreeve/reconciler/engine/pulumi"
	"github.com/stackreeve/stackreeve/reconciler/engine/pulumi/language"
	"github.com/stackreeve/stackreeve/reconciler/engine/terraform"
	"github.com/stackreeve/stackreeve/schema"
)

// Doing is told what is being done that may take long, for people to read; nil for nobody.
type Doing func(what string)

func (d Doing) tell(what string) {
	if d != nil {
		d(what)
	}
}

// engines finds the programs of stacks. A program that is installed or replaced
// while the daemon runs is found the next time: only its version is remembered, for
// as long as its file stays the same.
type engines struct {
	finder *program.Finder
	path   string
	data   string // the data folder with what was installed
	doing  Doing

	mu sync.Mutex // guards c
	c  config.Engine
}

func newEngines(c config.Engine, dataDir string, environ []string) *engines {
	path, _ := lookup(environ, "PATH")
	return &engines{finder: program.NewFinder(filepath.Join(dataDir, versionsFile)), path: path, data: dataDir, c: c}
}

// versionsFile is where the versions of programs are remembered in a data folder.
const versionsFile = "engines.json"

// use puts another configuration in force.
func (e *engines) use(c config.Engine) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.c = c
}

// installed is the folder of `reeve engine install`.
func (e *engines) installed() string { return filepath.Join(e.data, "engines") }

// all lists the engines that are there.
func (e *engines) all(ctx context.Context) (program.Inventory, error) { return e.only(ctx, "") }

// only lists the programs of one engine, and asks no other's for its version.
func (e *engines) only(ctx context.Context, p schema.Provisioner) (program.Inventory, error) {
	e.mu.Lock()
	c := e.c
	e.mu.Unlock()
	return e.finder.Find(ctx, program.Options{
		Named:   map[schema.Provisioner]string{schema.Terraform: c.Terraform, schema.OpenTofu: c.Tofu, schema.Pulumi: c.Pulumi},
		Folders: c.Folders, Installed: e.installed(), Path: e.path, Only: p, Oldest: oldest(),
		Asking: func(p schema.Provisioner, path string) {
			e.doing.tell("asking " + path + " for its version, as " + string(p))
		},
	})
}

// oldest are the first versions of the engines that the drivers can deal with.
func oldest() map[schema.Provisioner]*version.Version {
	twins := version.Must(version.NewVersion(terraform.OldestVersion))
	return map[schema.Provisioner]*version.Version{schema.Terraform: twins, schema.OpenTofu: twins,
		schema.Pulumi: version.Must(version.NewVersion(pulumi.OldestVersion))}
}

// program finds the engine of a stack.
func (e *engines) program(ctx context.Context, w engine.Wanted) (engine.Program, error) {
	p, _, err := e.choose(ctx, w)
	return p, err
}

// choose is program, with where it comes from. Where the runtime of a Pulumi program is
// named there must be a host for it.
func (e *engines) choose(ctx context.Context, w engine.Wanted) (engine.Program, string, error) {
	f, err := e.chosen(ctx, w)
	if err == nil && w.Runtime != "" {
		err = language.Check(f.Program, w.Runtime, e.path, reconciler.Layout{Root: e.data}.PulumiHome())
	}
	if err != nil {
		return engine.Program{}, "", err
	}
	return f.Program, string(f.Origin), nil
}

// chosen is the program for what is wanted. Another engine's that does not answer holds up
// no job; they are looked for when there is none of this one, to name what is there.
func (e *engines) chosen(ctx context.Context, w engine.Wanted) (program.Found, error) {
	inv, err := e.only(ctx, w.Provisioner)
	if err != nil {
		return program.Found{}, err
	}
	f, err := inv.Choose(w)
	if err == nil || len(inv.Found) > 0 {
		return f, err
	}
	if inv, err = e.all(ctx); err != nil {
		return program.Found{}, err
	}
	return inv.Choose(w)
}

// lack says why no engine can be had for what is wanted; nil when one can be had.
func (e *engines) lack(ctx context.Context, w engine.Wanted) error {
	_, err := e.program(ctx, w)
	return err
}

// preferred is the engine of stacks that name none: what the configuration says,
// else the one that is there, Terraform when both are. Without any it is Terraform,
// and jobs say that it is missing.
func (e *engines) preferred(ctx context.Context, c config.Engine) schema.Provisioner {
	if c.Default != "" {
		return schema.Provisioner(c.Default)
	}
	there := func(p schema.Provisioner) bool {
		inv, err := e.only(ctx, p)
		if err != nil {
			return false
		}
		_, ok := inv.Best(p)
		return ok
	}
	if c.Terraform == "" && !there(schema.Terraform) && (c.Tofu != "" || there(schema.OpenTofu)) {
		return schema.OpenTofu
	}
	return schema.Terraform
}
