package tool

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"maps"
	"path"
	"runtime"
	"slices"
	"strings"
)

// The recipes are kept as go.mod.txt and go.sum.txt: a folder with a real go.mod
// is another module, which go:embed cannot reach into. One variable per recipe,
// so that a binary carries only those that it can build.
var (
	//go:embed recipe/tofu
	tofuFiles embed.FS
	//go:embed recipe/providers
	providersFiles embed.FS
	//go:embed recipe/golangci-lint
	golangciLintFiles embed.FS
	//go:embed recipe/govulncheck
	govulncheckFiles embed.FS
	//go:embed recipe/benchstat
	benchstatFiles embed.FS
	//go:embed recipe/gitea
	giteaFiles embed.FS
	//go:embed recipe/pulumi
	pulumiFiles embed.FS
	//go:embed recipe/pulumi-hosts
	pulumiHostsFiles embed.FS
)

// Recipe says how a program is built from source: a Go module whose tool
// directives name it, with exact versions and checksums.
type Recipe struct {
	// Name is the recipe's folder and the first part of its folder's name in
	// the cache: "tofu".
	Name string
	// Title is what people read: "OpenTofu 1.12.6".
	Title string
	// Takes is how long a first build takes on two cores: "about 5 minutes".
	Takes string
	// GoMod and GoSum are the module's files.
	GoMod, GoSum string
	// Files are further ones, by their slash-separated path in the module: what
	// a replace directive that names a folder points to.
	Files map[string]string
	// Flags are arguments of "go build" beside -o.
	Flags []string
	// Makes lists what the finished folder holds, slash-separated: the built
	// programs, and what finish adds.
	Makes []string
	// Brings names folders of a module that the finished folder holds beside what
	// was built: what a program reads when it runs.
	Brings Folders
	// finish completes a built folder before it gets its name. home is the
	// path that it will have.
	finish func(folder, home string) error
}

// Folders are some folders at the top of a module.
type Folders struct {
	Module string
	Names  []string
}

// Recipes lists every recipe, for the command that builds them by name.
func Recipes() []Recipe {
	return []Recipe{OpenTofuRecipe(), ProvidersRecipe(), GolangciLintRecipe(), GovulncheckRecipe(), BenchstatRecipe(), GiteaRecipe(), PulumiRecipe(), PulumiHostsRecipe()}
}

// OpenTofuRecipe builds tofu.
func OpenTofuRecipe() Recipe {
	r := program(tofuFiles, "tofu", "github.com/opentofu/opentofu", "OpenTofu", "about 5 minutes")
	// Without this flag the version reads "1.12.6-dev".
	return withLinkerFlags(r, "-X github.com/opentofu/opentofu/version.dev=no")
}

// GolangciLintRecipe builds golangci-lint.
func GolangciLintRecipe() Recipe {
	const module = "github.com/golangci/golangci-lint/v2"
	r := program(golangciLintFiles, "golangci-lint", module, "golangci-lint", "about 3 minutes")
	return withLinkerFlags(r, "-X main.version="+versionOf(r.GoMod, module))
}

// GovulncheckRecipe builds govulncheck.
func GovulncheckRecipe() Recipe {
	return program(govulncheckFiles, "govulncheck", "golang.org/x/vuln", "govulncheck", "about 20 seconds")
}

// BenchstatRecipe builds benchstat.
func BenchstatRecipe() Recipe {
	return program(benchstatFiles, "benchstat", "golang.org/x/perf", "benchstat", "a few seconds")
}

// program is a recipe for one program of the same name.
func program(files embed.FS, name, module, title, takes string) Recipe {
	r := read(files, name)
	r.Title = title + " " + versionOf(r.GoMod, module)
	r.Takes = takes
	r.Makes = []string{name}
	return withLinkerFlags(r)
}

func read(files embed.FS, name string) Recipe {
	folder := path.Join("recipe", name)
	return Recipe{Name: name, GoMod: text(files, path.Join(folder, "go.mod.txt")), GoSum: text(files, path.Join(folder, "go.sum.txt"))}
}

func text(files embed.FS, name string) string {
	b, err := files.ReadFile(name)
	if err != nil {
		panic(fmt.Sprintf("embedded recipe: %v", err)) // the compiler put it there
	}
	return string(b)
}

// withLinkerFlags sets the flags of a reproducible build: no symbols, no path of
// this machine, no build id, no version-control stamp.
func withLinkerFlags(r Recipe, extra ...string) Recipe {
	ld := strings.Join(append([]string{"-s", "-w", "-buildid="}, extra...), " ")
	r.Flags = []string{"-trimpath", "-buildvcs=false", "-ldflags", ld}
	return r
}

// versionOf finds the version, without "v", that a go.mod requires of a module;
// "" if it requires none.
func versionOf(goMod, module string) string {
	for line := range strings.Lines(goMod) {
		f := strings.Fields(strings.TrimPrefix(strings.TrimSpace(line), "require "))
		if len(f) >= 2 && f[0] == module && strings.HasPrefix(f[1], "v") {
			return f[1][1:]
		}
	}
	return ""
}

// layoutVersion is raised when finished folders get another shape.
const layoutVersion = "1"

// keyLength is the length of a key, in hexadecimal digits.
const keyLength = 16

// Key identifies what a build of the recipe by this process makes: it changes
// with the recipe, the flags, the Go version and the platform.
func (r Recipe) Key() string {
	h := sha256.New()
	parts := append([]string{layoutVersion, r.Name, r.GoMod, r.GoSum, runtime.Version(), runtime.GOOS, runtime.GOARCH}, r.Flags...)
	for _, name := range slices.Sorted(maps.Keys(r.Files)) {
		parts = append(parts, name, r.Files[name])
	}
	parts = append(append(parts, r.Brings.Module), r.Brings.Names...)
	for _, part := range append(parts, r.Makes...) {
		fmt.Fprintf(h, "%d:%s", len(part), part) // the length keeps neighbours apart
	}
	return hex.EncodeToString(h.Sum(nil))[:keyLength]
}
