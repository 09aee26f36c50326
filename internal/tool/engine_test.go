package tool

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// script puts an executable of that name into dir.
func script(t *testing.T, dir, name, body string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	write(t, path, "#!/bin/sh\n"+body)
	if err := os.Chmod(path, 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func answers(name, version string) string { return fmt.Sprintf("echo '%s v%s'\n", name, version) }

func TestEnginesOnPathAreFoundAndBrokenOnesPassedOver(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("PATH", dir)
	t.Setenv(CacheVariable, filepath.Join(dir, "cache"))

	if _, err := Terraform(t.Context()); !errors.Is(err, ErrNotInstalled) {
		t.Errorf("no terraform: error is %v", err)
	}
	var progress strings.Builder
	if _, _, err := EnsureEngine(t.Context(), &progress); !errors.Is(err, ErrNotInstalled) {
		t.Errorf("no engine and no go: error is %v", err)
	}
	if !strings.Contains(progress.String(), "neither terraform nor tofu is on PATH") {
		t.Errorf("progress does not say why it builds: %q", progress.String())
	}

	script(t, dir, "terraform", "echo 'no version is set' >&2\nexit 126\n")
	tofu := script(t, dir, "tofu", answers("OpenTofu", "1.12.6"))
	progress.Reset()
	name, path, err := EnsureEngine(t.Context(), &progress)
	if name != "tofu" || path != tofu || err != nil {
		t.Errorf("found %s at %s, %v; want tofu at %s", name, path, err, tofu)
	}
	if !strings.Contains(progress.String(), "no version is set") {
		t.Errorf("progress does not say what is wrong with terraform: %q", progress.String())
	}

	terraform := script(t, dir, "terraform", answers("Terraform", "1.11.4"))
	name, path, err = EnsureEngine(t.Context(), &progress)
	if name != "terraform" || path != terraform || err != nil {
		t.Errorf("found %s at %s, %v; want terraform at %s", name, path, err, terraform)
	}
	e, err := Terraform(t.Context())
	if want := (Engine{"terraform", terraform, "1.11.4"}); e != want || err != nil {
		t.Errorf("found %+v, %v; want %+v", e, err, want)
	}

	script(t, dir, "terraform", answers("OpenTofu", "1.12.6")) // as a link would be
	if _, err := Terraform(t.Context()); err == nil || !strings.Contains(err.Error(), "not an answer of terraform: OpenTofu v1.12.6") {
		t.Errorf("OpenTofu under Terraform's name: error is %v", err)
	}
	if name, path, err = EnsureEngine(t.Context(), &progress); name != "tofu" || path != tofu || err != nil {
		t.Errorf("found %s at %s, %v; want tofu at %s", name, path, err, tofu)
	}
}

func TestProbeIgnoresTheUsersTerraformSettings(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TF_CLI_CONFIG_FILE", filepath.Join(dir, "missing"))
	t.Setenv("TF_CLI_ARGS", "-chdir=/nowhere")
	path := script(t, dir, "terraform",
		`test -z "$TF_CLI_CONFIG_FILE$TF_CLI_ARGS" || exit 1`+"\n"+answers("Terraform", "1.2.3"))
	if e, err := probe(t.Context(), "terraform", path); e.Version != "1.2.3" || err != nil {
		t.Errorf("probe says %+v, %v", e, err)
	}
}

func TestUnreachableVulnerabilityDatabaseIsSaidAndIsNoError(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "down", http.StatusServiceUnavailable)
	}))
	t.Cleanup(server.Close)
	t.Setenv("GOVULNDB", server.URL)
	var out strings.Builder
	if err := CheckVulnerabilities(t.Context(), &out, time.Minute, "./..."); err != nil {
		t.Errorf("error is %v", err)
	}
	if !strings.Contains(out.String(), "cannot be reached") || !strings.Contains(out.String(), "503") {
		t.Errorf("it says %q", out.String())
	}
}

func TestFoundVulnerabilitiesAreAnError(t *testing.T) {
	dir := t.TempDir()
	database := filepath.Join(dir, "db")
	const modified = `"2026-01-01T00:00:00Z"`
	write(t, filepath.Join(database, "index", "db.json"), `{"modified": `+modified+`}`)
	write(t, filepath.Join(database, "index", "modules.json"),
		`[{"path": "stdlib", "vulns": [{"id": "GO-2026-0001", "modified": `+modified+`, "fixed": "9.0.0"}]}]`)
	write(t, filepath.Join(database, "index", "vulns.json"), `[{"id": "GO-2026-0001", "modified": `+modified+`}]`)
	write(t, filepath.Join(database, "ID", "GO-2026-0001.json"), `{
		"schema_version": "1.3.1", "id": "GO-2026-0001", "modified": `+modified+`, "published": `+modified+`,
		"summary": "made up for a test", "database_specific": {"url": "https://pkg.go.dev/vuln/GO-2026-0001"},
		"affected": [{"package": {"name": "stdlib", "ecosystem": "Go"},
			"ranges": [{"type": "SEMVER", "events": [{"introduced": "0"}, {"fixed": "9.0.0"}]}],
			"ecosystem_specific": {"imports": [{"path": "strings", "symbols": ["Repeat"]}]}}]}`)
	t.Setenv("GOVULNDB", "file://"+database)
	t.Setenv("GOFLAGS", "")
	t.Setenv("CGO_ENABLED", "0")

	for name, test := range map[string]struct {
		body string
		want error
	}{
		"called":     {`strings.Repeat("a", 2)`, ErrVulnerable},
		"not called": {`strings.ToUpper("a")`, nil},
	} {
		t.Run(name, func(t *testing.T) {
			program := filepath.Join(dir, strings.ReplaceAll(name, " ", "-"))
			write(t, filepath.Join(program, "go.mod"), "module example.com/program\n\ngo 1.26.0\n")
			write(t, filepath.Join(program, "main.go"),
				"package main\n\nimport \"strings\"\n\nfunc main() { println("+test.body+") }\n")
			t.Chdir(program)
			var out strings.Builder
			err := CheckVulnerabilities(t.Context(), &out, 5*time.Minute, "./...")
			if !errors.Is(err, test.want) {
				t.Errorf("error is %v, want %v\n%s", err, test.want, out.String())
			}
			if test.want != nil && !strings.Contains(out.String(), "GO-2026-0001") {
				t.Errorf("the report lacks the finding:\n%s", out.String())
			}
		})
	}
}
