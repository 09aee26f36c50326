package install_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stackreeve/stackreeve/internal/program"
	"github.com/stackreeve/stackreeve/internal/program/install"
	"github.com/stackreeve/stackreeve/reconciler/engine/pulumi/language"
	"github.com/stackreeve/stackreeve/schema"
)

// inside lists the files below a root, without the lock and without folders.
func inside(t testing.TB, root string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name() == ".lock" || strings.HasSuffix(p, ".asked") {
			return err
		}
		rel, err := filepath.Rel(root, p)
		out = append(out, rel)
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return out
}

func request(t testing.TB, s string) install.Request {
	t.Helper()
	r, err := install.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// forEngines runs a test with each engine's way of being published.
func forEngines(t *testing.T, f func(t *testing.T, p schema.Provisioner, s *site, root string)) {
	for _, p := range program.Names() {
		t.Run(string(p), func(t *testing.T) {
			t.Parallel()
			f(t, p, newSite(t), filepath.Join(t.TempDir(), "engines"))
		})
	}
}

func TestTheNewestVersionThatFitsIsInstalledAndFound(t *testing.T) {
	t.Parallel()
	forEngines(t, func(t *testing.T, p schema.Provisioner, s *site, root string) {
		s.release(p, "1.9.8", "1.11.4", "1.11.10", "1.12.0-rc1")
		o := s.options(root)
		var told []install.Progress
		o.Progress = func(x install.Progress) { told = append(told, x) }
		for arg, want := range map[string]string{"": "1.11.10", "@~> 1.9.0": "1.9.8", "@1.11.4": "1.11.4", "@v1.11.4": "1.11.4", "@= 1.11.4": "1.11.4", "@1.12.0-rc1": "1.12.0-rc1"} {
			got, err := install.Install(t.Context(), o, request(t, string(p)+arg))
			if err != nil {
				t.Fatalf("%s: %v", arg, err)
			}
			if got.Path != program.InstalledPath(root, p, want) || got.Version != want {
				t.Errorf("%s: %+v", arg, got)
			}
		}
		inv, err := program.NewFinder("").Find(t.Context(), program.Options{Installed: root})
		if err != nil {
			t.Fatal(err)
		}
		var found []string
		for _, f := range inv.Found {
			found = append(found, f.Program.String()+" "+string(f.Origin))
		}
		name := string(p)
		if diff := cmp.Diff([]string{name + " 1.11.10 installed", name + " 1.11.4 installed", name + " 1.9.8 installed", name + " 1.12.0-rc1 installed"}, found); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if !slices.ContainsFunc(told, func(x install.Progress) bool {
			return x.Done > 0 && x.Done == x.Total && strings.HasPrefix(x.What, "download ")
		}) {
			t.Errorf("progress: %v", told)
		}
		for _, file := range inside(t, root) {
			if strings.Contains(file, "evil") || strings.Contains(file, "other") || strings.HasPrefix(file, ".") {
				t.Errorf("%s is there", file)
			}
		}
		if _, err := os.Stat(filepath.Join(filepath.Dir(root), "evil")); err == nil {
			t.Error("an archive wrote outside of its folder")
		}
		if hosts := language.Hosts(inv.Found[0].Program, ""); p == schema.Pulumi && (len(hosts) != 1 || hosts[0].Runtime != "yaml") {
			t.Errorf("language hosts: %v", hosts)
		}
	})
}

func TestNoNetworkIsUsedWhenTheVersionIsThere(t *testing.T) {
	t.Parallel()
	forEngines(t, func(t *testing.T, p schema.Provisioner, s *site, root string) {
		s.release(p, "1.11.4")
		if _, err := install.Install(t.Context(), s.options(root), request(t, string(p)+"@1.11.4")); err != nil {
			t.Fatal(err)
		}
		before := s.requests()
		for _, arg := range []string{"@1.11.4", "@~> 1.9"} {
			got, err := install.Install(t.Context(), s.options(root), request(t, string(p)+arg))
			if err != nil || !got.Already || got.Version != "1.11.4" {
				t.Errorf("%s: %+v, %v", arg, got, err)
			}
		}
		if n := s.requests() - before; n != 0 {
			t.Errorf("%d requests", n)
		}
		// A program that does not work is not there.
		path := program.InstalledPath(root, p, "1.11.4")
		if err := os.Truncate(path, 100); err != nil {
			t.Fatal(err)
		}
		if got, err := install.Install(t.Context(), s.options(root), request(t, string(p)+"@1.11.4")); err != nil || got.Already {
			t.Errorf("%+v, %v", got, err)
		}
	})
}

func TestWhatNobodyPublishesIsSaid(t *testing.T) {
	t.Parallel()
	forEngines(t, func(t *testing.T, p schema.Provisioner, s *site, root string) {
		s.release(p, "1.9.8", "1.11.4")
		_, err := install.Install(t.Context(), s.options(root), request(t, string(p)+"@> 2"))
		if err == nil || !strings.Contains(err.Error(), "install "+string(p)+" > 2: none of the 2 published versions fits; the newest is 1.11.4") {
			t.Errorf("err = %v", err)
		}
		s.mu.Lock()
		clear(s.files)
		s.mu.Unlock()
		_, err = install.Install(t.Context(), s.options(root), request(t, string(p)))
		if err == nil || !strings.Contains(err.Error(), "404 Not Found: there is no list of versions at this address; name one version") {
			t.Errorf("without a list: %v", err)
		}
		s.server.Close()
		for _, arg := range []string{"", "@1.9.8"} {
			_, err = install.Install(t.Context(), s.options(root), request(t, string(p)+arg))
			if err == nil || !strings.Contains(err.Error(), "`engine.mirrors."+string(p)+"` names another address") {
				t.Errorf("with no network: %v", err)
			}
		}
	})
}

func TestWhatIsToBeInstalledIsReadStrictly(t *testing.T) {
	t.Parallel()
	for arg, want := range map[string]string{
		"tofu": "tofu|", "opentofu@1.9": "tofu|1.9", "terraform@~> 1.9": "terraform|~> 1.9", "pulumi@>= 3.200, < 4": "pulumi|>= 3.200, < 4",
		"packer": `engine "packer": expected terraform, tofu or pulumi`, "tofu@newest": `version "newest": expected`, "tofu@": `version "": expected`,
	} {
		r, err := install.Parse(arg)
		got := string(r.Provisioner) + "|" + r.Constraint
		if err != nil {
			got = err.Error()
		}
		if !strings.HasPrefix(got, want) {
			t.Errorf("%q: %s, want %s", arg, got, want)
		}
	}
}
