package tool

import (
	"context"
	"os"
	"path"
	"path/filepath"
)

const (
	pulumiModule = "github.com/pulumi/pulumi/pkg/v3"
	// labProvider is the provider of the tests, whose source is part of the recipe.
	labProvider = "pulumi-resource-lab"
	// hostsModule is the last module in which the language hosts of Go and Node.js can be
	// had together; later ones are modules that no proxy has.
	hostsModule = "github.com/pulumi/pulumi/sdk/v3"
)

// PulumiRecipe builds pulumi, the language host of YAML programs, and the provider of the
// tests, "lab": see recipe/pulumi/lab. They lie in one folder, where Pulumi looks for
// hosts and where a project finds the provider by its path.
func PulumiRecipe() Recipe {
	r := program(pulumiFiles, NamePulumi, pulumiModule, "Pulumi", "about 3 minutes")
	// Without this flag it has no version, and the Automation API refuses it.
	r = withLinkerFlags(r, "-X github.com/pulumi/pulumi/sdk/v3/go/common/version.Version=v"+versionOf(r.GoMod, pulumiModule))
	r.Files = map[string]string{labProvider + "/main.go": text(pulumiFiles, path.Join("recipe", r.Name, "lab/main.go.txt"))}
	r.Makes = append(r.Makes, "pulumi-language-yaml", labProvider)
	return r
}

// Pulumi returns the pinned Pulumi, building it if need be with progress on standard
// error, and the folder of the provider "lab", in which it lies itself. One on PATH is
// not used, so that results do not depend on it.
func Pulumi(ctx context.Context) (e Engine, plugins string, err error) {
	r := PulumiRecipe()
	folder, err := ensure(ctx, r, os.Stderr)
	if err != nil {
		return Engine{}, "", err
	}
	return Engine{Name: NamePulumi, Path: filepath.Join(folder, NamePulumi), Version: versionOf(r.GoMod, pulumiModule)}, folder, nil
}

// PulumiHostsRecipe builds the language hosts of Go and Node.js programs. They are older
// than the Pulumi of PulumiRecipe, which speaks with them all the same.
func PulumiHostsRecipe() Recipe {
	r := read(pulumiHostsFiles, "pulumi-hosts")
	r.Title = "Pulumi's language hosts " + versionOf(r.GoMod, hostsModule)
	r.Takes = "about a minute"
	r.Makes = []string{"pulumi-language-go", "pulumi-language-nodejs"}
	return withLinkerFlags(r, "-X "+hostsModule+"/go/common/version.Version=v"+versionOf(r.GoMod, hostsModule))
}

// PulumiHosts returns the folder of the pinned language hosts of Go and Node.js, building
// them if need be with progress on standard error. Pulumi finds them when the folder is
// on its PATH.
func PulumiHosts(ctx context.Context) (folder string, err error) {
	return ensure(ctx, PulumiHostsRecipe(), os.Stderr)
}

// BuiltPulumi is the pinned Pulumi if it was built before, with the language host of YAML
// programs beside it. It builds nothing.
func BuiltPulumi() (Engine, bool) {
	r := PulumiRecipe()
	cache, err := OpenCache(Options{})
	if err != nil {
		return Engine{}, false
	}
	folder, ok := cache.Built(r)
	return Engine{Name: NamePulumi, Path: filepath.Join(folder, NamePulumi), Version: versionOf(r.GoMod, pulumiModule)}, ok
}
