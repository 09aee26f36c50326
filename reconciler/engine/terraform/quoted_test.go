package terraform_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stackreeve/stackreeve/reconciler/engine/enginetest"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/schema"
)

// Engines lose the mark of what a provider hands back: they quote it in clear.
const (
	quotesInApply = `
		resource "terraform_data" "quotes" {
			provisioner "local-exec" { command = "echo it was ${terraform_data.makes.output}; exit 1" }
		}`
	quotesInPlan = `
		resource "terraform_data" "quotes" {
			lifecycle {
				precondition {
					condition     = terraform_data.makes.output == "x"
					error_message = "it was ${terraform_data.makes.output}"
				}
			}
		}`
)

// A secret that nobody knew before the apply is in Terraform's state before a command of
// another resource is run that needs it; in OpenTofu's before errors are told. It is in both
// before the next plan.
func TestSecretsOfTheStateAreHiddenInWhatIsSaid(t *testing.T) {
	t.Parallel()
	forEngines(t, func(t *testing.T, b *bench) {
		const makes = `
			resource "terraform_data" "makes" {
				input = sensitive(uuid())
				lifecycle { ignore_changes = [input] }
			}`
		b.Module(map[string]string{"main.tf": makes + quotesInApply})
		r := b.Apply(t.Context(), b.MustPlan())
		if r.Failure == nil {
			t.Fatal("the apply did not fail")
		}
		log, _ := b.Sink.Told()
		if b.Task.Program.Provisioner == schema.OpenTofu {
			_, log, _ = strings.Cut(log, "Error: ")
		}
		if !strings.Contains(log, "it was (hidden)") {
			t.Errorf("what the command said is not in the log:\n%s", log)
		}
		applying := b.Sink
		b.Sink = enginetest.NewSink() // a phase is a process of its own
		b.Module(map[string]string{"main.tf": makes + quotesInPlan})
		if r := b.Plan(t.Context()); r.Failure == nil {
			t.Fatal("the plan did not fail")
		}
		planned, _ := b.Sink.Told()
		if !strings.Contains(planned, "it was (hidden)") {
			t.Errorf("the error is not in the log:\n%s", planned)
		}
		made := inState(t, b.Task.StateFile, "makes")
		if strings.Contains(log+planned, made) || !slices.Contains(applying.Hidden(), made) || !slices.Contains(b.Sink.Hidden(), made) {
			t.Errorf("%s is in a log, or was not named:\n%s\n%s", made, log, planned)
		}
	})
}

// Where the state is no file of ours, the apply knows what its plan knew.
func TestSecretsOfThePlanAreHiddenInWhatItsApplySays(t *testing.T) {
	t.Parallel()
	forEngines(t, func(t *testing.T, b *bench) {
		const secret = "canary-planned-6d4"
		b.Task.Backend, b.Task.StateFile, b.Task.StateBackups = schema.Backend{Type: "module"}, "", ""
		b.Inputs(map[string]any{"secret": secret})
		b.Module(map[string]string{"main.tf": `
			terraform {
				backend "local" { path = "` + filepath.Join(t.TempDir(), "own.tfstate") + `" }
			}
			variable "secret" { sensitive = true }
			resource "terraform_data" "makes" { input = { kept = var.secret, word = sensitive("quotes") } }
			resource "terraform_data" "quotes" {
				provisioner "local-exec" { command = "echo it was ${terraform_data.makes.output.kept}; exit 1" }
			}`})
		plan := b.MustPlan()
		b.Sink = enginetest.NewSink() // the apply is a process of its own
		if r := b.Apply(t.Context(), plan); r.Failure == nil {
			t.Fatal("the apply did not fail")
		}
		log, _ := b.Sink.Told()
		if !strings.Contains(log, "it was (hidden)") || strings.Contains(log, secret) {
			t.Errorf("the log:\n%s", log)
		}
		if !strings.Contains(log, "terraform_data.quotes") {
			t.Errorf("a word of an address is hidden:\n%s", log)
		}
	})
}

// inState is the output of a terraform_data.
func inState(t *testing.T, file, name string) string {
	t.Helper()
	var state struct {
		Resources []struct {
			Name      string
			Instances []struct {
				Attributes struct{ Output struct{ Value string } }
			}
		}
	}
	b, err := os.ReadFile(file)
	if err != nil || json.Unmarshal(b, &state) != nil {
		t.Fatalf("state: %v\n%s", err, b)
	}
	for _, r := range state.Resources {
		if r.Name == name && len(r.Instances) == 1 && r.Instances[0].Attributes.Output.Value != "" {
			return r.Instances[0].Attributes.Output.Value
		}
	}
	t.Fatalf("no output of %s in the state:\n%s", name, b)
	return ""
}

// A command's words are no engine's: what was done before it failed is recorded, and nothing
// is planned again because of them.
func TestACommandThatSaysThatItsPlanIsStaleFailsTheApply(t *testing.T) {
	t.Parallel()
	forEngines(t, func(t *testing.T, b *bench) {
		b.Module(map[string]string{"main.tf": `
			resource "terraform_data" "made" {}
			resource "terraform_data" "runs" {
				depends_on = [terraform_data.made]
				provisioner "local-exec" { command = "echo 'Error: Saved plan is stale'; exit 1" }
			}`})
		r := b.Apply(t.Context(), b.MustPlan())
		if r.Outcome == nil || r.Failure == nil {
			t.Fatalf("outcome = %+v, failure = %+v", r.Outcome, r.Failure)
		}
		want := stackjob.Outcome{Result: stackjob.ResultFailed, Reason: stackjob.Reason{Code: stackjob.ReasonEngine, Detail: "local-exec provisioner error"}, Counts: stackjob.Counts{Create: 1}}
		got := stackjob.Outcome{Result: r.Outcome.Result, Reason: r.Outcome.Reason, Counts: r.Outcome.Counts}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("outcome (-want +got):\n%s", diff)
		}
		b.Module(map[string]string{"main.tf": `
			resource "terraform_data" "made" {
				lifecycle {
					precondition {
						condition     = path.module == ""
						error_message = "Error acquiring the state lock: saved plan is stale."
					}
				}
			}`})
		if r := b.Plan(t.Context()); r.Failure == nil || r.Failure.Reason != (stackjob.Reason{Code: stackjob.ReasonEngine, Detail: "Resource precondition failed"}) {
			t.Errorf("plan: %+v", r.Failure)
		}
	})
}
