// Package tool finds the programs that Stackreeve's tests, its demo and its
// checks need, and builds those that are not there.
//
// A [Recipe] is a go.mod and a go.sum that pin one program and everything it is
// made of. [Cache.Ensure] builds it with the Go toolchain from the module proxy,
// once, into a folder outside the source tree whose name holds a hash of the
// recipe, the build flags, the Go version and the platform. So a recipe that
// changes is built anew, and one that does not is never built twice, however many
// test packages ask at the same moment:
//
//	cache, err := tool.OpenCache(tool.Options{Progress: os.Stderr})
//	folder, err := cache.Ensure(ctx, tool.OpenTofuRecipe())
//
// [Terraform], [OpenTofu], [ProviderMirror] and [EnsureEngine] answer the usual
// questions. Tests ask through package tooltest.
//
// Terraform itself cannot be built this way (its licence and its nested modules
// forbid it), so it is used when it is installed and never fetched. Nothing here
// downloads a ready-made binary.
package tool

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// The names of engines, as schema.Provisioner spells them.
const (
	NameTerraform = "terraform"
	NameOpenTofu  = "tofu"
	NamePulumi    = "pulumi"
)

// ErrNotInstalled means that a program is neither on PATH nor one we can build.
var ErrNotInstalled = errors.New("not installed")

// Engine is a program that plans and applies.
type Engine struct {
	// Name is NameTerraform, NameOpenTofu or NamePulumi.
	Name string
	// Path is absolute.
	Path string
	// Version is what it says of itself: "1.12.6".
	Version string
}

// String names the engine for people: "tofu 1.12.6".
func (e Engine) String() string { return e.Name + " " + e.Version }

// Terraform finds terraform on PATH. The error is ErrNotInstalled when there is
// none, or says why the one that is there does not run.
func Terraform(ctx context.Context) (Engine, error) { return lookEngine(ctx, NameTerraform) }

// OpenTofu returns the pinned OpenTofu, building it if need be with progress on
// standard error. One on PATH is not used, so that results do not depend on it.
func OpenTofu(ctx context.Context) (Engine, error) { return builtOpenTofu(ctx, os.Stderr) }

// ProviderMirror returns the path of a CLI configuration file for terraform and
// tofu that takes providers from a local mirror and from nowhere else; see
// [ProvidersRecipe] for what is in it. Progress goes to standard error.
func ProviderMirror(ctx context.Context) (string, error) {
	folder, err := ensure(ctx, ProvidersRecipe(), os.Stderr)
	if err != nil {
		return "", err
	}
	return filepath.Join(folder, CLIConfigFile), nil
}

// EnsureEngine returns an engine to work with: terraform or tofu from PATH, else
// OpenTofu built from source, which takes minutes the first time and says so on
// progress. name is NameTerraform or NameOpenTofu, path absolute.
func EnsureEngine(ctx context.Context, progress io.Writer) (name, path string, err error) {
	for _, name := range []string{NameTerraform, NameOpenTofu} {
		e, err := lookEngine(ctx, name)
		switch {
		case err == nil:
			return e.Name, e.Path, nil
		case ctx.Err() != nil:
			return "", "", err
		case !errors.Is(err, ErrNotInstalled):
			fmt.Fprintf(progress, "%v; it is passed over\n", err)
		}
	}
	fmt.Fprintln(progress, "neither terraform nor tofu is on PATH")
	e, err := builtOpenTofu(ctx, progress)
	if err != nil {
		return "", "", err
	}
	return e.Name, e.Path, nil
}

func builtOpenTofu(ctx context.Context, progress io.Writer) (Engine, error) {
	folder, err := ensure(ctx, OpenTofuRecipe(), progress)
	if err != nil {
		return Engine{}, err
	}
	return probe(ctx, NameOpenTofu, filepath.Join(folder, NameOpenTofu))
}

func ensure(ctx context.Context, r Recipe, progress io.Writer) (string, error) {
	cache, err := OpenCache(Options{Progress: progress})
	if err != nil {
		return "", err
	}
	return cache.Ensure(ctx, r)
}

func lookEngine(ctx context.Context, name string) (Engine, error) {
	path, err := exec.LookPath(name)
	if err != nil {
		return Engine{}, fmt.Errorf("%s on PATH: %w", name, ErrNotInstalled)
	}
	if path, err = filepath.Abs(path); err != nil {
		return Engine{}, fmt.Errorf("%s on PATH: %w", name, err)
	}
	return probe(ctx, name, path)
}

// answer is what Terraform and OpenTofu say of their version, by the name of the program.
// `version -json` says the same of both.
var answer = map[string]*regexp.Regexp{
	NameTerraform: regexp.MustCompile(`(?m)^Terraform v(\S+)`),
	NameOpenTofu:  regexp.MustCompile(`(?m)^OpenTofu v(\S+)`),
}

// probe asks the program for its version: a version manager's shim without a
// chosen version is on PATH and still no engine, and neither is another engine's
// program under this name. It is asked in the environment in which a daemon asks:
// without one's home, settings of one's own count for nothing there, either.
func probe(ctx context.Context, name, path string) (Engine, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, "version")
	cmd.WaitDelay = time.Second
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "CHECKPOINT_DISABLE=1"} // not for a newer version of itself either
	cmd.Dir = os.TempDir()
	var complaint strings.Builder
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		return Engine{}, fmt.Errorf("%s version: %w: %s", path, err, firstLine(complaint.String()))
	}
	said := answer[name].FindSubmatch(out)
	if said == nil {
		return Engine{}, fmt.Errorf("%s version: not an answer of %s: %s", path, name, firstLine(string(out)))
	}
	return Engine{Name: name, Path: path, Version: string(said[1])}, nil
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(s), "\n")
	return line
}
