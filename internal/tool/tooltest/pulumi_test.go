package tooltest_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stackreeve/stackreeve/internal/tool/tooltest"
)

// Both resources of the provider of the tests.
const labProgram = `name: lab
runtime: yaml
plugins: {providers: [{name: lab, path: %q}]}
config: {word: {type: string, secret: true}}
resources:
  kept: {type: "lab:Data", properties: {value: "${word}"}}
  file: {type: "lab:File", properties: {path: %q, content: hello}}
outputs: {word: "${kept.output}", path: "${file.path}"}
`

func TestPulumiRunsAProgramWithoutANetwork(t *testing.T) {
	t.Parallel()
	e, plugins := tooltest.Pulumi(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "greeting")
	if err := os.WriteFile(filepath.Join(dir, "Pulumi.yaml"), fmt.Appendf(nil, labProgram, plugins, file), 0o600); err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) string {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, e.Path, append([]string{"--non-interactive"}, args...)...)
		cmd.Dir = dir
		cmd.Env = []string{"PATH=" + filepath.Dir(e.Path), "HOME=" + dir, "PULUMI_HOME=" + filepath.Join(dir, "home"), "PULUMI_BACKEND_URL=file://" + dir,
			"PULUMI_CONFIG_PASSPHRASE=x", "PULUMI_SKIP_UPDATE_CHECK=true", "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION=true", "HTTPS_PROXY=http://127.0.0.1:1"}
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("pulumi %s: %v\n%s", strings.Join(args, " "), err, out)
		}
		return string(out)
	}
	if got := strings.TrimSpace(run("version")); got != "v"+e.Version {
		t.Errorf("it says %q of itself, want %s", got, e.Version)
	}
	run("stack", "init", "dev")
	run("config", "set", "--secret", "word", "hush")
	if out := run("up", "--yes", "--skip-preview"); strings.Contains(out, "hush") {
		t.Errorf("the output of a secret is no secret:\n%s", out)
	}
	if b, err := os.ReadFile(file); err != nil || string(b) != "hello" {
		t.Errorf("the file holds %q, %v", b, err)
	}
	if got := strings.TrimSpace(run("stack", "output", "word", "--show-secrets")); got != "hush" {
		t.Errorf("output = %q", got)
	}
	run("destroy", "--yes", "--skip-preview")
	if _, err := os.Stat(file); !os.IsNotExist(err) {
		t.Errorf("the file is still there: %v", err)
	}
}
