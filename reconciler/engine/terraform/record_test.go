package terraform

import (
	"context"
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	tfjson "github.com/hashicorp/terraform-json"

	"github.com/stackreeve/stackreeve/internal/tool/tooltest"
	"github.com/stackreeve/stackreeve/reconciler/engine/facts"
)

var (
	update = flag.Bool("update", false, "write the golden files")
	record = flag.Bool("record", false, "record the engines' plans again")
)

// story is a module that is applied, changed and planned: one of every change.
var story = struct{ before, after string }{
	before: `
variable "secret" { sensitive = true }
resource "terraform_data" "old_name" { input = 1 }
resource "terraform_data" "updated" { input = { text = "a<b", list = [1, 2, 3], big = 12345678901234567890, "a.b/c" = true } }
resource "terraform_data" "replaced" { triggers_replace = ["x"] }
resource "terraform_data" "replaced_first" {
  triggers_replace = 1
  lifecycle { create_before_destroy = true }
}
resource "terraform_data" "forgotten" {}
resource "terraform_data" "deleted" { input = var.secret }
resource "terraform_data" "same" { input = 1 }
resource "terraform_data" "secret" { input = { list = [var.secret, "open"], open = 1 } }
resource "local_file" "drifted" {
  filename = "out/drifted"
  content  = "text"
}
module "child" {
  source   = "./child"
  for_each = toset(["k.1", "k.2"])
  text     = "one"
}
output "open" { value = 1 }
output "gone" { value = "x" }
output "secret" {
  value     = { s = var.secret }
  sensitive = true
}
`,
	after: `
variable "secret" { sensitive = true }
moved {
  from = terraform_data.old_name
  to   = terraform_data.new_name
}
removed {
  from = terraform_data.forgotten
  lifecycle { destroy = false }
}
import {
  to = terraform_data.imported
  id = "an-id"
}
resource "terraform_data" "imported" {}
resource "terraform_data" "new_name" { input = 1 }
resource "terraform_data" "updated" { input = { text = "é>c", list = [1, 4], big = 12345678901234567891, "a.b/c" = false } }
resource "terraform_data" "replaced" {
  triggers_replace = ["y"]
  provisioner "local-exec" { command = "echo constant" }
}
resource "terraform_data" "replaced_first" {
  triggers_replace = 2
  lifecycle { create_before_destroy = true }
}
resource "terraform_data" "same" { input = 1 }
resource "terraform_data" "secret" { input = { list = ["${var.secret}!", "open"], open = 2 } }
resource "terraform_data" "created" { input = terraform_data.replaced.id }
resource "local_file" "drifted" {
  filename = "out/drifted"
  content  = "text"
}
data "local_file" "read" {
  filename   = "main.tf"
  depends_on = [terraform_data.created]
}
module "child" {
  source   = "./child"
  for_each = toset(["k.1", "k.2"])
  text     = each.key == "k.1" ? "two" : "one"
}
output "open" { value = terraform_data.created.id }
output "new" { value = ["x"] }
output "secret" {
  value     = { s = "${var.secret}!" }
  sensitive = true
}
`,
}

const childText = `
variable "text" {}
resource "terraform_data" "in" {
  triggers_replace = var.text
  provisioner "local-exec" { command = "echo ${self.id}" }
}
`

// TestRecord records what the engines show of the story's plan. Run it with
// -record after a new version, then look at what moved in the golden files.
func TestRecord(t *testing.T) {
	if !*record {
		t.Log("run with -record to record the engines' plans again")
		return
	}
	for _, e := range tooltest.Engines(t) {
		dir := t.TempDir()
		write := func(name, text string) {
			path := filepath.Join(dir, name)
			if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		run := func(args ...string) []byte {
			cmd := exec.CommandContext(context.Background(), e.Path, args...)
			cmd.Dir, cmd.Stderr = dir, os.Stderr
			cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "TF_CLI_CONFIG_FILE=" + tooltest.CLIConfig(t), "CHECKPOINT_DISABLE=1", "TF_VAR_secret=canary-secret"}
			out, err := cmd.Output()
			if err != nil {
				t.Fatalf("%v: %v\n%s", args, err, out)
			}
			return out
		}
		write("main.tf", story.before)
		write("child/main.tf", childText)
		run("init")
		run("apply", "-auto-approve")
		write("main.tf", story.after)
		if err := os.Remove(filepath.Join(dir, "out", "drifted")); err != nil {
			t.Fatal(err)
		}
		run("plan", "-out=change")
		golden(t, "plans/"+e.Name+"-change.json", run("show", "-json", "change"), true)
		run("plan", "-destroy", "-out=destroy")
		golden(t, "plans/"+e.Name+"-destroy.json", run("show", "-json", "destroy"), true)
	}
}

// golden compares with a file of testdata, or writes it.
func golden(t *testing.T, name string, got []byte, write bool) {
	t.Helper()
	path := filepath.Join("testdata", filepath.FromSlash(name))
	if write {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got; run with -update when this is right):\n%s", name, diff)
	}
}

// recorded reads a recorded plan.
func recorded(t testing.TB, path string) *tfjson.Plan {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var p tfjson.Plan
	p.UseJSONNumber(true)
	if err := json.Unmarshal(b, &p); err != nil {
		t.Fatal(err)
	}
	return &p
}

func recordings(t testing.TB) []string {
	t.Helper()
	found, err := filepath.Glob("testdata/plans/*.json")
	if err != nil || len(found) == 0 {
		t.Fatalf("no recorded plans: %v", err)
	}
	return found
}

func testConverter() converter {
	return converter{Hider: facts.Hider{Key: []byte("a key"), Mask: facts.NewMasker([]string{"canary-secret"})}, revision: "r1"}
}

func TestRecordedPlansConvertToTheGoldenOnes(t *testing.T) {
	t.Parallel()
	for _, path := range recordings(t) {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".json"), func(t *testing.T) {
			t.Parallel()
			plan, err := testConverter().convert(recorded(t, path))
			if err != nil {
				t.Fatal(err)
			}
			plan.Text = ""
			b, err := json.MarshalIndent(plan, "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			text := facts.Render(*plan, reasons)
			if all := string(b) + text; strings.Contains(all, "canary") {
				t.Error("the secret is in the plan")
			}
			name := "golden/" + strings.TrimSuffix(filepath.Base(path), ".json")
			golden(t, name+".json", append(b, '\n'), *update)
			golden(t, name+".txt", []byte(text), *update)
		})
	}
}
