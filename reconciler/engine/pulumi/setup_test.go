package pulumi_test

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/stackreeve/stackreeve/internal/tool/tooltest"
	"github.com/stackreeve/stackreeve/reconciler/engine"
	"github.com/stackreeve/stackreeve/reconciler/engine/enginetest"
	"github.com/stackreeve/stackreeve/reconciler/engine/pulumi"
)

// bench is one stack on which phases are run.
type bench struct {
	*enginetest.Bench
	plugins string
}

func newBench(t testing.TB) *bench {
	t.Helper()
	e, plugins := tooltest.Pulumi(t)
	b := enginetest.NewBench(t, pulumi.New(pulumi.Options{}), engine.Program{Provisioner: "pulumi", Path: e.Path, Version: e.Version}, "PulumiStack")
	dir := filepath.Dir(b.Task.Workspace)
	state := filepath.Join(dir, "state")
	b.Task.StateFile = filepath.Join(state, ".pulumi", "stacks", "demo", "dev.json")
	b.Task.Pulumi = &engine.PulumiStack{
		Project: "demo", Stack: "dev", BackendURL: "file://" + state, SecretsProvider: "passphrase", Passphrase: "correct horse battery",
		Home: filepath.Join(dir, "home"), NoPluginDownload: true,
	}
	b.Task.Env["HOME"] = dir
	return &bench{Bench: b, plugins: plugins}
}

// program makes a YAML program with the lab's provider the module.
func (b *bench) program(text string) {
	b.Helper()
	b.Module(map[string]string{"Pulumi.yaml": b.project("demo") + text})
}

func (b *bench) project(name string) string {
	return fmt.Sprintf("name: %s\nruntime: yaml\nplugins: {providers: [{name: lab, path: %q}]}\n", name, b.plugins)
}
