package app

import (
	"context"

	"github.com/stackreeve/stackreeve/internal/config"
	"github.com/stackreeve/stackreeve/internal/program"
	"github.com/stackreeve/stackreeve/internal/program/install"
	"github.com/stackreeve/stackreeve/reconciler/engine"
	"github.com/stackreeve/stackreeve/reconciler/engine/pulumi"
	"github.com/stackreeve/stackreeve/reconciler/engine/pulumi/language"
	"github.com/stackreeve/stackreeve/schema"
)

// EngineStatus is one engine program that is there.
type EngineStatus struct {
	Engine schema.Provisioner `json:"engine"`
	// Version is "" for a program that does not work; Problem says why.
	Version string         `json:"version,omitempty"`
	Path    string         `json:"path"`
	Origin  program.Origin `json:"origin"`
	// Best tells that stacks without a constraint get it, and Default that it is also of
	// the engine that stacks get for which no document names one.
	Best    bool   `json:"best"`
	Default bool   `json:"default"`
	Problem string `json:"problem,omitempty"`
	// Hosts are the language hosts of a Pulumi program.
	Hosts []language.Host `json:"hosts,omitempty"`
}

// Engines lists the engine programs that a daemon with this configuration finds, those
// first that are preferred.
func Engines(ctx context.Context, c config.Config, environ []string, doing Doing) ([]EngineStatus, error) {
	e := newEngines(c.Engine, c.DataDir, environ)
	e.doing = doing
	inv, err := e.all(ctx)
	if err != nil {
		return nil, err
	}
	preferred := e.preferred(ctx, c.Engine)
	out := []EngineStatus{}
	for _, p := range program.Names() {
		best, there := inv.Best(p)
		for _, f := range inv.Found {
			if f.Provisioner == p {
				is := there && f.Path == best.Path
				out = append(out, EngineStatus{Engine: p, Version: f.Version, Path: f.Path, Origin: f.Origin,
					Best: is, Default: is && p == preferred, Hosts: language.Hosts(f.Program, e.path)})
			}
		}
		for _, b := range inv.Broken {
			if b.Provisioner == p {
				out = append(out, EngineStatus{Engine: p, Path: b.Path, Origin: b.Origin, Problem: b.Err})
			}
		}
	}
	return out, nil
}

// EngineLack is an error that says why an engine cannot be had, or what it lacks.
type EngineLack interface {
	error
	// What is wanted and not there.
	What() string
	// How to get it.
	How() string
	// Instead is what is there, or where it was looked for; "" when What says it all.
	Instead() string
}

var (
	_ EngineLack = (*program.NoneFits)(nil)
	_ EngineLack = (*language.NoHost)(nil)
)

// FindPulumi finds a Pulumi that can run programs of a runtime: the best that a daemon with
// this configuration finds, with its language host. Plugins that such a daemon has do not
// count: who asks has no home of Pulumi's yet. The error is an EngineLack, a *program.NoneFits
// where there is no such Pulumi. Nothing is written down.
func FindPulumi(ctx context.Context, c config.Config, environ []string, runtime string) (engine.Program, error) {
	e := newEngines(c.Engine, c.DataDir, environ)
	inv, err := program.NewFinder("").Find(ctx, program.Options{Named: map[schema.Provisioner]string{schema.Pulumi: c.Engine.Pulumi},
		Folders: c.Engine.Folders, Installed: e.installed(), Path: e.path, Only: schema.Pulumi})
	if err != nil {
		return engine.Program{}, err
	}
	f, err := inv.Choose(engine.Wanted{Provisioner: schema.Pulumi, Version: schema.EngineVersion{Constraint: ">= " + pulumi.OldestVersion}})
	if err == nil {
		err = language.Check(f.Program, runtime, e.path, "")
	}
	if err != nil {
		return engine.Program{}, err
	}
	return f.Program, nil
}

// InstallEngine installs an engine below the data folder, unless the daemon finds one that
// fits already, wherever that is. For the newest version it is the network that knows
// which one that is. progress may be nil.
func InstallEngine(ctx context.Context, c config.Config, environ []string, r install.Request, progress func(install.Progress)) (install.Installed, error) {
	e := newEngines(c.Engine, c.DataDir, environ)
	if r.Constraint != "" {
		inv, err := e.only(ctx, r.Provisioner)
		if err != nil {
			return install.Installed{}, err
		}
		if f, err := inv.Choose(engine.Wanted{Provisioner: r.Provisioner, Version: schema.EngineVersion{Constraint: r.Constraint}}); err == nil {
			return install.Installed{Program: f.Program, Already: true}, nil
		}
	}
	m := c.Engine.Mirrors
	return install.Install(ctx, install.Options{Root: e.installed(), Progress: progress, Oldest: oldest()[r.Provisioner],
		Mirrors: map[schema.Provisioner]string{schema.Terraform: m.Terraform, schema.OpenTofu: m.Tofu, schema.Pulumi: m.Pulumi}}, r)
}
