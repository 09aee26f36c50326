package main

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/stackreeve/stackreeve/internal/app"
	"github.com/stackreeve/stackreeve/internal/config"
	"github.com/stackreeve/stackreeve/internal/program/programtest"
)

// What of Pulumi is on a machine, and what the demo makes of it.
func TestDemoSaysInOneLineWhyThereIsNoPulumiStack(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		programs map[string]string // their versions
		want     string            // of the program, or what is said
	}{
		"nothing":              {nil, "there is no pulumi on this machine; `reeve engine install pulumi` gets it"},
		"no host":              {map[string]string{"a/pulumi": "3.230.0", "b/pulumi-language-go": ""}, "pulumi-language-yaml, the host for programs of the runtime yaml, is not there; it is neither beside pulumi 3.230.0 (DIR/a/pulumi) nor on PATH"},
		"too old":              {map[string]string{"a/pulumi": "3.100.0", "a/pulumi-language-yaml": ""}, "no pulumi satisfies `>= 3.206.0`; there is pulumi 3.100.0 (DIR/a/pulumi)"},
		"broken":               {map[string]string{"b/pulumi": "", "b/pulumi-language-yaml": ""}, "DIR/b/pulumi does not work: it did not say its version: is it an engine?"},
		"whole":                {map[string]string{"b/pulumi": "3.230.0", "b/pulumi-language-yaml": ""}, "DIR/b/pulumi"},
		"a host elsewhere":     {map[string]string{"a/pulumi": "3.230.0", "b/pulumi-language-yaml": ""}, "DIR/a/pulumi"},
		"installed":            {map[string]string{"data/engines/pulumi/3.230.0/pulumi": "3.230.0", "data/engines/pulumi/3.230.0/pulumi-language-yaml": ""}, "DIR/data/engines/pulumi/3.230.0/pulumi"},
		"another engine alone": {map[string]string{"a/tofu": "1.9.0"}, "there is no pulumi on this machine; `reeve engine install pulumi` gets it"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			for path, version := range c.programs {
				programtest.Write(t, filepath.Join(dir, path), version)
			}
			environ := []string{"PATH=" + filepath.Join(dir, "a") + string(filepath.ListSeparator) + filepath.Join(dir, "b")}
			got := ""
			p, err := app.FindPulumi(t.Context(), config.Config{DataDir: filepath.Join(dir, "data")}, environ, "yaml")
			if got = p.Path; err != nil {
				got = noPulumi(err)
			}
			if got = strings.ReplaceAll(got, dir, "DIR"); got != c.want {
				t.Errorf("%s\nwant %s", got, c.want)
			}
			if tofu := filepath.Join(dir, "a", "tofu"); c.programs["a/tofu"] != "" && programtest.Asked(t, tofu) != 0 {
				t.Error("another engine was asked for its version")
			}
		})
	}
}
