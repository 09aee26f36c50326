package tooltest_test

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/stackreeve/stackreeve/internal/tool/tooltest"
)

// Every provider of the mirror, in one module.
const everyProvider = `
terraform {
  required_providers {
    random = { source = "hashicorp/random" }
    local  = { source = "hashicorp/local" }
    null   = { source = "hashicorp/null" }
    time   = { source = "hashicorp/time" }
  }
}

resource "random_pet" "name" {
  length = 2
}

resource "local_file" "greeting" {
  filename = "${path.module}/greeting.txt"
  content  = "hello"
}

resource "null_resource" "marker" {}

resource "time_static" "made" {
  rfc3339 = "2026-01-02T03:04:05Z"
}

output "year" {
  value = time_static.made.year
}
`

// engineRun runs an engine in a folder with a clean environment and returns what
// it prints.
func engineRun(t *testing.T, e tooltest.Engine, dir, config string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, e.Path, args...)
	cmd.Dir = dir
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + dir,
		"TF_CLI_CONFIG_FILE=" + config, "TF_IN_AUTOMATION=1",
	}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func mustRun(t *testing.T, e tooltest.Engine, dir, config string, args ...string) string {
	t.Helper()
	out, err := engineRun(t, e, dir, config, args...)
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", e, strings.Join(args, " "), err, out)
	}
	return out
}

func module(t *testing.T, text string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "main.tf"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestEnginesApplyWithProvidersOfTheMirror(t *testing.T) {
	t.Parallel()
	for _, engine := range tooltest.Engines(t) {
		t.Run(engine.Name, func(t *testing.T) {
			t.Parallel()
			config := tooltest.CLIConfig(t)
			dir := module(t, everyProvider)
			mustRun(t, engine, dir, config, "init", "-no-color", "-input=false")
			mustRun(t, engine, dir, config, "plan", "-no-color", "-input=false", "-out=plan")
			mustRun(t, engine, dir, config, "apply", "-no-color", "plan")
			if got, err := os.ReadFile(filepath.Join(dir, "greeting.txt")); string(got) != "hello" {
				t.Errorf("the local file holds %q, %v", got, err)
			}
			var outputs map[string]struct{ Value any }
			if err := json.Unmarshal([]byte(mustRun(t, engine, dir, config, "output", "-json")), &outputs); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(map[string]struct{ Value any }{"year": {2026.0}}, outputs); diff != "" {
				t.Errorf("outputs (-want +got):\n%s", diff)
			}
			mustRun(t, engine, dir, config, "plan", "-no-color", "-input=false", "-detailed-exitcode") // 2 would be a change
			mustRun(t, engine, dir, config, "destroy", "-no-color", "-input=false", "-auto-approve")
			if _, err := os.Stat(filepath.Join(dir, "greeting.txt")); !os.IsNotExist(err) {
				t.Errorf("after destroy the local file is still there (%v)", err)
			}
		})
	}
}

func TestTheEmptyConfigurationKnowsOnlyTheBuiltInProvider(t *testing.T) {
	t.Parallel()
	for _, engine := range tooltest.Engines(t) {
		t.Run(engine.Name, func(t *testing.T) {
			t.Parallel()
			config := tooltest.EmptyCLIConfig(t)
			dir := module(t, `resource "terraform_data" "a" { input = "x" }`)
			mustRun(t, engine, dir, config, "init", "-no-color", "-input=false")
			mustRun(t, engine, dir, config, "apply", "-no-color", "-input=false", "-auto-approve")
			if out := mustRun(t, engine, dir, config, "state", "list"); strings.TrimSpace(out) != "terraform_data.a" {
				t.Errorf("state holds %q", out)
			}

			dir = module(t, `resource "random_pet" "a" {}`)
			out, err := engineRun(t, engine, dir, config, "init", "-no-color", "-input=false")
			if err == nil || !strings.Contains(strings.Join(strings.Fields(out), " "), "was not found in any of the search locations") {
				t.Errorf("init found a provider, or asked elsewhere: %v\n%s", err, out)
			}
		})
	}
}

func TestOpenTofuIsAlwaysAmongTheEngines(t *testing.T) {
	t.Parallel()
	engines := tooltest.Engines(t)
	last := engines[len(engines)-1]
	if last.Name != "tofu" || last != tooltest.OpenTofu(t) || !strings.HasPrefix(last.Version, "1.") || strings.Contains(last.Version, "-") {
		t.Errorf("the last engine is %+v", last)
	}
	for _, e := range engines {
		if !filepath.IsAbs(e.Path) {
			t.Errorf("%s: path %q is not absolute", e, e.Path)
		}
	}
}
