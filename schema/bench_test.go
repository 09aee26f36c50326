package schema_test

import (
	"context"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stackreeve/stackreeve/schema"
)

func mustLoad(tb testing.TB, l *schema.Loader, src schema.Source) *schema.Tree {
	tb.Helper()
	tree, err := l.Load(context.Background(), src)
	if err != nil {
		tb.Fatalf("load: %v", err)
	}
	return tree
}

// changed is a commit that changes one value in one file.
func changed(m *memory, n string) *memory {
	const p = "acme/e3/g3/f3.yaml"
	return m.commit(map[string]string{p: strings.Replace(m.files[p], "somebody", "somebody-"+n, 1)})
}

func TestOneFileCommitReadsOneFile(t *testing.T) {
	t.Parallel()
	before := newMemory(generated(500))
	l := schema.NewLoader(schema.Options{})
	tree := mustLoad(t, l, before)
	if tree.Diagnostics().HasErrors() || len(tree.Resources()) != 500 {
		t.Fatalf("loaded %d resources, diagnostics %v", len(tree.Resources()), tree.Diagnostics())
	}
	after := changed(before, "else")
	tree = mustLoad(t, l, after)
	if diff := cmp.Diff([]string{"acme/e3/g3/f3.yaml"}, after.read); diff != "" {
		t.Errorf("files read (-want +got):\n%s", diff)
	}
	if got := tree.Resources()[0].Key.Org; got != "acme" || len(tree.Resources()) != 500 {
		t.Errorf("the tree after the commit has %d resources", len(tree.Resources()))
	}
}

func TestLoadingTheSameTreeAgainReadsNothing(t *testing.T) {
	t.Parallel()
	src := newMemory(generated(100))
	l := schema.NewLoader(schema.Options{})
	mustLoad(t, l, src)
	src.read = nil
	mustLoad(t, l, src)
	mustLoad(t, l, src.stranger())
	if len(src.read) != 0 {
		t.Errorf("read %v", src.read)
	}
}

// BenchmarkLoadCold10k loads 10,000 resources without a cache. heap-MB is what the
// loader and the tree hold afterwards.
func BenchmarkLoadCold10k(b *testing.B) {
	src := newMemory(generated(10_000))
	b.ReportAllocs()
	var keep *schema.Tree
	var l *schema.Loader
	for b.Loop() {
		l = schema.NewLoader(schema.Options{})
		keep = mustLoad(b, l, src)
	}
	if keep.Diagnostics().HasErrors() {
		b.Fatal(keep.Diagnostics())
	}
	b.StopTimer()
	with := heap()
	runtime.KeepAlive(keep)
	runtime.KeepAlive(l)
	b.ReportMetric(float64(int64(with)-int64(heap()))/(1<<20), "heap-MB")
	runtime.KeepAlive(src)
}

// BenchmarkLoadOneFileChange10k loads a commit that changes one of 1,000 files.
func BenchmarkLoadOneFileChange10k(b *testing.B) {
	src := newMemory(generated(10_000))
	l := schema.NewLoader(schema.Options{})
	mustLoad(b, l, src)
	versions := []*memory{changed(src, "a"), changed(src, "b")}
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		mustLoad(b, l, versions[n%2])
		n++
	}
}

// BenchmarkLoadOneFileChange10kFiles is the same with a file for each resource.
func BenchmarkLoadOneFileChange10kFiles(b *testing.B) {
	src := newMemory(generatedIn(10_000, 1))
	l := schema.NewLoader(schema.Options{})
	mustLoad(b, l, src)
	versions := []*memory{changed(src, "a"), changed(src, "b")}
	changes := [2]map[string][]schema.PathChange{}
	for i, v := range versions {
		other, err := v.Changes(versions[1-i].TreeHash())
		if err != nil {
			b.Fatal(err)
		}
		first, err := v.Changes(src.TreeHash())
		if err != nil {
			b.Fatal(err)
		}
		changes[i] = map[string][]schema.PathChange{versions[1-i].TreeHash(): other, src.TreeHash(): first}
	}
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		mustLoad(b, l, compared{versions[n%2], changes[n%2]})
		n++
	}
}

// compared is a source whose comparisons were made before, as a store of git objects
// makes them in no time.
type compared struct {
	*memory
	changes map[string][]schema.PathChange
}

func (c compared) Changes(from string) ([]schema.PathChange, error) { return c.changes[from], nil }

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
