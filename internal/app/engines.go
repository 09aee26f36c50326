package app

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"

	"github.com/stackreeve/stackreeve/internal/config"
	"github.com/stackreeve/stackreeve/reconciler/engine"
	"github.com/stackreeve/stackreeve/reconciler/engine/terraform"
	"github.com/stackreeve/stackreeve/schema"
)

// engines finds the programs of stacks. A program that is installed or replaced
// while the daemon runs is found the next time: only its version is remembered, for
// as long as its file stays the same.
type engines struct {
	finder *terraform.Finder
	path   string

	mu sync.Mutex // guards c
	c  config.Engine
}

func newEngines(c config.Engine, dataDir string, environ []string) *engines {
	path, _ := lookup(environ, "PATH")
	return &engines{finder: terraform.NewFinder(filepath.Join(dataDir, "engines.json")), path: path, c: c}
}

// use puts another configuration in force.
func (e *engines) use(c config.Engine) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.c = c
}

// all lists the engines that are there.
func (e *engines) all(ctx context.Context) ([]engine.Program, error) {
	e.mu.Lock()
	c := e.c
	e.mu.Unlock()
	return e.finder.Find(ctx, terraform.FindOptions{TerraformPath: c.Terraform, OpenTofuPath: c.Tofu, Path: e.path})
}

// program finds the engine of a stack.
func (e *engines) program(ctx context.Context, p schema.Provisioner) (engine.Program, error) {
	found, err := e.all(ctx)
	for _, f := range found {
		if f.Provisioner == p {
			return f, nil
		}
	}
	if err == nil {
		err = fmt.Errorf("%s is not installed, only %s; install it so that it is on PATH, or name it in reeve.yaml (engine.%s)", p, found[0], p)
	}
	return engine.Program{}, err
}

// preferred is the engine of stacks that name none: what the configuration says,
// else the one that is there, Terraform when both are. Without any it is Terraform,
// and jobs say that it is missing.
func (e *engines) preferred(ctx context.Context, c config.Engine) schema.Provisioner {
	if c.Default != "" {
		return schema.Provisioner(c.Default)
	}
	found, err := e.all(ctx)
	if err != nil || len(found) == 0 {
		return schema.Terraform
	}
	return found[0].Provisioner
}
