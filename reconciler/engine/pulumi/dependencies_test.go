package pulumi

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stackreeve/stackreeve/reconciler/engine"
	"github.com/stackreeve/stackreeve/reconciler/engine/telling"
	"github.com/stackreeve/stackreeve/schema"
)

func TestAnInstallGetsWhatPackageManagersNeedAndNoCredentialOfTheStack(t *testing.T) {
	t.Parallel()
	needed := []string{"PATH", "HOME", "LC_ALL", "HTTPS_PROXY", "NPM_TOKEN", "NODE_AUTH_TOKEN", "npm_config_registry", "PIP_INDEX_URL", "UV_INDEX_CORP_PASSWORD",
		"GOPROXY", "GOPRIVATE", "GOMODCACHE", "GIT_SSH_COMMAND", "REEVE_RUN", "PULUMI_HOME"}
	withheld := []string{"AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "GOOGLE_CREDENTIALS", "GOOGLE_APPLICATION_CREDENTIALS", "AZURE_STORAGE_KEY", "ARM_CLIENT_SECRET", "PGPASSWORD",
		"PULUMI_ACCESS_TOKEN", "PULUMI_CONFIG_PASSPHRASE", "PULUMI_BACKEND_URL", "VAULT_SERVER_TOKEN", "KUBECONFIG", "GITHUB_TOKEN", "CLOUDFLARE_API_TOKEN",
		"STACK_INPUT_YAML_FILE", "DATABASE_URL", "GODADDY_API_SECRET"}
	env := map[string]string{}
	for _, name := range slices.Concat(needed, withheld) {
		env[name] = "x"
	}
	slices.Sort(needed)
	if diff := cmp.Diff(needed, slices.Sorted(maps.Keys(installEnvironment(env)))); diff != "" {
		t.Errorf("what an install gets (-want +got):\n%s", diff)
	}
	if len(env) != len(needed)+len(withheld) {
		t.Error("the job's own environment was changed")
	}
}

// tree makes a folder of files.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		path := filepath.Join(root, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestDependenciesMoveWithWhatSaysThem(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		project string
		changed string
		moves   bool
	}{
		"npm":                        {"runtime: nodejs", "app/package.json", true},
		"npm's lock":                 {"runtime: nodejs", "app/package-lock.json", true},
		"npm's settings":             {"runtime: nodejs", "app/.npmrc", true},
		"yarn":                       {"runtime: nodejs", "app/yarn.lock", true},
		"pnpm, of a workspace":       {"runtime: nodejs", "pnpm-lock.yaml", true},
		"another package":            {"runtime: nodejs", "other/package.json", false},
		"its source":                 {"runtime: nodejs", "app/index.ts", false},
		"pip":                        {"runtime: python", "app/requirements.txt", true},
		"pip, in parts":              {"runtime: python", "app/requirements-base.txt", true},
		"poetry":                     {"runtime: {name: python, options: {toolchain: poetry}}", "app/poetry.lock", true},
		"uv":                         {"runtime: {name: python, options: {toolchain: uv}}", "app/uv.lock", true},
		"the virtual environment":    {"runtime: {name: python, options: {virtualenv: venv}}", "app/Pulumi.yaml", true},
		"dotnet":                     {"runtime: dotnet", "app/shop.csproj", true},
		"dotnet, of a solution":      {"runtime: dotnet", "Directory.Packages.props", true},
		"maven":                      {"runtime: java", "app/pom.xml", true},
		"gradle":                     {"runtime: java", "app/build.gradle.kts", true},
		"go":                         {"runtime: go", "app/go.mod", true},
		"go, of the repository":      {"runtime: go", "go.sum", true},
		"go, in a folder of its own": {"runtime: go\nmain: cmd/infra", "app/cmd/go.mod", true},
		"go, its source":             {"runtime: go", "app/main.go", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text := "name: x\n" + c.project + "\n"
			p, err := parseProject("Pulumi.yaml", []byte(text))
			if err != nil {
				t.Fatal(err)
			}
			root := tree(t, map[string]string{"app/Pulumi.yaml": text, "app/cmd/infra/code": "x", c.changed: text})
			of := func() string {
				t.Helper()
				d, err := p.dependencies(root, "app")
				if err != nil {
					t.Fatal(err)
				}
				return d
			}
			before := of()
			if err := os.WriteFile(filepath.Join(root, c.changed), []byte(text+"# changed\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			if moved := of() != before; moved != c.moves || !p.installs() {
				t.Errorf("moved = %t, want %t; it installs: %t", moved, c.moves, p.installs())
			}
		})
	}
}

func TestWhatNeedsNoInstall(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"name: x\nruntime: yaml\n":                                        false,
		"name: x\nruntime: {name: go, options: {binary: ./bin/app}}\n":    false,
		"name: x\nruntime: go\n":                                          true,
		"name: x\nruntime: {name: bun}\n":                                 true,
		"name: x\nruntime: {name: nodejs, options: {nodeargs: \"-x\"}}\n": true,
	} {
		p, err := parseProject("Pulumi.yaml", []byte(text))
		if err != nil || p.installs() != want {
			t.Errorf("%s: %v, %v", text, p, err)
		}
	}
	if _, err := parseProject("Pulumi.yaml", []byte("name: x\nruntime: {name: go, options: [1]}\n")); err == nil || !strings.Contains(telling.ProblemOf(err).Failure.Text, "Pulumi.yaml:2:30") {
		t.Errorf("options that are a list: %v", err)
	}
}

// A name under which one language puts what it made is a folder of source in another.
func TestFoldersThatAreMadeDependOnTheLanguage(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]string{
		"runtime: go": nil, "runtime: java": {"target", "build", ".gradle"}, "runtime: dotnet": {"bin", "obj"},
		"runtime: {name: python, options: {virtualenv: ./env/own}}": {"venv", "own"},
		"runtime: {name: python, options: {virtualenv: /opt/venv}}": {"venv"},
	} {
		p, err := parseProject("Pulumi.yaml", []byte("name: x\n"+text+"\n"))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(append(slices.Clone(made), want...), p.madeFolders()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", text, diff)
		}
	}
}

func TestALanguageThatCannotBeRunIsTold(t *testing.T) {
	t.Parallel()
	dir := tree(t, map[string]string{"bin/pulumi-language-go": "x", "bin/pulumi-language-python": "x", "release/pulumi": "x", "release/pulumi-language-yaml": "x", "links/other": "x"})
	for _, name := range []string{"bin/pulumi-language-go", "bin/pulumi-language-python", "release/pulumi-language-yaml"} {
		if err := os.Chmod(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	// Pulumi is linked from a folder of PATH as a rule, and its hosts are not.
	pulumi := engine.Program{Provisioner: schema.Pulumi, Version: "3.230.0", Path: filepath.Join(dir, "links", "pulumi")}
	if err := os.Symlink(filepath.Join(dir, "release", "pulumi"), pulumi.Path); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		"runtime: go":     "the program go, without which none of it runs",
		"runtime: python": "the program python3 or python",
		"runtime: nodejs": "There is no pulumi-language-nodejs, the host for programs of the runtime nodejs: it is neither beside pulumi 3.230.0 (" + pulumi.Path + ") nor on PATH.",
		"runtime: yaml":   "",
		"runtime: {name: go, options: {binary: ./app}}":     "",
		"runtime: {name: python, options: {toolchain: uv}}": "",
	} {
		p, err := parseProject("Pulumi.yaml", []byte("name: x\n"+text+"\n"))
		if err != nil {
			t.Fatal(err)
		}
		err = p.checkLanguage(pulumi, filepath.Join(dir, "bin"), t.TempDir())
		if (err == nil) != (want == "") || err != nil && !strings.Contains(telling.ProblemOf(err).Failure.Text, want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

// Stacks whose programs name one virtual environment elsewhere wait for one another; what is
// in a stack's own workspace is its own.
func TestAVirtualEnvironmentOfManyStacksIsLocked(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	stack := func(name, virtualenv string) *phase {
		t.Helper()
		p, err := parseProject("Pulumi.yaml", fmt.Appendf(nil, "name: x\nruntime: {name: python, options: {virtualenv: %q}}\n", virtualenv))
		if err != nil {
			t.Fatal(err)
		}
		workspace := filepath.Join(dir, name)
		ph := newPhase(New(Options{}), engine.Task{Workspace: workspace, ModulePath: "app", Pulumi: &engine.PulumiStack{Home: filepath.Join(dir, "home")}}, "", nil)
		ph.project = p
		return ph
	}
	shared := filepath.Join(dir, "shared", "venv")
	unlock, err := stack("one", shared).lockVirtualenv(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("somebody asked"))
	if _, err := stack("two", shared+"/../venv").lockVirtualenv(ctx); err == nil || !telling.ProblemOf(err).Cancelled {
		t.Errorf("another stack, cancelled meanwhile: %v", err)
	}
	for _, own := range []string{"venv", "../venv", shared + "-2"} {
		free, err := stack("two", own).lockVirtualenv(t.Context())
		if err != nil {
			t.Fatalf("%s: %v", own, err)
		}
		free()
	}
	waited := make(chan error, 1)
	go func() {
		free, err := stack("two", "../../../../shared/venv").lockVirtualenv(t.Context())
		if err == nil {
			free()
		}
		waited <- err
	}()
	unlock()
	if err := <-waited; err != nil {
		t.Errorf("after it was given back: %v", err)
	}
}
