package program_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-version"

	"github.com/stackreeve/stackreeve/internal/program"
	"github.com/stackreeve/stackreeve/internal/program/programtest"
	"github.com/stackreeve/stackreeve/internal/tool/tooltest"
	"github.com/stackreeve/stackreeve/reconciler/engine"
	"github.com/stackreeve/stackreeve/reconciler/engine/pulumi/language"
	"github.com/stackreeve/stackreeve/schema"
	"github.com/stackreeve/stackreeve/schema/diag"
)

// machine is a place with engines.
type machine struct {
	testing.TB
	dir    string
	o      program.Options
	finder *program.Finder
}

func newMachine(t *testing.T) *machine {
	t.Helper()
	dir := t.TempDir()
	return &machine{TB: t, dir: dir, finder: program.NewFinder(filepath.Join(dir, "data", "engines.json")), o: program.Options{
		Folders: []string{filepath.Join(dir, "folder")}, Installed: filepath.Join(dir, "data", "engines"),
		Path: "relative:" + filepath.Join(dir, "first") + ":" + filepath.Join(dir, "second")}}
}

// at puts a program somewhere below the machine's folder.
func (m *machine) at(path, version string) string {
	m.Helper()
	path = filepath.Join(m.dir, path)
	programtest.Write(m, path, version)
	return path
}

func (m *machine) find() program.Inventory {
	m.Helper()
	inv, err := m.finder.Find(m.Context(), m.o)
	if err != nil {
		m.Fatal(err)
	}
	return inv
}

// lines are programs as "tofu 1.9.0 folder folder/tofu".
func (m *machine) lines(found []program.Found) []string {
	var out []string
	for _, f := range found {
		rel, err := filepath.Rel(m.dir, f.Path)
		if err != nil {
			m.Fatal(err)
		}
		out = append(out, f.Program.String()+" "+string(f.Origin)+" "+rel)
	}
	return out
}

func wanted(p schema.Provisioner, constraint string) engine.Wanted {
	w := engine.Wanted{Provisioner: p}
	if constraint != "" {
		w.Version = schema.EngineVersion{Constraint: constraint, Pos: diag.Position{File: "acme/organization.yaml", Line: 4, Column: 18}}
	}
	return w
}

func TestProgramsAreFoundEverywhereAndTheNewestComesFirst(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	m.at("first/tofu", "1.9.1")
	m.at("second/tofu", "1.10.2")
	m.at("second/terraform", "1.11.4")
	m.at("folder/tofu", "1.10.2")
	m.at("folder/pulumi", "3.230.0")
	m.at("data/engines/tofu/1.8.0/tofu", "1.8.0")
	m.at("data/engines/tofu/1.12.0-rc1/tofu", "1.12.0-rc1")
	m.at("data/engines/tofu/.part-1.13.0/tofu", "1.13.0") // a download that was killed
	m.at("relative/tofu", "1.99.0")
	inv := m.find()
	want := []string{
		"terraform 1.11.4 PATH second/terraform",
		"tofu 1.10.2 folder folder/tofu",
		"tofu 1.10.2 PATH second/tofu",
		"tofu 1.9.1 PATH first/tofu",
		"tofu 1.8.0 installed data/engines/tofu/1.8.0/tofu",
		"tofu 1.12.0-rc1 installed data/engines/tofu/1.12.0-rc1/tofu",
		"pulumi 3.230.0 folder folder/pulumi",
	}
	if diff := cmp.Diff(want, m.lines(inv.Found)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}

	for _, c := range []struct {
		p                schema.Provisioner
		constraint, want string
	}{
		{schema.OpenTofu, "", "tofu 1.10.2 folder folder/tofu"},
		{schema.OpenTofu, "~> 1.9.0", "tofu 1.9.1 PATH first/tofu"},
		{schema.OpenTofu, ">= 1.6, < 1.9", "tofu 1.8.0 installed data/engines/tofu/1.8.0/tofu"},
		{schema.OpenTofu, "1.12.0-rc1", "tofu 1.12.0-rc1 installed data/engines/tofu/1.12.0-rc1/tofu"},
		{schema.Pulumi, "~> 3.200", "pulumi 3.230.0 folder folder/pulumi"},
	} {
		f, err := inv.Choose(wanted(c.p, c.constraint))
		if err != nil {
			t.Errorf("%q: %v", c.constraint, err)
			continue
		}
		if got := m.lines([]program.Found{f})[0]; got != c.want {
			t.Errorf("%q: %s, want %s", c.constraint, got, c.want)
		}
	}
}

func TestTheProgramThatIsNamedIsPreferredAndMustWork(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	m.at("first/tofu", "1.10.2")
	named := m.at("elsewhere/tofu", "1.9.1")
	m.o.Named = map[schema.Provisioner]string{schema.OpenTofu: named, schema.Terraform: filepath.Join(m.dir, "nowhere", "terraform")}
	inv := m.find()
	for constraint, want := range map[string]string{"": "1.9.1", ">= 1.6": "1.9.1", ">= 1.10": "1.10.2"} {
		if f, err := inv.Choose(wanted(schema.OpenTofu, constraint)); err != nil || f.Version != want {
			t.Errorf("%q: %s, %v, want %s", constraint, f, err, want)
		}
	}
	_, err := inv.Choose(wanted(schema.Terraform, ""))
	if err == nil || !strings.Contains(err.Error(), "nowhere/terraform") || !strings.Contains(err.Error(), "correct engine.terraform in reeve.yaml") {
		t.Errorf("err = %v", err)
	}
	m.o.Named[schema.OpenTofu] = "tofu"
	if _, err := m.find().Choose(wanted(schema.OpenTofu, "")); err == nil || !strings.Contains(err.Error(), "absolute") {
		t.Errorf("err = %v", err)
	}
}

func TestWhatDoesNotFitIsExplained(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	older, newer := m.at("first/tofu", "1.8.0"), m.at("second/tofu", "1.11.0")
	_, err := m.find().Choose(wanted(schema.OpenTofu, "~> 1.9.0"))
	var none *program.NoneFits
	if !errors.As(err, &none) || !errors.Is(err, engine.ErrVersion) {
		t.Fatalf("err = %v", err)
	}
	want := "no tofu satisfies `~> 1.9.0` (acme/organization.yaml:4:18); `reeve engine install 'tofu@~> 1.9.0'` gets it, or name a program in reeve.yaml (engine.tofu); " +
		"there is tofu 1.11.0 (" + newer + "), 1.8.0 (" + older + ")"
	if diff := cmp.Diff(want, err.Error()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}

	_, err = m.find().Choose(wanted(schema.Terraform, ""))
	if err == nil || errors.Is(err, engine.ErrVersion) || !strings.Contains(err.Error(), "there is only tofu 1.11.0 (") ||
		!strings.HasPrefix(err.Error(), "terraform is not installed; `reeve engine install terraform` gets it, or name ") {
		t.Errorf("err = %v", err)
	}

	empty := newMachine(t)
	programtest.Write(t, filepath.Join(empty.dir, "first", "pulumi"), "")
	_, err = empty.find().Choose(wanted(schema.Pulumi, "~> 3.100"))
	for _, part := range []string{"none was found in " + filepath.Join(empty.dir, "folder"), "pulumi is not installed; `~> 3.100` (acme/organization.yaml:4:18) is wanted",
		filepath.Join(empty.dir, "first", "pulumi") + " does not work: it did not say its version"} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%q is not in: %v", part, err)
		}
	}
}

func TestAProgramIsAskedOnceForAsLongAsItsFileIsTheSame(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	paths := []string{m.at("first/tofu", "1.9.0"), m.at("second/terraform", "1.11.4"), m.at("folder/pulumi", "3.230.0"), m.at("data/engines/tofu/1.8.0/tofu", "1.8.0")}
	if err := os.Symlink(paths[0], filepath.Join(m.dir, "second", "tofu")); err != nil { // as /bin is /usr/bin
		t.Fatal(err)
	}
	if got := len(m.find().Found); got != len(paths) {
		t.Fatalf("%d programs were found", got)
	}
	var wg sync.WaitGroup
	for range 8 { // jobs
		wg.Go(func() { _, _ = m.finder.Find(t.Context(), m.o) })
	}
	wg.Wait()
	m.finder = program.NewFinder(filepath.Join(m.dir, "data", "engines.json")) // the daemon after a restart
	m.find()
	for _, p := range paths {
		if n := programtest.Asked(t, p); n != 1 {
			t.Errorf("%s was run %d times", p, n)
		}
	}

	// Replaced by another file of the same size and time: only the inode tells.
	was, err := os.Stat(paths[0])
	if err != nil {
		t.Fatal(err)
	}
	programtest.Write(t, paths[0]+".new", "1.9.5")
	if err := os.Chtimes(paths[0]+".new", was.ModTime(), was.ModTime()); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(paths[0]+".new", paths[0]); err != nil {
		t.Fatal(err)
	}
	f, ok := m.find().Best(schema.OpenTofu)
	if !ok || f.Version != "1.9.5" || programtest.Asked(t, paths[0]) != 2 || programtest.Asked(t, paths[1]) != 1 {
		t.Errorf("%s, asked %d and %d times", f, programtest.Asked(t, paths[0]), programtest.Asked(t, paths[1]))
	}
}

func TestASwitcherIsAskedAgainAfterAMinuteAndNotForEachJob(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	real := m.at("versions/1.9.0", "1.9.0")
	script := "#!/bin/sh\necho x >> '" + real + ".script'\necho Terraform v1.8.0\n"
	tooltest.WriteProgram(t, filepath.Join(m.dir, "first", "terraform"), script)
	if err := os.Symlink(real, filepath.Join(m.dir, "first", "tofu")); err != nil {
		t.Fatal(err)
	}
	m.o.Path = filepath.Join(m.dir, "first") + ":/usr/bin:/bin"
	broken := filepath.Join(m.dir, "first", "pulumi")
	programtest.Write(t, broken, "")
	asked := func() [3]int {
		t.Helper()
		b, err := os.ReadFile(real + ".script")
		if err != nil {
			t.Fatal(err)
		}
		return [3]int{programtest.Asked(t, real), strings.Count(string(b), "\n"), programtest.Asked(t, broken)}
	}
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	m.finder.SetNow(func() time.Time { return now })
	for range 3 {
		inv := m.find()
		if len(inv.Broken) != 1 {
			t.Errorf("broken: %v", inv.Broken)
		}
	}
	if got := asked(); got != [3]int{1, 1, 1} {
		t.Errorf("asked %v times", got)
	}
	now = now.Add(time.Minute)
	m.find()
	if got := asked(); got != [3]int{2, 2, 2} {
		t.Errorf("asked %v times after a minute", got)
	}
}

func TestAProgramOfAnotherEngineIsNotTaken(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	terraform, tofu := m.at("first/terraform", "1.11.4"), m.at("first/tofu", "1.12.6")
	m.o.Named = map[schema.Provisioner]string{schema.OpenTofu: terraform, schema.Pulumi: tofu}
	for _, when := range []string{"at first", "when it is known what they are", "after a restart"} {
		inv := m.find()
		if diff := cmp.Diff([]string{"terraform 1.11.4 PATH first/terraform", "tofu 1.12.6 PATH first/tofu"}, m.lines(inv.Found)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", when, diff)
		}
		_, err := inv.Choose(wanted(schema.OpenTofu, ""))
		if want := terraform + ": it answers as Terraform 1.11.4, and not as OpenTofu; correct engine.tofu in reeve.yaml"; err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", when, err, want)
		}
		_, err = inv.Choose(wanted(schema.Pulumi, ""))
		if want := tofu + ": it answers as OpenTofu 1.12.6, and not as Pulumi; correct engine.pulumi in reeve.yaml"; err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", when, err, want)
		}
		if when != "at first" {
			m.finder = program.NewFinder(filepath.Join(m.dir, "data", "engines.json"))
		}
	}
	m.o.Named = map[schema.Provisioner]string{schema.Terraform: m.at("elsewhere/pulumi", "3.230.0")}
	_, err := m.find().Choose(wanted(schema.Terraform, ""))
	if err == nil || !strings.Contains(err.Error(), "it answers as Pulumi 3.230.0, and not as Terraform") {
		t.Errorf("err = %v", err)
	}
}

func TestAProgramThatIsTooOldIsNotTaken(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	old := m.at("first/tofu", "1.0.11")
	m.at("second/tofu", "1.1.0")
	m.o.Oldest = map[schema.Provisioner]*version.Version{schema.OpenTofu: version.Must(version.NewVersion("1.1.0"))}
	inv := m.find()
	if f, err := inv.Choose(wanted(schema.OpenTofu, "")); err != nil || f.Version != "1.1.0" {
		t.Errorf("%v, %v", f, err)
	}
	_, err := inv.Choose(wanted(schema.OpenTofu, "~> 1.0.0"))
	if err == nil || !strings.HasSuffix(err.Error(), "; "+old+" does not work: its version 1.0.11 is too old: 1.1.0 or newer is needed") {
		t.Errorf("err = %v", err)
	}
}

func TestAFileThatCannotRunSaysWhy(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	shut := m.at("folder/tofu", "1.12.6")
	link := filepath.Join(m.dir, "link")
	if err := errors.Join(os.Chmod(shut, 0o600), os.MkdirAll(filepath.Join(m.dir, "folder", "terraform"), 0o700),
		os.Symlink(filepath.Join(m.dir, "nowhere"), link)); err != nil {
		t.Fatal(err)
	}
	tooltest.WriteProgram(t, filepath.Join(m.dir, "other"), "\x7fELF, and no more of it")
	tooltest.WriteProgram(t, filepath.Join(m.dir, "loader"), "#!"+filepath.Join(m.dir, "nowhere")+"\n")
	inv := m.find()
	want := []program.Broken{{Provisioner: schema.OpenTofu, Path: shut, Origin: program.InFolder, Err: "it may not be executed (`chmod +x` lets it)"}}
	if diff := cmp.Diff(want, inv.Broken); diff != "" || len(inv.Found) != 0 {
		t.Errorf("(-want +got):\n%s\nfound: %v", diff, inv.Found)
	}
	for path, want := range map[string]string{
		m.dir:                           "it is a folder and not a program",
		link:                            "it is a link to what is not there",
		filepath.Join(m.dir, "nowhere"): "there is no such file",
		filepath.Join(m.dir, "other"):   "it is no program for this machine (" + runtime.GOOS + "/" + runtime.GOARCH + ")",
		filepath.Join(m.dir, "loader"):  "what it is run with, an interpreter or a loader, is not there",
		shut:                            "it may not be executed (`chmod +x` lets it)",
	} {
		m.o.Named = map[schema.Provisioner]string{schema.OpenTofu: path}
		if _, err := m.find().Choose(wanted(schema.OpenTofu, "")); err == nil || !strings.HasPrefix(err.Error(), path+": "+want+"; correct engine.tofu") {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// script puts a shell script at a path.
func (m *machine) script(path, body string) {
	m.Helper()
	tooltest.WriteProgram(m, filepath.Join(m.dir, path), "#!/bin/sh\n"+body+"\n")
}

func TestAProgramThatNeverAnswersHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	asked, never := filepath.Join(m.dir, "asked"), filepath.Join(m.dir, "never")
	if err := errors.Join(syscall.Mkfifo(asked, 0o600), syscall.Mkfifo(never, 0o600)); err != nil {
		t.Fatal(err)
	}
	m.script("first/tofu", "echo x > '"+asked+"'; read x < '"+never+"'")
	m.at("second/terraform", "1.11.4")
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() {
		_, err := m.finder.Find(ctx, m.o)
		ended <- err
	}()
	if b, err := os.ReadFile(asked); err != nil || string(b) != "x\n" { // it waits for ever now
		t.Fatalf("%q, %v", b, err)
	}
	only := m.o
	only.Only = schema.Terraform
	inv, err := m.finder.Find(t.Context(), only)
	if err != nil || len(inv.Found) != 1 {
		t.Errorf("%v, %v", inv, err)
	}
	stop()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("err = %v", err)
	}
}

func TestAProgramThatDoesNotAnswerAsAnEngineIsNone(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ body, want string }{
		"never":   {"read x < never", "it did not say its version within 1ms"},
		"fails":   {"echo 'no such\nthing' >&2; exit 3", "it did not say its version: exit status 3: no such"},
		"silent":  {"exit 4", "it did not say its version: exit status 4"},
		"garbage": {"echo '{\"terraform_version\": 7'", "it did not say its version: is it an engine?"},
		"babbles": {"while :; do echo 'Terraform v1.11.4, and much more'; done", "it did not say its version, but more than 65536 bytes: is it an engine?"},
		"odd":     {"echo Terraform vNext", "its version: malformed version: Next"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMachine(t)
			if name == "never" {
				if err := syscall.Mkfifo(filepath.Join(m.dir, "never"), 0o600); err != nil {
					t.Fatal(err)
				}
				c.body = "read x < '" + filepath.Join(m.dir, "never") + "'"
				m.finder.SetPatience(time.Millisecond)
			}
			m.script("folder/terraform", c.body)
			inv := m.find()
			if len(inv.Found) != 0 || len(inv.Broken) != 1 || !strings.Contains(inv.Broken[0].Err, c.want) {
				t.Errorf("%v, want %q", inv, c.want)
			}
		})
	}
}

func TestRealEnginesSayTheirVersions(t *testing.T) {
	t.Parallel()
	pulumi, _ := tooltest.Pulumi(t)
	for _, e := range append(tooltest.Engines(t), pulumi) {
		dir := t.TempDir()
		if err := os.Symlink(e.Path, filepath.Join(dir, e.Name)); err != nil {
			t.Fatal(err)
		}
		inv, err := program.NewFinder("").Find(t.Context(), program.Options{Path: dir})
		if err != nil || len(inv.Found) != 1 || inv.Found[0].Version != e.Version || string(inv.Found[0].Provisioner) != e.Name {
			t.Fatalf("%v: %v, %v", e, inv, err)
		}
		hosts := language.Hosts(inv.Found[0].Program, dir)
		if e.Name == "pulumi" && !slices.ContainsFunc(hosts, func(h language.Host) bool { return h.Runtime == "yaml" }) {
			t.Errorf("Pulumi's language hosts: %v", hosts)
		}
	}
}
