package pulumi_test

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
	"github.com/stackreeve/stackreeve/reconciler/engine/pulumi"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	enginetest.Run(t, enginetest.Harness{
		Driver: pulumi.New(pulumi.Options{}),
		Task: func(t *testing.T, _ string) engine.Task {
			b := newBench(t)
			b.Task.Recipient = id.Recipient().String()
			b.Task.Pulumi.SecretConfig = []string{"secret"}
			return b.Task
		},
		Write:                writeProgram,
		Open:                 func(t *testing.T, sealed []byte) string { return enginetest.Open(t, id, sealed) },
		LeavesLock:           true,
		KeepsStateWhenKilled: true,
	})
}

// writeProgram writes a program in YAML, with the provider "lab".
func writeProgram(t *testing.T, dir string, p enginetest.Program) {
	t.Helper()
	_, plugins := tooltest.Pulumi(t)
	project := fmt.Sprintf("name: demo\nruntime: yaml\nplugins: {providers: [{name: lab, path: %q}]}\n", plugins)
	if err := os.WriteFile(filepath.Join(dir, "Pulumi.yaml"), []byte(project), 0o600); err != nil {
		t.Fatal(err)
	}
	// In a file of its own, because a project's config cannot have a value called "secret".
	var b strings.Builder
	if len(p.Inputs)+len(p.SecretInputs) > 0 {
		b.WriteString("config:\n")
	}
	for _, in := range p.Inputs {
		fmt.Fprintf(&b, "  %s: {type: string}\n", in)
	}
	for _, in := range p.SecretInputs {
		fmt.Fprintf(&b, "  %s: {type: string, secret: true}\n", in)
	}
	b.WriteString("resources:\n")
	for _, r := range p.Resources {
		if r.File != "" {
			fmt.Fprintf(&b, "  %s: {type: \"lab:File\", properties: {path: %q, content: \"${%s}\"}}\n", r.Name, r.File, r.Value)
			continue
		}
		fmt.Fprintf(&b, "  %s:\n    type: lab:Data\n    properties:\n      fails: %t\n      hangs: %t\n", r.Name, r.Fails, r.Hangs)
		if r.Value != "" {
			fmt.Fprintf(&b, "      value: ${%s}\n", r.Value)
		}
		if r.ReplaceOn != "" {
			fmt.Fprintf(&b, "      trigger: ${%s}\n", r.ReplaceOn)
		}
		if r.Note != "" {
			fmt.Fprintf(&b, "      note: %q\n", r.Note)
		}
		for _, a := range r.After {
			fmt.Fprintf(&b, "    options: {dependsOn: [\"${%s}\"]}\n", a)
		}
	}
	if len(p.Outputs) > 0 {
		b.WriteString("outputs:\n")
	}
	for _, o := range p.Outputs {
		if o.Nested {
			fmt.Fprintf(&b, "  %s: {inner: \"${%s}\", plain: x}\n", o.Name, o.Input)
			continue
		}
		fmt.Fprintf(&b, "  %s: ${%s}\n", o.Name, o.Input)
	}
	if err := os.WriteFile(filepath.Join(dir, "Main.yaml"), []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
}
