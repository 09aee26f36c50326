package schema_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/fstest"
	"unicode/utf8"

	"github.com/stackreeve/stackreeve/schema"
	"github.com/stackreeve/stackreeve/schema/diag"
)

// FuzzLoad puts arbitrary text into files of a small repository: loading never fails or
// panics, and what it reports is sorted and lies within the files.
func FuzzLoad(f *testing.F) {
	for _, p := range pieces() {
		f.Add([]byte(p), []byte(component("Network", "cidrBlock: {type: string}")))
	}
	f.Add([]byte("a: &a [*a]\n---\n? x\n: {<<: [1]}\n"), []byte("{"))
	f.Add([]byte("apiVersion: test.planton.dev/v1\nkind: Network\nmetadata: {name: \"\u2028é\"}\nspec: {cidrBlock: !!str 1, size: 0x1F, peer: {value: x}}"), []byte(""))
	f.Add([]byte("%YAML 1.2\n%TAG ! x\n---\r\na: |\r\n\tb\r...\r\nb: 1e999999999\n"), []byte("\xef\xbb\xbfa: b"))
	f.Add([]byte(pulumiStack("s", ", annotations: {pulumi.planton.dev/stack.fqdn: a/b/c, pulumi.stackreeve.dev/backend.url: 'azblob://c?sas=x'}", "config: {a: {secret: ~}, 'b:c': [{secret: 1}]}", "stack: {name: '..'}")),
		[]byte(strings.Replace(component("Network", "cidrBlock: {type: string}"), "terraform:", "pulumi:", 1)))
	f.Add([]byte(pulumiStack("s", "", "backend: {url: 'postgres://h/d?table=t'}", "secretsProvider: hashivault://k")), []byte(""))
	f.Fuzz(func(t *testing.T, resource, catalogue []byte) {
		files := fstest.MapFS{
			"acme/components/net.yaml":     {Data: []byte(component("Network", "cidrBlock: {type: string, writeOnly: true}\n      size: {type: integer, default: 3}"))},
			"acme/components/fuzz.yaml":    {Data: catalogue},
			"acme/modules/network/main.tf": {Data: []byte("x")},
			"acme/dev/fuzz.yaml":           {Data: resource},
			"modules/web/Pulumi.yaml":      {Data: catalogue},
			"acme/prod/net.yaml":           {Data: []byte("apiVersion: test.planton.dev/v1\nkind: Network\nmetadata: {name: a}\nspec: {cidrBlock: x}\n")},
		}
		src, err := schema.FromFS(files)
		if err != nil {
			t.Fatal(err)
		}
		l := schema.NewLoader(schema.Options{MaxAliasNodes: 1000})
		tree, err := l.Load(context.Background(), src)
		if err != nil {
			t.Fatal(err)
		}
		list := tree.Diagnostics()
		for i, d := range list {
			if i > 0 && list[i-1].Compare(d) >= 0 {
				t.Errorf("%v is not after %v", d, list[i-1])
			}
			checkWithin(t, d, files)
		}
		for _, r := range tree.Resources() {
			if p := r.Pulumi; (p != nil) != (r.Provisioner == schema.Pulumi) || p != nil && (p.Stack == "" || p.SecretsProvider == "") {
				t.Errorf("%s has the settings %+v", r.Provisioner, p)
			}
			again, err := schema.Canonical(r.Inputs)
			if err != nil || !bytes.Equal(again, r.Inputs) {
				t.Errorf("inputs %s are not canonical: %s, %v", r.Inputs, again, err)
			}
			refs, err := schema.ReferencesIn(r.Inputs)
			if err != nil {
				t.Errorf("references in %s: %v", r.Inputs, err)
			}
			for _, ref := range refs {
				if ref.To.Kind == "" && !list.HasErrors() {
					t.Errorf("%v has no kind", ref)
				}
			}
		}
		for _, o := range tree.Organizations() {
			if n := len(tree.Graph(o.Slug).Nodes()); n > len(tree.Resources()) {
				t.Errorf("%d nodes of %d resources", n, len(tree.Resources()))
			}
		}
		_ = diag.Text(list, diag.TextOptions{})
	})
}

// checkWithin checks that a diagnostic names a place that exists.
func checkWithin(t *testing.T, d diag.Diagnostic, files fstest.MapFS) {
	t.Helper()
	f, ok := files[d.Pos.File]
	if !ok {
		t.Fatalf("%v is in no file", d)
	}
	if d.Pos.Line == 0 {
		return
	}
	text := strings.ReplaceAll(strings.ReplaceAll(string(f.Data), "\r\n", "\n"), "\r", "\n")
	lines := strings.Split(text, "\n")
	if d.Pos.Line > len(lines) {
		t.Fatalf("%v is after the last line, %d", d, len(lines))
	}
	if n := utf8.RuneCountInString(lines[d.Pos.Line-1]); d.Pos.Column < 1 || d.Pos.Column > n+1 {
		t.Fatalf("%v is not in a line of %d characters", d, n)
	}
}

// FuzzCanonical checks that canonical JSON is JSON, means the same, and is stable.
func FuzzCanonical(f *testing.F) {
	for _, s := range []string{`{"b":1,"a":[1.0,-0,1e9,"\u2028<>&"]}`, `"\ud800"`, `{"a":{"a":1,"a":2}}`, `1 2`, ``} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		once, err := schema.Canonical(raw)
		if err != nil {
			return
		}
		if !json.Valid(once) {
			t.Fatalf("%s is not JSON", once)
		}
		twice, err := schema.Canonical(once)
		if err != nil || !bytes.Equal(once, twice) {
			t.Fatalf("%s becomes %s, %v", once, twice, err)
		}
	})
}

// FuzzResolve checks that resolving leaves no reference behind, and stops at the first
// that cannot be resolved.
func FuzzResolve(f *testing.F) {
	f.Add([]byte(`{"a":{"valueFrom":{"kind":"K","env":"e","name":"n","fieldPath":"status.outputs.x"}},"b":[{"valueFrom":{"kind":"K"}}]}`))
	f.Add([]byte(`{"valueFrom":{"kind":"K","env":"e","name":"n","fieldPath":"p"}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		refs, err := schema.ReferencesIn(raw)
		if err != nil {
			return
		}
		n := 0
		out, err := schema.Resolve(raw, func(r schema.Reference) (json.RawMessage, error) {
			if r != refs[n] {
				t.Errorf("asked for %v as number %d, listed is %v", r, n, refs[n])
			}
			n++
			return json.RawMessage(`"value"`), nil
		})
		if err != nil || n != len(refs) {
			t.Fatalf("%d of %d references resolved: %v", n, len(refs), err)
		}
		left, err := schema.ReferencesIn(out)
		if err != nil || len(left) != 0 {
			t.Fatalf("%d references are left in %s: %v", len(left), out, err)
		}
		failed := errors.New("no value")
		if _, err := schema.Resolve(raw, func(schema.Reference) (json.RawMessage, error) { return nil, failed }); len(refs) > 0 && !errors.Is(err, failed) {
			t.Errorf("the error became %v", err)
		}
	})
}
