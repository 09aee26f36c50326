// Package tooltest gives tests the real programs that they run: engines and a
// provider mirror, built on first use.
//
//	for _, engine := range tooltest.Engines(t) {
//		t.Run(engine.Name, func(t *testing.T) {
//			t.Parallel()
//			config := tooltest.CLIConfig(t) // for TF_CLI_CONFIG_FILE
//			…
//		})
//	}
//
// OpenTofu is always among the engines. Terraform is when it is on PATH; a test
// says so in its log when it is not. What cannot be had fails the test: nothing
// is skipped.
package tooltest

import (
	"context"
	"errors"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stackreeve/stackreeve/internal/tool"
)

// Engine is a program that plans and applies.
type Engine = tool.Engine

// The answers do not change while a test binary runs, and a build that one
// test's deadline cut short would be no answer for the others.
var (
	terraform = sync.OnceValues(func() (Engine, error) { return tool.Terraform(context.Background()) })
	openTofu  = sync.OnceValues(func() (Engine, error) { return tool.OpenTofu(context.Background()) })
	pulumi    = sync.OnceValues(func() (pulumiAndPlugins, error) {
		e, plugins, err := tool.Pulumi(context.Background())
		return pulumiAndPlugins{e, plugins}, err
	})
	hosts  = sync.OnceValues(func() (string, error) { return tool.PulumiHosts(context.Background()) })
	mirror = sync.OnceValues(func() (string, error) { return tool.ProviderMirror(context.Background()) })
)

// Engines returns the engines that tests run with: Terraform when it is
// installed, and OpenTofu.
func Engines(t testing.TB) []Engine {
	t.Helper()
	tofu := OpenTofu(t)
	tf, err := terraform()
	switch {
	case errors.Is(err, tool.ErrNotInstalled):
		t.Log("terraform is not on PATH: this test runs with OpenTofu only")
		return []Engine{tofu}
	case err != nil:
		t.Fatalf("find terraform: %v", err)
	}
	return []Engine{tf, tofu}
}

// OpenTofu returns the pinned OpenTofu.
func OpenTofu(t testing.TB) Engine {
	t.Helper()
	e, err := openTofu()
	if err != nil {
		t.Fatalf("get OpenTofu: %v", err)
	}
	return e
}

type pulumiAndPlugins struct {
	engine  Engine
	plugins string
}

// Pulumi returns the pinned Pulumi, with the language host of YAML programs beside it,
// and the folder of the provider "lab", for a project's plugins: see tool.PulumiRecipe.
func Pulumi(t testing.TB) (e Engine, plugins string) {
	t.Helper()
	p, err := pulumi()
	if err != nil {
		t.Fatalf("get Pulumi: %v", err)
	}
	return p.engine, p.plugins
}

// PulumiHosts returns the folder of the language hosts of Go and Node.js programs, for
// the PATH of a Pulumi that runs one: see tool.PulumiHostsRecipe.
func PulumiHosts(t testing.TB) string {
	t.Helper()
	folder, err := hosts()
	if err != nil {
		t.Fatalf("get Pulumi's language hosts: %v", err)
	}
	return folder
}

// CLIConfig returns the path of a CLI configuration with which an engine takes
// the providers hashicorp/local, null, random and time from a local mirror, and
// no other provider from anywhere.
func CLIConfig(t testing.TB) string {
	t.Helper()
	path, err := mirror()
	if err != nil {
		t.Fatalf("get the provider mirror: %v", err)
	}
	return path
}

// EmptyCLIConfig returns the path of a CLI configuration with which an engine
// finds no provider but its built-in one (terraform_data), and never asks the
// network. It builds nothing.
func EmptyCLIConfig(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "empty.tfrc")
	if err := tool.WriteCLIConfig(file, dir); err != nil {
		t.Fatalf("write a CLI configuration: %v", err)
	}
	return file
}
