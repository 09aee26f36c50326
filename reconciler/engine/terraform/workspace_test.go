package terraform_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stackreeve/stackreeve/internal/tool/tooltest"
	"github.com/stackreeve/stackreeve/reconciler/engine"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
)

// tree lists a folder's files with their texts.
func tree(t *testing.T, root string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if st, err := os.Stat(path); err == nil && st.IsDir() {
			return nil // a link to somebody else's folder
		}
		text, err := os.ReadFile(path)
		name, _ := filepath.Rel(root, path)
		out[name] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestModuleSeesItsSiblingsAndWritesNothingIntoTheCheckout(t *testing.T) {
	t.Parallel()
	forEngines(t, func(t *testing.T, b *bench) {
		files := map[string]string{
			"shared/names/main.tf":     `output "name" { value = trimspace(file("${path.module}/../text")) }`,
			"shared/text":              "from a sibling\n",
			"stacks/net/main.tf":       "module \"names\" { source = \"../../shared/names\" }\nmodule \"sub\" { source = \"./sub\" }\n",
			"stacks/net/resource.tf":   `resource "terraform_data" "a" { input = [module.names.name, module.sub.text, file("${path.module}/note")] }`,
			"stacks/net/writes.tf":     "resource \"terraform_data\" \"w\" {\n  depends_on = [terraform_data.a]\n  provisioner \"local-exec\" { command = \"echo new > note && echo new > sub/text && echo new > made && touch sub/made\" }\n}\n",
			"stacks/net/note":          "old\n",
			"stacks/net/sub/main.tf":   `output "text" { value = file("${path.module}/text") }`,
			"stacks/net/sub/text":      "old\n",
			"stacks/other/main.tf":     `resource "terraform_data" "other" {}`,
			"stacks/net/prod.tfvars":   "unused = 1\n",
			"README.md":                "top\n",
			"stacks/net/.hidden/thing": "x",
		}
		b.Module(files)
		b.Task.ModulePath = "stacks/net"
		before := tree(t, b.Task.ModuleRoot)
		out := b.MustApply()
		if out.Counts.Create != 2 {
			t.Errorf("counts = %+v", out.Counts)
		}
		if diff := cmp.Diff(before, tree(t, b.Task.ModuleRoot)); diff != "" {
			t.Errorf("the checkout was written to (-before +after):\n%s", diff)
		}
		own := filepath.Join(b.Task.Workspace, "root", "stacks", "net")
		if text, err := os.ReadFile(filepath.Join(own, "made")); err != nil || string(text) != "new\n" {
			t.Errorf("what the module wrote: %q, %v", text, err)
		}

		// The next revision: a file goes, another changes, what the module wrote stays.
		delete(files, "stacks/net/writes.tf")
		files["stacks/net/note"] = "newer\n"
		b.Module(files)
		b.Task.ModulePath = "stacks/net"
		plan := b.MustPlan()
		if plan.Counts.Delete != 1 || plan.Counts.Update != 1 {
			t.Errorf("counts = %+v", plan.Counts)
		}
		if _, err := os.Stat(filepath.Join(own, "made")); err != nil {
			t.Error("what the module wrote is gone")
		}
	})
}

func TestMissingModuleFolderIsTheAuthorsMistake(t *testing.T) {
	t.Parallel()
	forEngines(t, func(t *testing.T, b *bench) {
		b.Module(map[string]string{"main.tf": ""})
		b.Task.ModulePath = "stacks/nte"
		r := b.Plan(t.Context())
		if r.Failure == nil || r.Failure.Class != engine.ClassAuthor || r.Failure.Reason.Code != stackjob.ReasonModule || !strings.Contains(r.Failure.Text, "stacks/nte") {
			t.Errorf("failure = %+v", r.Failure)
		}
	})
}

func TestInitRunsAgainOnlyWhenSomethingMovedThatItDependsOn(t *testing.T) {
	t.Parallel()
	forEngines(t, func(t *testing.T, b *bench) {
		b.Task.Env["TF_CLI_CONFIG_FILE"] = tooltest.CLIConfig(t)
		files := map[string]string{"main.tf": "resource \"random_pet\" \"a\" {}\n"}
		b.Module(files)
		processes := b.Counting()
		plan := func(what, want string) {
			t.Helper()
			b.MustPlan()
			if got := words(processes())[0]; got != want {
				t.Errorf("%s: the first process is %q, want %q", what, got, want)
			}
		}
		plan("new", "init")
		plan("again", "plan")
		lock := filepath.Join(b.Task.Workspace, "root", ".terraform.lock.hcl")
		pinned, err := os.ReadFile(lock)
		if err != nil {
			t.Fatal(err)
		}
		b.Module(files)
		plan("new revision", "init")
		if again, err := os.ReadFile(lock); err != nil || string(again) != string(pinned) {
			t.Errorf("the lock file did not outlive the revision: %v", err)
		}
		b.Task.StateFile += ".moved"
		plan("new backend", "init")
		if err := os.RemoveAll(filepath.Join(b.Task.Workspace, "data", "providers")); err != nil {
			t.Fatal(err)
		}
		plan("providers gone", "init")
		if err := os.Remove(lock); err != nil {
			t.Fatal(err)
		}
		plan("lock file gone", "init")
		// A module's own lock file is taken and not written back.
		files[".terraform.lock.hcl"] = string(pinned) + "# ours\n"
		b.Module(files)
		plan("own lock file", "init")
		if text, err := os.ReadFile(lock); err != nil || !strings.HasSuffix(string(text), "# ours\n") {
			t.Errorf("the module's lock file is not used: %s, %v", text, err)
		}
	})
}

func TestInputsAreExactAndPrivateAndGoWithThePhase(t *testing.T) {
	t.Parallel()
	forEngines(t, func(t *testing.T, b *bench) {
		b.Module(map[string]string{
			"main.tf":    "variable \"big\" {}\nvariable \"t\" {}\nvariable \"f\" {}\noutput \"big\" { value = var.big }\noutput \"t\" { value = var.t }\noutput \"f\" { value = var.f }",
			"a.tfvars":   "t = \"file\"\nf = \"file\"\n",
			"b/c.tfvars": "f = \"last file\"\n",
		})
		b.Task.VarFiles = []string{"a.tfvars", "b/c.tfvars"}
		b.Task.Inputs = []byte(`{"big":12345678901234567890,"t":"x${y}%{if}"}`)
		out := b.MustApply()
		got := map[string]string{}
		for _, o := range out.Outputs {
			got[o.Name] = string(o.Value)
		}
		want := map[string]string{"big": "12345678901234567890", "t": `"x${y}%{if}"`, "f": `"last file"`}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("outputs (-want +got):\n%s", diff)
		}
		if err := os.Remove(b.PlanFile); err != nil { // the runner seals and removes it
			t.Fatal(err)
		}
		if err := os.RemoveAll(filepath.Dir(b.Task.StateFile)); err != nil {
			t.Fatal(err)
		}
		for name, text := range tree(t, filepath.Dir(b.Task.Workspace)) {
			if strings.Contains(text, "12345678901234567890") {
				t.Errorf("the inputs are left in %s", name)
			}
		}
		b.Task.VarFiles = []string{"missing.tfvars"}
		if r := b.Plan(t.Context()); r.Failure == nil || r.Failure.Class != engine.ClassAuthor || !strings.Contains(r.Failure.Text, "missing.tfvars") {
			t.Errorf("failure = %+v", r.Failure)
		}
	})
}

func TestEnvironmentIsTheTasksAndNothingElse(t *testing.T) {
	t.Setenv("CANARY_OF_THE_DAEMON", "leak")
	for _, e := range tooltest.Engines(t) {
		t.Run(e.Name, func(t *testing.T) {
			b := newBench(t, engine.Program{Provisioner: "terraform", Path: e.Path, Version: e.Version})
			file := filepath.Join(t.TempDir(), "env")
			b.Module(map[string]string{"main.tf": "resource \"terraform_data\" \"a\" {\n provisioner \"local-exec\" { command = \"env > '" + file + "'\" }\n}"})
			b.Task.Env["HAS-HYPHEN"] = "kept"
			b.MustApply()
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(text), "CANARY_OF_THE_DAEMON") || strings.Contains(string(text), "\nHOME=") {
				t.Errorf("the daemon's environment leaks:\n%s", text)
			}
			b.Task.Env["TF_VAR_x"] = "1"
			if r := b.Plan(t.Context()); r.Failure == nil || r.Failure.Class != engine.ClassAuthor || !strings.Contains(r.Failure.Text, "TF_VAR_x") {
				t.Errorf("failure = %+v", r.Failure)
			}
		})
	}
}

// A crash between two revisions leaves the record of all that may be ours.
func TestHalfPlantedModuleIsClearedAndWhatItWroteStays(t *testing.T) {
	t.Parallel()
	forEngines(t, func(t *testing.T, b *bench) {
		b.Module(map[string]string{"main.tf": `resource "terraform_data" "a" {}`})
		b.MustPlan()
		root := filepath.Join(b.Task.Workspace, "root")
		for name, text := range map[string]string{
			"root/half.tf": "not a module {", "root/kept.txt": "the module's own", "farm.json": `{"root":"","path":"","revision":"","made":["main.tf","half.tf"]}`,
		} {
			if err := os.WriteFile(filepath.Join(b.Task.Workspace, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if p := b.MustPlan(); p.Counts.Create != 1 {
			t.Errorf("counts = %+v", p.Counts)
		}
		if _, err := os.Stat(filepath.Join(root, "kept.txt")); err != nil {
			t.Error("what the module wrote is gone")
		}
	})
}
