package schema_test

import (
	"context"
	"errors"
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/stackreeve/stackreeve/internal/tool/goldentest"
	"github.com/stackreeve/stackreeve/schema"
	"github.com/stackreeve/stackreeve/schema/diag"
	"github.com/stackreeve/stackreeve/schema/schematest"
)

// codes lists the findings of a tree, as "code at place".
func codes(l diag.List) []string {
	var out []string
	for _, d := range l {
		out = append(out, fmt.Sprintf("%s at %s", d.Code, d.Pos))
	}
	return out
}

func TestTenMegabyteFileLoads(t *testing.T) {
	t.Parallel()
	const limit = 10 << 20
	var b strings.Builder
	b.WriteString(schematest.Stack("s", "/m", "variables:", "  list:"))
	for b.Len() < limit-100 {
		b.WriteString("      - some text that fills the file up to the limit\n")
	}
	b.WriteString(strings.Repeat("#", limit-b.Len()))
	tree := schematest.Load(t, map[string]string{"acme/dev/s.yaml": b.String(), "m/main.tf": ""})
	if n := len(tree.Resources()[0].Inputs); n < limit*8/10 {
		t.Errorf("the inputs have %d bytes", n)
	}
	b.WriteString("#")
	tree = schematest.LoadAny(t, map[string]string{"acme/dev/s.yaml": b.String(), "acme/dev/t.yaml": schematest.Stack("t", "/m"), "m/main.tf": ""})
	if diff := cmp.Diff([]string{"file-too-large at acme/dev/s.yaml"}, codes(tree.Diagnostics())); diff != "" || len(tree.Resources()) != 1 {
		t.Errorf("%d resources (-want +got):\n%s", len(tree.Resources()), diff)
	}
	if _, frozen := tree.Frozen("acme", "dev"); !frozen {
		t.Error("the environment is not frozen")
	}
}

func TestFileLargerThanItsListingIsRefused(t *testing.T) {
	t.Parallel()
	src := newMemory(map[string]string{"acme/dev/s.yaml": schematest.Stack("s", "/m"), "m/main.tf": "x"})
	tree := mustLoad(t, schema.NewLoader(schema.Options{MaxFileBytes: 20}), liar{src})
	if diff := cmp.Diff([]string{"file-too-large at acme/dev/s.yaml"}, codes(tree.Diagnostics())); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// liar is a source that lists its files as empty.
type liar struct{ *memory }

func (l liar) Blobs() iter.Seq2[schema.Blob, error] {
	return func(yield func(schema.Blob, error) bool) {
		for b, err := range l.memory.Blobs() {
			b.Size = 0
			if !yield(b, err) {
				return
			}
		}
	}
}

func TestAliasLimitIsAnOption(t *testing.T) {
	t.Parallel()
	src, err := schema.FromFS(schematest.FS(map[string]string{"m/main.tf": "",
		"acme/dev/s.yaml": schematest.Stack("s", "/m", "variables: {a: &a [1, 2, 3], b: *a, c: *a}")}))
	if err != nil {
		t.Fatal(err)
	}
	for limit, want := range map[int]int{8: 0, 7: 1} {
		tree := mustLoad(t, schema.NewLoader(schema.Options{MaxAliasNodes: limit}), src)
		if n := len(tree.Diagnostics()); n != want {
			t.Errorf("with a limit of %d: %v", limit, codes(tree.Diagnostics()))
		}
	}
}

func TestSubmodulesAndDevicesAreFindings(t *testing.T) {
	t.Parallel()
	src := newMemory(map[string]string{"acme/dev/s.yaml": "x"})
	tree := mustLoad(t, schema.NewLoader(schema.Options{}), irregular{src})
	if diff := cmp.Diff([]string{"unreadable-file at acme/dev/s.yaml"}, codes(tree.Diagnostics())); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

type irregular struct{ *memory }

func (irregular) Blobs() iter.Seq2[schema.Blob, error] {
	return func(yield func(schema.Blob, error) bool) {
		yield(schema.Blob{Path: "acme/dev/s.yaml", Hash: "x", Mode: fs.ModeIrregular}, nil)
	}
}

func TestSourceThatFailsLeavesTheLastTree(t *testing.T) {
	t.Parallel()
	good := newMemory(generated(50))
	l := schema.NewLoader(schema.Options{})
	before := mustLoad(t, l, good)
	bad := changed(good, "x")
	if _, err := l.Load(context.Background(), failing{bad}); !errors.Is(err, errDisk) {
		t.Fatalf("a source that fails gives %v", err)
	}
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := l.Load(cancelled, bad); !errors.Is(err, context.Canceled) {
		t.Fatalf("a cancelled load gives %v", err)
	}
	if diff := cmp.Diff(viewOf(before), viewOf(mustLoad(t, l, good))); diff != "" {
		t.Errorf("after the failure (-before +after):\n%s", diff)
	}
	if diff := cmp.Diff(viewOf(mustLoad(t, schema.NewLoader(schema.Options{}), bad)), viewOf(mustLoad(t, l, bad))); diff != "" {
		t.Errorf("the next load (-cold +warm):\n%s", diff)
	}
}

var errDisk = errors.New("the disk is on fire")

type failing struct{ *memory }

func (failing) Open(string) (fs.File, error) { return nil, errDisk }

func TestFolderAndItsHashes(t *testing.T) {
	t.Parallel()
	of := func(files fstest.MapFS) schema.Source {
		src, err := schema.FromFS(files)
		if err != nil {
			t.Fatal(err)
		}
		return src
	}
	base := fstest.MapFS{"a/m/x.tf": {Data: []byte("x")}, "b/m/x.tf": {Data: []byte("x")}, ".git/config": {Data: []byte("x")}, "a/.terraform/lock": {Data: []byte("x")}}
	src := of(base)
	var paths []string
	for b, err := range src.Blobs() {
		if err != nil {
			t.Fatal(err)
		}
		paths = append(paths, b.Path)
	}
	if diff := cmp.Diff([]string{"a/m/x.tf", "b/m/x.tf"}, paths); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	a, _ := src.FolderHash("a/m")
	b, ok := src.FolderHash("b/m")
	if !ok || a != b {
		t.Errorf("equal folders have the hashes %s and %s", a, b)
	}
	if _, ok := src.FolderHash("a/n"); ok {
		t.Error("a folder that is not there has a hash")
	}
	base["a/m/x.tf"] = &fstest.MapFile{Data: []byte("y")}
	changed := of(base)
	if c, _ := changed.FolderHash("a/m"); c == a || changed.TreeHash() == src.TreeHash() {
		t.Error("a change leaves the hashes as they were")
	}
	if _, err := changed.Changes(src.TreeHash()); !errors.Is(err, schema.ErrUnknownTree) {
		t.Errorf("another tree compares with %v", err)
	}
	if l, err := changed.Changes(changed.TreeHash()); err != nil || len(l) != 0 {
		t.Errorf("a tree compares with itself as %v, %v", l, err)
	}
	if of(fstest.MapFS{}).TreeHash() == "" {
		t.Error("the empty tree has no hash")
	}
}

func TestKeysReadBack(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		part := rapid.StringMatching(`[a-zA-Z0-9-]{1,10}`)
		k := schema.ResourceKey{Org: part.Draw(t, "org"), Env: part.Draw(t, "env"), Kind: part.Draw(t, "kind"), Name: part.Draw(t, "name")}
		back, err := schema.ParseResourceKey(k.String())
		if err != nil || back != k || back.IsZero() || back.Compare(k) != 0 {
			t.Fatalf("%s reads back as %s, %v", k, back, err)
		}
		name := rapid.String().Draw(t, "display name")
		if s := schema.Slug(name); schema.Slug(s) != s || strings.HasPrefix(s, "-") || strings.HasSuffix(s, "-") || strings.Contains(s, "--") {
			t.Fatalf("the slug of %q is %q", name, s)
		}
	})
	for _, s := range []string{"", "a/b/c", "a/b/c/d/e", "a//c/d"} {
		if _, err := schema.ParseResourceKey(s); err == nil {
			t.Errorf("%q is a key", s)
		}
	}
	var k schema.ResourceKey
	if k.UnmarshalText([]byte("a/b/c")) == nil || !k.IsZero() {
		t.Errorf("a wrong key became %s", k)
	}
}

func TestGraphIsDrawn(t *testing.T) {
	t.Parallel()
	tree := schematest.Load(t, map[string]string{
		"m/main.tf": "",
		"acme/dev/a.yaml": schematest.Stack("app", "/m", "variables: {net: {valueFrom: {kind: TerraformStack, name: net, fieldPath: status.outputs.id}}, cidr: {valueFrom: {kind: TerraformStack, name: net, fieldPath: status.outputs.cidr}}}") +
			"---\n" + schematest.Stack("net", "/m"),
		"acme/prod/a.yaml": "apiVersion: stackreeve.dev/v1\nkind: TerraformStack\nmetadata: {name: app, relationships: [{kind: TerraformStack, env: dev, name: app, type: uses}]}\nspec: {module: /m}\n",
	})
	g := tree.Graph("acme")
	raw, err := g.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	goldentest.Compare(t, "testdata/graph.txt", g.Mermaid()+"\n"+g.DOT()+"\n"+string(raw)+"\n")
	net := schema.ResourceKey{Org: "acme", Env: "dev", Kind: "TerraformStack", Name: "net"}
	app := schema.ResourceKey{Org: "acme", Env: "dev", Kind: "TerraformStack", Name: "app"}
	if diff := cmp.Diff([]schema.ResourceKey{app}, g.Consumers(net)); diff != "" {
		t.Errorf("consumers (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]schema.ResourceKey{net}, g.Producers(app)); diff != "" {
		t.Errorf("producers (-want +got):\n%s", diff)
	}
	if len(tree.Graph("nobody").Nodes()) != 0 {
		t.Error("an unknown organization has resources")
	}
}

// TestProducersComeBeforeConsumers checks the order of a large graph, cycles included.
func TestProducersComeBeforeConsumers(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 12).Draw(t, "resources")
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "---\napiVersion: stackreeve.dev/v1\nkind: TerraformStack\nmetadata: {name: s%d, relationships: [", i)
			for range rapid.IntRange(0, 2).Draw(t, "edges") {
				fmt.Fprintf(&b, "{kind: TerraformStack, name: s%d},", rapid.IntRange(0, n-1).Draw(t, "to"))
			}
			b.WriteString("]}\nspec: {module: /m}\n")
		}
		tree, err := schema.LoadFS(context.Background(), fstest.MapFS{"acme/dev/s.yaml": {Data: []byte(b.String())}, "m/main.tf": {}})
		if err != nil {
			t.Fatal(err)
		}
		g := tree.Graph("acme")
		at := map[schema.ResourceKey]int{}
		for i, k := range g.Nodes() {
			at[k] = i
		}
		if len(at) != n {
			t.Fatalf("%d of %d resources are in the order", len(at), n)
		}
		kept := 0
		for _, e := range g.Edges() {
			kept++
			if at[e.To] >= at[e.From] {
				t.Fatalf("%s comes after %s, which needs it", e.To, e.From)
			}
		}
		all := 0
		for _, r := range tree.Resources() {
			all += len(r.References)
		}
		_, frozen := tree.Frozen("acme", "dev")
		if (kept < all) != frozen || frozen != tree.Diagnostics().HasErrors() {
			t.Fatalf("%d of %d edges kept, frozen %t, findings %v", kept, all, frozen, codes(tree.Diagnostics()))
		}
	})
}

// TestPackageIsPure checks that nothing here can reach the world.
func TestPackageIsPure(t *testing.T) {
	t.Parallel()
	for _, dir := range []string{".", "diag"} {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil || len(files) == 0 {
			t.Fatal(dir, err)
		}
		for _, name := range files {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			raw, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			f, err := parser.ParseFile(token.NewFileSet(), name, raw, parser.ImportsOnly)
			if err != nil {
				t.Fatal(err)
			}
			for _, i := range f.Imports {
				switch p := strings.Trim(i.Path.Value, `"`); {
				case p == "os", p == "net", strings.HasPrefix(p, "net/") && p != "net/url", p == "database/sql", strings.HasPrefix(p, "log"), p == "time", strings.HasPrefix(p, "math/rand"):
					t.Errorf("%s imports %s", name, p)
				}
			}
			if n := strings.Count(string(raw), "\n"); n > 400 {
				t.Errorf("%s has %d lines", name, n)
			}
		}
	}
}
