package tool

import (
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strings"
)

// CLIConfigFile is the name, in the folder that [ProvidersRecipe] makes, of the
// CLI configuration for TF_CLI_CONFIG_FILE.
const CLIConfigFile = "mirror.tfrc"

// provider is one program of the mirror and the address and version under which
// modules ask for it. The versions are labels of the nearest release: the module
// proxy has commits, not releases, of most of them.
type provider struct{ name, version string }

var mirrored = []provider{
	{"local", "2.9.0"},
	{"null", "2.1.2"},
	{"random", "3.6.0"},
	{"time", "0.14.2"},
}

// The registries whose addresses the mirror answers: Terraform and OpenTofu read
// "hashicorp/random" as an address of their own.
var registries = []string{"registry.terraform.io", "registry.opentofu.org"}

// ProvidersRecipe builds the providers hashicorp/local, null, random and time,
// lays them out as an unpacked filesystem mirror for both registries, and writes
// CLIConfigFile, which lets an engine take providers from there only. Unpacked,
// because init then only links them, and because many inits at once are safe.
func ProvidersRecipe() Recipe {
	r := withLinkerFlags(read(providersFiles, "providers"))
	r.Title = "the providers for tests"
	r.Takes = "about 2 minutes"
	r.Makes = []string{CLIConfigFile}
	for _, p := range mirrored {
		for _, registry := range registries {
			r.Makes = append(r.Makes, mirrorPath(registry, p))
		}
	}
	r.finish = layOutMirror
	return r
}

// mirrorPath is where an engine looks for a provider, from the mirror's parent.
func mirrorPath(registry string, p provider) string {
	return path.Join("mirror", registry, "hashicorp", p.name, p.version, runtime.GOOS+"_"+runtime.GOARCH,
		"terraform-provider-"+p.name+"_v"+p.version)
}

func layOutMirror(folder, home string) error {
	for _, p := range mirrored {
		built := filepath.Join(folder, "terraform-provider-"+p.name)
		for _, registry := range registries {
			if err := linkOrCopy(built, filepath.Join(folder, filepath.FromSlash(mirrorPath(registry, p)))); err != nil {
				return fmt.Errorf("lay out the mirror: %w", err)
			}
		}
		if err := os.Remove(built); err != nil {
			return fmt.Errorf("lay out the mirror: %w", err)
		}
	}
	return WriteCLIConfig(filepath.Join(folder, CLIConfigFile), filepath.Join(home, "mirror"))
}

// WriteCLIConfig writes a CLI configuration that takes providers from the given
// unpacked mirror and from nowhere else, and asks nobody for newer versions. An
// empty folder as mirror gives an engine that knows only its built-in provider.
func WriteCLIConfig(file, mirror string) error {
	if strings.ContainsAny(mirror, "\"\\$%\n") {
		return fmt.Errorf("write %s: the path %q cannot stand in a CLI configuration", file, mirror)
	}
	text := fmt.Sprintf(`disable_checkpoint = true

provider_installation {
  filesystem_mirror {
    path = "%s"
  }
}
`, mirror)
	return os.WriteFile(file, []byte(text), 0o644)
}

func linkOrCopy(from, to string) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	if os.Link(from, to) == nil {
		return nil
	}
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o755)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		out.Close()
		return err
	}
	return out.Close()
}
