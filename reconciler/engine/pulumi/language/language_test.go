package language_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stackreeve/stackreeve/reconciler/engine"
	"github.com/stackreeve/stackreeve/reconciler/engine/pulumi/language"
	"github.com/stackreeve/stackreeve/schema"
)

// machine is a folder with programs in it; none is ever run.
type machine struct {
	testing.TB
	dir string
}

func (m machine) path(name string) string { return filepath.Join(m.dir, filepath.FromSlash(name)) }

// search is a PATH of two folders, and one that depends on where a program is run.
func (m machine) search() string { return "relative:" + m.path("first") + ":" + m.path("second") }

func (m machine) at(name string, mode os.FileMode) string {
	m.Helper()
	path := m.path(name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		m.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("x"), mode); err != nil {
		m.Fatal(err)
	}
	return path
}

func pulumi(path string) engine.Program {
	return engine.Program{Provisioner: schema.Pulumi, Version: "3.230.0", Path: path}
}

func TestHostsLieBesidePulumiOrWhatItLinksToOrOnPath(t *testing.T) {
	t.Parallel()
	m := machine{t, t.TempDir()}
	real := m.at("release/pulumi", 0o700)
	linked := m.at("release/pulumi-language-java", 0o700)
	m.at("release/pulumi-language-yaml", 0o700)
	beside := m.at("folder/pulumi-language-yaml", 0o700)
	m.at("first/pulumi-language-yaml", 0o700)
	other := m.at("second/pulumi-language-nodejs", 0o700)
	m.at("second/pulumi-language-python-exec", 0o700)
	m.at("second/pulumi-language-go", 0o600) // no program
	link := m.path("folder/pulumi")
	if err := os.Symlink(real, link); err != nil {
		t.Fatal(err)
	}
	want := []language.Host{{Runtime: "java", Path: linked}, {Runtime: "nodejs", Path: other}, {Runtime: "yaml", Path: beside}}
	if diff := cmp.Diff(want, language.Hosts(pulumi(link), m.search())); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := language.Hosts(engine.Program{Provisioner: schema.OpenTofu, Path: link}, m.search()); got != nil {
		t.Errorf("OpenTofu has hosts: %v", got)
	}
}

func TestAMissingHostIsExplained(t *testing.T) {
	t.Parallel()
	m := machine{t, t.TempDir()}
	p := pulumi(m.at("folder/pulumi", 0o700))
	m.at("folder/pulumi-language-yaml", 0o700)
	home := m.path("home")
	if err := language.Check(p, "yaml", m.search(), home); err != nil {
		t.Error(err)
	}
	err := language.Check(p, "java", m.search(), home)
	want := "pulumi-language-java, the host for programs of the runtime java, is not there; `reeve engine install pulumi` gets Pulumi with its hosts, " +
		"or put the host beside it; if java is a mistake, correct runtime in Pulumi.yaml; it is neither beside pulumi 3.230.0 (" + p.Path + ") nor on PATH"
	if err == nil || err.Error() != want {
		t.Errorf("err = %v\nwant  %s", err, want)
	}
	// A plugin of Pulumi's is one as well; that of another language is none.
	for _, plugin := range []string{"language-javascript-v1.0.0", "language-java-v1.0.0"} {
		if err := language.Check(p, "java", m.search(), home); err == nil {
			t.Error("there is none yet")
		}
		if err := os.MkdirAll(filepath.Join(home, "plugins", plugin), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := language.Check(p, "java", m.search(), home); err != nil {
		t.Error(err)
	}
	if err := language.Check(p, "java", m.search(), ""); err == nil {
		t.Error("there is no home, and a plugin in it")
	}
}
