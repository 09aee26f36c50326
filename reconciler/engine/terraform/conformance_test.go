package terraform_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"

	"github.com/stackreeve/stackreeve/internal/tool/tooltest"
	"github.com/stackreeve/stackreeve/reconciler/engine"
	"github.com/stackreeve/stackreeve/reconciler/engine/enginetest"
	"github.com/stackreeve/stackreeve/reconciler/engine/terraform"
	"github.com/stackreeve/stackreeve/schema"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	for _, e := range tooltest.Engines(t) {
		t.Run(e.Name, func(t *testing.T) {
			t.Parallel()
			id, err := age.GenerateX25519Identity()
			if err != nil {
				t.Fatal(err)
			}
			config := tooltest.CLIConfig(t)
			enginetest.Run(t, enginetest.Harness{
				Driver: terraform.New(terraform.Options{}),
				Task: func(t *testing.T, dir string) engine.Task {
					b := newBench(t, engine.Program{Provisioner: schema.Provisioner(e.Name), Path: e.Path, Version: e.Version})
					b.Task.Env["TF_CLI_CONFIG_FILE"] = config
					b.Task.Recipient = id.Recipient().String()
					return b.Task
				},
				Write:                writeProgram,
				Open:                 func(t *testing.T, sealed []byte) string { return enginetest.Open(t, id, sealed) },
				KeepsStateWhenKilled: e.Name == "terraform",
				// What OpenTofu leaves when it is killed during an apply.
				LoseState: func(t *testing.T, task engine.Task) {
					if err := os.Truncate(task.StateFile, 0); err != nil {
						t.Fatal(err)
					}
				},
			})
		})
	}
}

// writeProgram writes a program in Terraform's language.
func writeProgram(t *testing.T, dir string, p enginetest.Program) {
	t.Helper()
	var b strings.Builder
	for _, in := range p.Inputs {
		fmt.Fprintf(&b, "variable %q {}\n", in)
	}
	for _, in := range p.SecretInputs {
		fmt.Fprintf(&b, "variable %q { sensitive = true }\n", in)
	}
	kinds := map[string]string{}
	for _, r := range p.Resources {
		kinds[r.Name] = "terraform_data"
		if r.File != "" {
			kinds[r.Name] = "local_file"
		}
	}
	for _, r := range p.Resources {
		fmt.Fprintf(&b, "resource %q %q {\n", kinds[r.Name], r.Name)
		switch {
		case r.File != "":
			fmt.Fprintf(&b, "  filename = %q\n  content = var.%s\n", r.File, r.Value)
		case r.Value != "":
			fmt.Fprintf(&b, "  input = var.%s\n", r.Value)
		}
		if r.ReplaceOn != "" {
			fmt.Fprintf(&b, "  triggers_replace = var.%s\n", r.ReplaceOn)
		}
		var commands []string
		if r.Note != "" {
			commands = append(commands, "echo done >> '"+r.Note+"'")
		}
		if r.Fails {
			commands = append(commands, "exit 7")
		}
		if r.Hangs {
			commands = append(commands, "exec sleep 600")
		}
		if len(commands) > 0 {
			fmt.Fprintf(&b, "  provisioner \"local-exec\" { command = %q }\n", strings.Join(commands, "\n"))
		}
		for _, a := range r.After {
			fmt.Fprintf(&b, "  depends_on = [%s.%s]\n", kinds[a], a)
		}
		b.WriteString("}\n")
	}
	for _, o := range p.Outputs {
		value := "var." + o.Input
		if o.Nested {
			value = "{ inner = " + value + ", plain = \"x\" }"
		}
		fmt.Fprintf(&b, "output %q {\n  value = %s\n  sensitive = %t\n}\n", o.Name, value, o.Secret)
	}
	if err := os.WriteFile(filepath.Join(dir, "main.tf"), []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
}
