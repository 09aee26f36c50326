package terraform_test

import (
	"path/filepath"
	"testing"

	"github.com/stackreeve/stackreeve/internal/tool/tooltest"
	"github.com/stackreeve/stackreeve/reconciler/engine"
	"github.com/stackreeve/stackreeve/reconciler/engine/enginetest"
	"github.com/stackreeve/stackreeve/reconciler/engine/terraform"
	"github.com/stackreeve/stackreeve/schema"
)

// bench is one stack on which phases are run.
type bench struct{ *enginetest.Bench }

// forEngines runs a test with every engine that is there.
func forEngines(t *testing.T, f func(t *testing.T, b *bench)) {
	for _, e := range tooltest.Engines(t) {
		t.Run(e.Name, func(t *testing.T) {
			t.Parallel()
			f(t, newBench(t, engine.Program{Provisioner: schema.Provisioner(e.Name), Path: e.Path, Version: e.Version}))
		})
	}
}

func newBench(t testing.TB, program engine.Program) *bench {
	t.Helper()
	b := enginetest.NewBench(t, terraform.New(terraform.Options{}), program, "TerraformStack")
	state := filepath.Join(filepath.Dir(b.Task.Workspace), "state")
	b.Task.StateFile, b.Task.StateBackups = filepath.Join(state, "terraform.tfstate"), filepath.Join(state, "backups")
	b.Task.Backend = schema.Backend{Type: "local"}
	b.Task.Env["TF_CLI_CONFIG_FILE"] = tooltest.EmptyCLIConfig(t)
	return &bench{b}
}
