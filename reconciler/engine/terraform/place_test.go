package terraform_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/schema"
)

// TestADigestIsForThePlaceOfTheState makes the same plan of states in several places.
func TestADigestIsForThePlaceOfTheState(t *testing.T) {
	t.Parallel()
	forEngines(t, func(t *testing.T, b *bench) {
		b.Module(map[string]string{"main.tf": `resource "terraform_data" "a" {}`})
		local := b.MustPlan()
		one, two := newStateServer(t), newStateServer(t)
		b.Task.StateFile, b.Task.StateBackups = "", ""
		at := func(s *stateServer) *stackjob.Plan {
			t.Helper()
			b.Task.Backend = s.backend()
			return b.MustPlan()
		}
		first, second := at(one), at(two)
		if first.Digest == local.Digest || first.Digest == second.Digest {
			t.Errorf("the states are in other places and the digest is the same: %s %s %s", local.Digest, first.Digest, second.Digest)
		}
		b.Task.Env["TF_HTTP_PASSWORD"] = "canary-password"
		b.Task.Backend = one.backend()
		b.Task.Backend.Config["username"], b.Task.Backend.Config["retry_max"] = "canary-user", "1"
		again := b.MustPlan()
		if again.Digest != first.Digest {
			t.Error("another login to the same place makes another digest")
		}
		text, err := json.Marshal(again)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), "canary") || strings.Contains(string(text), one.Listener.Addr().String()) {
			t.Errorf("the plan tells where the state is, or who logs in there:\n%s", text)
		}
		// The place comes from the environment.
		b.Task.Backend = schema.Backend{Type: "http", Config: map[string]string{"retry_max": "0"}}
		b.Task.Env["TF_HTTP_ADDRESS"] = one.URL
		if b.MustPlan().Digest != first.Digest {
			t.Error("the same place, named in the environment, makes another digest")
		}
		b.Task.Env["TF_HTTP_ADDRESS"] = two.URL
		if b.MustPlan().Digest != second.Digest {
			t.Error("another place, named in the environment, makes no other digest")
		}
	})
}

// TestAPlanIsNotAppliedToAStateElsewhere moves an empty state between plan and apply: no
// engine can tell it from the one that the plan was made of.
func TestAPlanIsNotAppliedToAStateElsewhere(t *testing.T) {
	t.Parallel()
	forEngines(t, func(t *testing.T, b *bench) {
		one, two := newStateServer(t), newStateServer(t)
		b.Module(map[string]string{"main.tf": `resource "terraform_data" "a" {}`})
		b.Task.StateFile, b.Task.StateBackups = "", ""
		b.Task.Backend = schema.Backend{Type: "http", Config: map[string]string{"retry_max": "0"}}
		b.Task.Env["TF_HTTP_ADDRESS"] = one.URL
		plan := b.MustPlan()
		b.Task.Env["TF_HTTP_ADDRESS"] = two.URL
		r := b.Apply(t.Context(), plan)
		if r.Outcome != nil || r.Failure == nil || r.Failure.Reason.Code != stackjob.ReasonPlanChanged {
			t.Fatalf("outcome %+v, failure %+v", r.Outcome, r.Failure)
		}
		if one.state != nil || two.state != nil {
			t.Errorf("something was applied: %q %q", one.state, two.state)
		}
		if strings.Contains(r.Failure.Text, "http") {
			t.Errorf("the address is told: %s", r.Failure.Text)
		}
		b.Task.Env["TF_HTTP_ADDRESS"] = one.URL
		if r := b.Apply(t.Context(), plan); r.Failure != nil {
			t.Errorf("back in its place: %s", r.Failure.Text)
		}
	})
}

// TestADigestIsForThePlaceThatTheModuleNames moves the module's own backend.
func TestADigestIsForThePlaceThatTheModuleNames(t *testing.T) {
	t.Parallel()
	forEngines(t, func(t *testing.T, b *bench) {
		b.Task.Backend, b.Task.StateFile, b.Task.StateBackups = schema.Backend{Type: "module"}, "", ""
		dir := t.TempDir()
		at := func(name string) string {
			b.Module(map[string]string{"main.tf": "terraform {\n  backend \"local\" {\n    path = \"" + filepath.Join(dir, name) + "\"\n  }\n}\nresource \"terraform_data\" \"a\" {}\n"})
			return b.MustPlan().Digest
		}
		first := at("one")
		if at("two") == first {
			t.Error("the module names another place, and the digest is the same")
		}
		if at("one") != first {
			t.Error("the same place makes another digest")
		}
	})
}

// TestADigestCoversWhatACommandReads changes a value that a data source reads and that
// stands in no resource.
func TestADigestCoversWhatACommandReads(t *testing.T) {
	t.Parallel()
	const read = "data \"terraform_remote_state\" \"r\" {\n  backend = \"local\"\n  config  = { path = var.path }\n}\nvariable \"path\" {}\n"
	const run = "resource \"terraform_data\" \"a\" {\n  provisioner \"local-exec\" { command = \"echo ${VALUE}\" }\n}\n"
	const word = "data.terraform_remote_state.r.outputs.word"
	command := func(value string) string { return strings.ReplaceAll(run, "VALUE", value) }
	for name, files := range map[string]map[string]string{
		"itself":               {"main.tf": read + command(word)},
		"by a local value":     {"main.tf": read + command("local.b") + "locals {\n  a = " + word + "\n  b = \"x ${local.a}\"\n}\n"},
		"by an output":         {"main.tf": "variable \"path\" {}\nmodule \"m\" {\n  source = \"./m\"\n  path = var.path\n}\n" + command("module.m.word"), "m/main.tf": read + "output \"word\" { value = " + word + " }\n"},
		"by a module's inputs": {"main.tf": read + "module \"m\" {\n  source = \"./m\"\n  word = " + word + "\n}\n", "m/main.tf": "variable \"word\" {}\nlocals { w = var.word }\n" + command("local.w")},
		"for each":             {"main.tf": read + "resource \"terraform_data\" \"a\" {\n  for_each = { k = " + word + " }\n  provisioner \"local-exec\" { command = \"echo ${each.value}\" }\n}\n"},
		"in an unknown text":   {"main.tf": read + "resource \"terraform_data\" \"a\" {}\nresource \"terraform_data\" \"b\" { input = \"${terraform_data.a.id} ${" + word + "}\" }\n"},
		"in an unknown output": {"main.tf": read + "resource \"terraform_data\" \"a\" {}\noutput \"o\" { value = \"${terraform_data.a.id} ${" + word + "}\" }\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			forEngines(t, func(t *testing.T, b *bench) {
				path := filepath.Join(t.TempDir(), "read.tfstate")
				with := func(word, at string) *stackjob.Plan {
					t.Helper()
					text := `{"version":4,"serial":1,"lineage":"x","terraform_version":"1.5.0","resources":[],"outputs":{
						"word":{"value":"` + word + `","type":"string"},"at":{"value":"` + at + `","type":"string"}}}`
					if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
						t.Fatal(err)
					}
					return b.MustPlan()
				}
				b.Module(files)
				b.Inputs(map[string]any{"path": path})
				first := with("canary-one", "10:00")
				if with("canary-one", "10:01").Digest != first.Digest {
					t.Error("what the command does not name makes another digest")
				}
				if with("canary-two", "10:00").Digest == first.Digest {
					t.Error("the command reads another value, and the digest is the same")
				}
				text, err := json.Marshal(first)
				if err != nil {
					t.Fatal(err)
				}
				if strings.Contains(string(text), "canary") {
					t.Errorf("the plan shows what only a command reads:\n%s", text)
				}
			})
		})
	}
}
