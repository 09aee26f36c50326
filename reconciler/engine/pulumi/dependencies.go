package pulumi

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/gofrs/flock"

	"github.com/stackreeve/stackreeve/reconciler/engine"
	"github.com/stackreeve/stackreeve/reconciler/engine/pulumi/language"
	"github.com/stackreeve/stackreeve/reconciler/engine/runner/sweep"
	"github.com/stackreeve/stackreeve/reconciler/engine/telling"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
)

// manifests are the files that say what dependencies a program has.
var manifests = []string{
	"package.json", "package-lock.json", "npm-shrinkwrap.json", ".npmrc", "yarn.lock", ".yarnrc", ".yarnrc.yml", "pnpm-lock.yaml", "pnpm-workspace.yaml",
	"bun.lock", "bun.lockb", "requirements.txt", "pyproject.toml", "poetry.lock", "poetry.toml", "uv.lock", "uv.toml", "setup.py", "setup.cfg", ".python-version",
	"pom.xml", "build.gradle", "build.gradle.kts", "settings.gradle", "settings.gradle.kts", "gradle.properties", "gradle.lockfile", "build.sbt",
	"packages.lock.json", "Directory.Build.props", "Directory.Packages.props", "nuget.config", "global.json",
	"go.mod", "go.sum", "go.work", "go.work.sum", "Pulumi.yaml", "Pulumi.yml", "Pulumi.json",
}

func isManifest(name string) bool {
	return slices.Contains(manifests, name) || strings.HasSuffix(name, "proj") || strings.HasPrefix(name, "requirements") && strings.HasSuffix(name, ".txt")
}

// made are folders that package managers and compilers make, wherever they stand, and
// madeBy what those of one language make: under such a name another's may keep source.
var (
	made   = []string{"node_modules", ".venv", "__pycache__", ".pulumi"}
	madeBy = map[string][]string{"python": {"venv"}, "dotnet": {"bin", "obj"}, "java": {"target", "build", ".gradle"}}
)

// madeFolders are the folders of a program that are no part of it, by their names.
func (p *project) madeFolders() []string {
	out := slices.Concat(made, madeBy[p.runtime])
	if v := p.options.Virtualenv; v != "" && filepath.IsLocal(v) {
		out = append(out, filepath.Base(v))
	}
	return out
}

// installs tells whether a program has dependencies that must be there before it runs.
// Those of YAML have none, and a program that is built already brings them.
func (p *project) installs() bool {
	return p.runtime != "yaml" && p.options.Binary == ""
}

// dependencies is the digest of what says what a program depends on: in its own folder
// and, as that is where tools look, in those above it up to root. It is read in the
// checkout: tools write into their own copy.
func (p *project) dependencies(root, module string) (string, error) {
	h := sha256.New()
	fmt.Fprintf(h, "%s\n", p.runtime)
	for dir := p.codeFolder(filepath.Join(root, filepath.FromSlash(module))); ; dir = filepath.Dir(dir) {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return "", err
		}
		for _, e := range entries {
			if !isManifest(e.Name()) || e.IsDir() {
				continue
			}
			b, err := readIfThere(filepath.Join(dir, e.Name()))
			if err != nil {
				return "", err
			}
			name, err := filepath.Rel(root, filepath.Join(dir, e.Name()))
			if err != nil {
				return "", err
			}
			fmt.Fprintf(h, "%q %d\n", name, len(b))
			h.Write(b)
		}
		if dir == root || dir == filepath.Dir(dir) {
			return "sha256:" + hex.EncodeToString(h.Sum(nil)), nil
		}
	}
}

// codeFolder is where in a program's folder its code is: `main` of the project.
func (p *project) codeFolder(dir string) string {
	if !filepath.IsLocal(p.main) {
		return dir
	}
	return filepath.Join(dir, p.main)
}

// toolchains are the programs that those of a language cannot run without, any one of
// each list.
var toolchains = map[string][]string{"go": {"go"}, "nodejs": {"node"}, "python": {"python3", "python"}, "dotnet": {"dotnet"}, "java": {"java"}}

// checkLanguage refuses a program whose language cannot be run here, before any work. path
// and home are the engine's.
func (p *project) checkLanguage(pulumi engine.Program, path, home string) error {
	if none := (*language.NoHost)(nil); errors.As(language.Check(pulumi, p.runtime, path, home), &none) {
		return telling.Person(stackjob.ReasonEngineMissing, none.Name()+"; "+none.How(), fmt.Sprintf(
			"There is no %s: %s.\nIt comes with Pulumi's release archive (https://www.pulumi.com/docs/install/versions/), in the folder of pulumi: %s.",
			none.Name(), none.Instead(), none.How()))
	}
	needs := toolchains[p.runtime]
	if len(needs) == 0 || p.options.Binary != "" || p.options.Toolchain == "uv" || lookPath(path, needs...) != "" {
		return nil
	}
	return telling.Person(stackjob.ReasonEngineMissing, needs[0]+", which programs of the runtime "+p.runtime+" need", fmt.Sprintf(
		"The program is written for the runtime %s, and the program %s, without which none of it runs, is not on the PATH of the job.\n"+
			"Install it on this machine, in a folder of the daemon's PATH. If %s is a mistake, correct `runtime` in Pulumi.yaml.", p.runtime, strings.Join(needs, " or "), p.runtime))
}

// lookPath finds the first of some programs on a PATH; "" when there is none.
func lookPath(path string, names ...string) string {
	for _, name := range names {
		for _, dir := range filepath.SplitList(path) {
			if found, err := exec.LookPath(filepath.Join(dir, name)); err == nil && filepath.IsAbs(found) {
				return found
			}
		}
	}
	return ""
}

// What an install gets of the job's environment: what programs need to run and to reach
// servers, and what package managers are told by, credentials of package registries
// among it. Packages bring programs that run while they are installed, so what
// the program is given to work with, the stack's credentials above all, is not there
// (docs/decisions/0194).
var (
	installNames = []string{
		"PATH", "HOME", "USER", "LOGNAME", "LANG", "LANGUAGE", "TZ", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR", "CI", "NO_COLOR",
		"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "no_proxy", "all_proxy",
		"XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME",
		"GOPROXY", "GOPRIVATE", "GONOPROXY", "GONOSUMDB", "GOSUMDB", "GOINSECURE", "GOVCS", "GOAUTH", "GOFLAGS", "GOTOOLCHAIN", "GOPATH", "GOROOT", "GOENV", "GOWORK",
		"GOMODCACHE", "GOCACHE", "GOTMPDIR", "GOOS", "GOARCH", "GOEXPERIMENT", "GODEBUG", "GOGC", "GOMEMLIMIT", "GOMAXPROCS", "CGO_ENABLED", "CC", "CXX",
		"SSH_AUTH_SOCK", "JAVA_HOME", "JAVA_OPTS", "JAVA_TOOL_OPTIONS", "VIRTUAL_ENV", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE",
		"PULUMI_HOME", "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION", sweep.Variable,
	}
	installPrefixes = []string{
		"LC_", "NPM_", "npm_", "NODE_", "YARN_", "PNPM_", "BUN_", "COREPACK_", "PIP_", "UV_", "POETRY_", "PYENV_", "NUGET_", "DOTNET_", "MAVEN_", "GRADLE_", "GIT_",
	}
)

func installEnvironment(env map[string]string) map[string]string {
	out := maps.Clone(env)
	maps.DeleteFunc(out, func(name, _ string) bool {
		return !slices.Contains(installNames, name) &&
			!slices.ContainsFunc(installPrefixes, func(prefix string) bool { return strings.HasPrefix(name, prefix) })
	})
	return out
}

// install gets what the program depends on into the workspace, or into caches. needs is
// the digest of what it depends on.
func (p *phase) install(ctx context.Context, needs string) error {
	unlock, err := p.lockVirtualenv(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	// What is begun and not ended is neither the old nor the new.
	if p.record.Installed != "" {
		p.record.Installed = ""
		if err := p.at.writeRecord(p.record); err != nil {
			return err
		}
	}
	do := invocation{path: p.task.Program.Path, dir: p.at.module, args: []string{"--non-interactive", "install", "--no-plugins"}, shown: []string{"install"}}
	if p.project.runtime == "go" {
		// `pulumi install` is `go mod tidy` here, which changes what the author wrote down.
		// The host compiles the program for each run: compiled once, it has all that it
		// is made of, and a mistake is told where it is.
		do = invocation{path: lookPath(p.searchPath(), "go"), dir: p.project.codeFolder(p.at.module), args: []string{"build", "-o", os.DevNull, "."}, shown: []string{"build"}}
	}
	v := p.voice(stackjob.OpInit, nil)
	if err := p.engine.install(ctx, v, do); err != nil {
		var pr *telling.Problem
		if errors.As(err, &pr) && pr.Failure.Reason.Code == stackjob.ReasonEngine && pr.Failure.Reason.Detail == "" {
			pr.Failure.Reason.Detail = "installing what the program depends on"
			if mistake := v.firstMistake(); p.project.runtime == "go" && mistake != "" {
				pr.Failure.Reason.Detail = "compiling the program: " + mistake
			}
		}
		if pr != nil && !pr.Cancelled && p.project.runtime != "go" {
			pr.Failure.Text += "\n\nThe program's dependencies could not be installed. An install gets what is for package managers of the job's environment, and none of the stack's credentials."
		}
		return err
	}
	p.record.Installed = needs
	return p.at.writeRecord(p.record)
}

// lockVirtualenv keeps others out while an install writes where other stacks may write
// too: a virtual environment outside of this stack's workspace. All else that is
// installed is in the workspace, and caches of package managers guard themselves.
func (p *phase) lockVirtualenv(ctx context.Context) (unlock func(), err error) {
	v := p.project.options.Virtualenv
	if v == "" {
		return func() {}, nil
	}
	if !filepath.IsAbs(v) {
		v = filepath.Join(p.at.module, v)
	}
	if within, err := filepath.Rel(p.at.root, v); err == nil && filepath.IsLocal(within) {
		return func() {}, nil
	}
	if err := os.MkdirAll(p.home(), 0o700); err != nil {
		return nil, err
	}
	sum := sha256.Sum256([]byte(filepath.Clean(v)))
	lock := flock.New(filepath.Join(p.home(), "install-"+hex.EncodeToString(sum[:8])+".lock"))
	if _, err := lock.TryLockContext(ctx, 200*time.Millisecond); err != nil {
		if ctx.Err() != nil {
			return nil, engineProblem(ctx, context.Cause(ctx), "install", p.voice(stackjob.OpInit, nil))
		}
		return nil, fmt.Errorf("lock the virtual environment: %w", err)
	}
	return func() { _ = lock.Close() }, nil
}
