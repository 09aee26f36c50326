// Package schematest makes small config repositories for tests.
//
//	tree := schematest.Load(t, map[string]string{
//		"acme/dev/net.yaml": schematest.Stack("network", "/modules/net"),
//		"modules/net/main.tf": "",
//	})
package schematest

import (
	"context"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stackreeve/stackreeve/schema"
	"github.com/stackreeve/stackreeve/schema/diag"
)

// FS is a file system of these files. Indentation that all lines of a file share is
// removed, so that documents can be written in place.
func FS(files map[string]string) fs.FS {
	m := fstest.MapFS{}
	for p, content := range files {
		m[p] = &fstest.MapFile{Data: []byte(Dedent(content)), Mode: 0o644}
	}
	return m
}

// Load loads a repository of these files, and fails the test when it has errors.
func Load(t testing.TB, files map[string]string) *schema.Tree {
	t.Helper()
	tree := LoadAny(t, files)
	for _, d := range tree.Diagnostics() {
		if d.Severity == diag.Error {
			t.Errorf("%s: %s [%s] %s, found %s, expected %s", d.Pos, d.Summary(), d.Code, d.Detail, d.Found, d.Expected)
		}
	}
	if t.Failed() {
		t.FailNow()
	}
	return tree
}

// LoadAny loads a repository that may have errors.
func LoadAny(t testing.TB, files map[string]string) *schema.Tree {
	t.Helper()
	tree, err := schema.LoadFS(context.Background(), FS(files))
	if err != nil {
		t.Fatalf("load the repository of the test: %v", err)
	}
	return tree
}

// Stack is a TerraformStack document: its name, its module and lines that follow under
// spec, such as "variables: {a: 1}".
func Stack(name, module string, spec ...string) string {
	s := fmt.Sprintf("apiVersion: %s\nkind: TerraformStack\nmetadata: {name: %s}\nspec:\n  module: %s\n", schema.APIVersion, name, module)
	for _, l := range spec {
		s += "  " + l + "\n"
	}
	return s
}

// Dedent removes a first empty line and the indentation of the first line from all lines.
func Dedent(s string) string {
	trimmed := strings.TrimPrefix(s, "\n")
	indent := trimmed[:len(trimmed)-len(strings.TrimLeft(trimmed, " \t"))]
	if indent == "" {
		return s
	}
	var b strings.Builder
	for l := range strings.Lines(trimmed) {
		b.WriteString(strings.TrimPrefix(l, indent))
	}
	return strings.TrimRight(b.String(), " \t")
}
