package arch

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// listed is what go list says of a package.
type listed struct {
	ImportPath string
	Imports    []string
	Standard   bool
}

func goList(t *testing.T, args ...string) []listed {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list", "-e", "-json=ImportPath,Imports,Standard"}, args...)...)
	cmd.Dir = "../.."
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v", cmd.Args, err)
	}
	var packages []listed
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return packages
		} else if err != nil {
			t.Fatal(err)
		}
		packages = append(packages, p)
	}
}

func TestImportsPointDown(t *testing.T) {
	t.Parallel()
	var packages []Package
	for _, p := range goList(t, "./...") {
		packages = append(packages, Package{strings.TrimPrefix(p.ImportPath, Module+"/"), p.Imports})
	}
	if len(packages) < 5 {
		t.Fatalf("go list knows only %d packages", len(packages))
	}
	for _, line := range Check(packages, Rules(), Pure()) {
		t.Error(line)
	}
}

// What a pure package must not even bring along: a program that imports schema
// alone should not start processes or open connections by way of a library.
func TestPurePackagesBringNoServersOrProcesses(t *testing.T) {
	t.Parallel()
	args := []string{"-deps"}
	for _, pattern := range Pure().Packages {
		args = append(args, "./"+pattern)
	}
	for _, p := range goList(t, args...) {
		switch p.ImportPath {
		case "net/http", "os/exec", "database/sql", "log/slog":
			t.Errorf("%s is among the dependencies of the pure packages", p.ImportPath)
		}
	}
}

func TestCheckFindsWhatBreaksTheRules(t *testing.T) {
	t.Parallel()
	own := func(path string) string { return Module + "/" + path }
	for name, test := range map[string]struct {
		pkg  Package
		want []string
	}{
		"a noun may import the noun below": {
			Package{"schema", []string{own("schema/diag"), "fmt", "io/fs", "net/url", "go.yaml.in/yaml/v4"}}, nil},
		"and not the other way round": {
			Package{"schema/diag", []string{own("schema")}},
			[]string{"schema/diag may not import schema: a diagnostic is the lowest noun"}},
		"a pure package reads no file": {
			Package{"reconciler/diff", []string{"os"}},
			[]string{"reconciler/diff may not import os: the package is pure: take the value from the caller, or return it"}},
		"nor does one below it log": {
			Package{"schema/catalog", []string{"log/slog"}},
			[]string{"schema/catalog may not import log/slog: the package is pure: take the value from the caller, or return it"}},
		"a pure package takes no chance library": {
			Package{"reconciler/report", []string{"github.com/oklog/ulid/v2"}},
			[]string{"reconciler/report may not import github.com/oklog/ulid/v2: the library is not among those of pure packages: see Pure in internal/arch"}},
		"a name that only begins like an allowed one is another": {
			Package{"schema", []string{"go.yaml.in/yaml/v4extra"}},
			[]string{"schema may not import go.yaml.in/yaml/v4extra: the library is not among those of pure packages: see Pure in internal/arch"}},
		"a port knows no other port": {
			Package{"reconciler/store/sqlite", []string{own("reconciler/store"), own("gitsource")}},
			[]string{"reconciler/store/sqlite may not import gitsource: a port knows no other port"}},
		"the loop knows no adapter": {
			Package{"reconciler", []string{own("reconciler/store"), own("reconciler/store/sqlite")}},
			[]string{"reconciler may not import reconciler/store/sqlite: the loop knows ports, not adapters"}},
		"a command knows no adapter": {
			Package{"cmd/reeve", []string{own("reconciler/engine"), own("reconciler/engine/terraform")}},
			[]string{"cmd/reeve may not import reconciler/engine/terraform: only app names adapters"}},
		"app knows everything below": {
			Package{"internal/app", []string{own("reconciler/engine/terraform"), own("internal/web"), "os"}}, nil},
		"the product does not import what is there for tests": {
			Package{"internal/app", []string{own("reconciler/store/storetest")}},
			[]string{"internal/app may not import reconciler/store/storetest: it is there for tests"}},
		"what is there for tests may use the like": {
			Package{"reconciler/engine/enginetest", []string{own("internal/tool/tooltest")}}, nil},
		"but what tools are made of is not for it": {
			Package{"reconciler/engine/enginetest", []string{own("internal/tool")}},
			[]string{"reconciler/engine/enginetest may not import internal/tool: a port knows no other port"}},
		"a package without a place": {
			Package{"pkg/misc", nil},
			[]string{"pkg/misc: no rule says where this package stands: give it one in internal/arch"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(test.want, Check([]Package{test.pkg}, Rules(), Pure())); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
