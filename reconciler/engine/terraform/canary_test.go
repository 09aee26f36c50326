package terraform_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/stackreeve/stackreeve/internal/tool/tooltest"
	"github.com/stackreeve/stackreeve/reconciler/engine"
)

// The secret that an engine makes itself is in no list: only its marks tell. One
// that an input brings is in the list and may be marked nowhere.
func TestSecretsAreNowhereInClear(t *testing.T) {
	t.Parallel()
	forEngines(t, func(t *testing.T, b *bench) {
		b.Task.Env["TF_CLI_CONFIG_FILE"] = tooltest.CLIConfig(t)
		const input, marked = "canary-input-8f1", "canary-marked-3c9"
		b.Task.Secrets = []string{input}
		b.Inputs(map[string]any{"unmarked": input, "marked": marked})
		b.Module(map[string]string{"main.tf": `
			variable "unmarked" {}
			variable "marked" { sensitive = true }
			resource "random_password" "made" { length = 24 }
			resource "terraform_data" "holds" { input = { a = var.unmarked, b = var.marked, c = random_password.made.result } }
			resource "terraform_data" "says" {
				triggers_replace = var.marked
				provisioner "local-exec" {
					command     = "echo $SECRET"
					environment = { SECRET = var.marked }
				}
			}
			output "unmarked" { value = "prefix ${var.unmarked}" }
			output "made" {
				value     = random_password.made.result
				sensitive = true
			}`})
		processes := b.Counting()
		planned := b.Plan(t.Context())
		if planned.Failure != nil {
			t.Fatal(planned.Failure.Text)
		}
		applied := b.Apply(t.Context(), planned.Plan)
		if applied.Failure != nil {
			t.Fatal(applied.Failure.Text)
		}
		results := []engine.Result{planned, applied}

		var state struct {
			Outputs map[string]struct{ Value string }
		}
		text, err := os.ReadFile(b.Task.StateFile)
		if err != nil || json.Unmarshal(text, &state) != nil || len(state.Outputs["made"].Value) != 24 {
			t.Fatalf("state: %v\n%s", err, text)
		}
		made := state.Outputs["made"].Value
		if o := applied.Outcome.Outputs; len(o) != 2 || b.Opened(o[0]) != quoted(t, made) || b.Opened(o[1]) != `"prefix `+input+`"` {
			t.Errorf("outputs = %+v", o)
		}

		// A change, a destroy, and an error that speaks of the values.
		b.Inputs(map[string]any{"unmarked": input + "2", "marked": marked + "2"})
		results = append(results, b.Plan(t.Context()))
		b.Task.Action = "destroy"
		results = append(results, b.Plan(t.Context()))
		b.Task.Action = "apply"
		b.Module(map[string]string{"main.tf": `
			variable "unmarked" { type = number }
			variable "marked" {
				sensitive = true
				validation {
					condition     = var.marked == "x"
					error_message = "Wrong."
				}
			}`})
		failed := b.Plan(t.Context())
		if failed.Failure == nil || failed.Failure.Class != engine.ClassAuthor {
			t.Fatalf("failure = %+v", failed.Failure)
		}
		results = append(results, failed)

		log, events := b.Sink.Told()
		told, err := json.Marshal([]any{results, events, processes()})
		if err != nil {
			t.Fatal(err)
		}
		where := map[string]string{"results, events, command lines": string(told), "log": log}
		for name, text := range tree(t, b.Task.Workspace) {
			where[name] = text
		}
		for place, text := range where {
			for _, secret := range []string{input, marked, made} {
				if place == "log" && secret == input {
					continue // the sink masks what it was told of
				}
				if strings.Contains(text, secret) || strings.Contains(text, strings.Trim(quoted(t, secret), `"`)) {
					t.Errorf("%s is in %s:\n%s", secret, place, text)
				}
			}
		}
	})
}

func quoted(t *testing.T, s string) string {
	t.Helper()
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(s); err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(b.String())
}

func TestOldEnginesAreRefused(t *testing.T) {
	t.Parallel()
	forEngines(t, func(t *testing.T, b *bench) {
		b.Module(map[string]string{"main.tf": ""})
		b.Task.Program.Version = "0.14.11"
		if r := b.Plan(t.Context()); r.Failure == nil || r.Failure.Class != engine.ClassPerson || !strings.Contains(r.Failure.Text, "too old") {
			t.Errorf("failure = %+v", r.Failure)
		}
		b.Task.Program.Version, b.Task.Program.Path = "1.11.4", "/nowhere/terraform"
		if r := b.Plan(t.Context()); r.Failure == nil || r.Failure.Class != engine.ClassPerson || !strings.Contains(r.Failure.Text, "/nowhere/terraform") {
			t.Errorf("failure = %+v", r.Failure)
		}
	})
}
