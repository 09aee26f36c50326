package diff_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/stackreeve/stackreeve/reconciler/diff"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/schema"
	"github.com/stackreeve/stackreeve/schema/schematest"
)

// drawFiles makes a repository in which every resource may read those that come before
// it in a drawn order, so that two draws can turn an edge around.
func drawFiles(t *rapid.T, label string) map[string]string {
	names := rapid.Permutation([]string{"a", "b", "c", "d", "e", "f"}).Draw(t, label+" order")
	names = names[:rapid.IntRange(0, len(names)).Draw(t, label+" count")]
	files := map[string]string{}
	for i, n := range names {
		vars := []string{fmt.Sprintf("size: %d", rapid.IntRange(1, 2).Draw(t, label+" size"))}
		for j, p := range names[:i] {
			if rapid.Bool().Draw(t, label+" edge") {
				vars = append(vars, fmt.Sprintf("r%d: {valueFrom: {kind: TerraformStack, env: %s, name: %s, fieldPath: status.outputs.id}}", j, envOf(p), p))
			}
		}
		files["acme/"+envOf(n)+"/"+n+".yaml"] = stack(n, "net", vars...)
	}
	return files
}

func envOf(name string) string {
	if name < "c" {
		return "prod"
	}
	return "dev"
}

// become puts other documents in the place of the world's.
func (w *world) become(t testing.TB, files map[string]string) {
	w.files = map[string]string{"net/main.tf": ""}
	for p, content := range files {
		w.files[p] = content
	}
	w.reload(t)
}

// step applies one change that starts by itself and whose After is not in the result
// any more, as jobs would.
func (w *world) step(res diff.Result) bool {
	for _, c := range res.Changes {
		if c.Starts() && len(c.After) == 0 {
			w.apply(c)
			return true
		}
	}
	return false
}

func checkOrder(t *rapid.T, res diff.Result) {
	seen := map[schema.ResourceKey]bool{}
	for _, c := range res.Changes {
		for _, a := range c.After {
			if !seen[a] {
				t.Fatalf("%s stands before %s, which must succeed first:\n%v", c.Key, a, lines(res))
			}
		}
		if seen[c.Key] {
			t.Fatalf("%s stands there twice", c.Key)
		}
		seen[c.Key] = true
		if !slices.IsSortedFunc(c.After, schema.ResourceKey.Compare) {
			t.Fatalf("After of %s is not sorted: %v", c.Key, c.After)
		}
	}
}

func TestAnyChangeOfTheRepositoryConverges(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		w := setup(t, nil)
		w.become(t, drawFiles(rt, "first"))
		for range 2 {
			w.input.Brake = diff.Brake{Count: -1, Share: -1}
			for range 40 {
				res := w.compare()
				checkOrder(rt, res)
				if len(res.Changes) == 0 {
					break
				}
				if !w.step(res) {
					rt.Fatalf("nothing can start:\n%v", lines(res))
				}
			}
			res := w.compare()
			if len(res.Changes) != 0 || res.Unchanged != len(w.input.Tree.Resources()) {
				rt.Fatalf("something is left after applying everything: %v", lines(res))
			}
			if len(w.stacks) != res.Unchanged {
				rt.Fatalf("%d stacks are there for %d documents", len(w.stacks), res.Unchanged)
			}
			w.become(t, drawFiles(rt, "then"))
		}
	})
}

// TestRecordsThatContradictEachOtherAreOrderedToo lets any stack be recorded as reading
// any other, in circles too.
func TestRecordsThatContradictEachOtherAreOrderedToo(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		w := setup(t, nil)
		w.become(t, drawFiles(rt, "first"))
		w.converge(t)
		var all []schema.ResourceKey
		for k := range w.stacks {
			all = append(all, k)
		}
		slices.SortFunc(all, schema.ResourceKey.Compare)
		for _, k := range all {
			w.change(k, func(s *stackjob.Stack) {
				s.Observed.Desired.Producers = rapid.SliceOfDistinct(rapid.SampledFrom(all), func(k schema.ResourceKey) schema.ResourceKey { return k }).Draw(rt, "producers")
			})
		}
		w.become(t, drawFiles(rt, "then"))
		res := w.compare()
		checkOrder(rt, res)
		if d := cmp.Diff(res, w.compare()); d != "" {
			rt.Fatalf("comparing twice gives two results:\n%s", d)
		}
		byKey := map[schema.ResourceKey]diff.Change{}
		for _, c := range res.Changes {
			byKey[c.Key] = c
		}
		for _, c := range res.Changes {
			for _, a := range c.After {
				if c.Action == stackjob.Apply && byKey[a].Action == stackjob.Destroy {
					rt.Fatalf("an apply waits for a destroy: %v", lines(res))
				}
				if other := byKey[a]; c.Starts() && !other.Starts() {
					rt.Fatalf("%s starts although %s does not", c.Key, a)
				}
			}
		}
	})
}

func TestWhatIsNotOursAndWhatIsFrozenStays(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		w := setup(t, nil)
		w.become(t, drawFiles(rt, "first"))
		w.converge(t)
		foreign := map[schema.ResourceKey]bool{}
		for k := range w.stacks {
			if k.Name == "a" || k.Name == "d" {
				foreign[k] = true
				w.change(k, func(s *stackjob.Stack) { s.Observed.Desired.Repository = "other" })
			}
		}
		files := drawFiles(rt, "then")
		broken := rapid.Bool().Draw(rt, "broken")
		if broken {
			files["acme/dev/broken.yaml"] = "kind: [\n"
		}
		w.become(t, files)
		res := w.compare()
		checkOrder(rt, res)
		frozen := map[string]bool{}
		for _, f := range res.Frozen {
			frozen[f.Env] = true
		}
		if broken && !frozen["dev"] {
			rt.Fatal("a folder with a broken file is not frozen")
		}
		for _, c := range res.Changes {
			if frozen[c.Key.Env] {
				rt.Fatalf("a change in a frozen folder: %v", lines(res))
			}
			if foreign[c.Key] && c.Error == nil {
				rt.Fatalf("a change of another repository's stack: %v", lines(res))
			}
		}
	})
}

// TestACauseIsNamedExactlyWhenTheDigestMoved ties the causes to the digest that decides
// whether jobs are the same.
func TestACauseIsNamedExactlyWhenTheDigestMoved(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		w := setup(t, map[string]string{"acme/dev/net.yaml": schematest.Stack("net", "/net", "provisioner: tofu", "variables: {size: 1}")})
		w.converge(t)
		k := key("dev", "net")
		w.change(k, func(s *stackjob.Stack) {
			d := &s.Observed.Desired
			d.Inputs = []byte(rapid.SampledFrom([]string{`{"size":1}`, `{"size":2}`}).Draw(rt, "inputs"))
			d.VarFiles = rapid.SampledFrom([][]string{nil, {"a.tfvars"}}).Draw(rt, "var files")
			d.Module.Path = rapid.SampledFrom([]string{"net", "app"}).Draw(rt, "module")
			d.ModuleRevision = rapid.SampledFrom([]string{d.ModuleRevision, "sha1:b"}).Draw(rt, "revision")
			d.Provisioner = rapid.SampledFrom([]schema.Provisioner{schema.OpenTofu, schema.Terraform}).Draw(rt, "provisioner")
			d.Backend = rapid.SampledFrom([]schema.Backend{{Type: "local"}, {Type: "s3"}, {Type: "local", Config: map[string]string{"path": "x"}}}).Draw(rt, "backend")
			d.File, d.Commit, d.Name = rapid.String().Draw(rt, "file"), "c0", "Other"
		})
		r, _ := w.input.Tree.Resource(k)
		desired, _ := diff.Desire(w.input, r)
		moved := w.stacks[k].Observed.Desired.Digest() != desired.Digest()
		if changes := w.compare().Changes; (len(changes) > 0) != moved {
			rt.Fatalf("digest moved: %v, changes %v", moved, lines(w.compare()))
		}
	})
}

// TestComparingWritesNothing guards the shared values of the input.
func TestComparingWritesNothing(t *testing.T) {
	t.Parallel()
	w := setup(t, threeTier())
	w.converge(t)
	delete(w.files, "acme/dev/app.yaml")
	w.reload(t)
	before := map[schema.ResourceKey]string{}
	for k, s := range w.stacks {
		before[k] = fmt.Sprintf("%+v %+v", *s.Observed, *s.Last)
	}
	w.compare()
	for k, s := range w.stacks {
		if d := cmp.Diff(before[k], fmt.Sprintf("%+v %+v", *s.Observed, *s.Last)); d != "" {
			t.Errorf("%s: %s", k, d)
		}
	}
}

func BenchmarkCompareUnchanged10000(b *testing.B) {
	files := map[string]string{}
	for i := range 10000 {
		vars := []string{fmt.Sprintf("size: %d", i)}
		if i%100 != 0 {
			vars = append(vars, fmt.Sprintf("net: {valueFrom: {kind: TerraformStack, name: s%05d, fieldPath: status.outputs.id}}", i-i%100))
		}
		files[fmt.Sprintf("acme/e%d/s%05d.yaml", i/1000, i)] = stack(fmt.Sprintf("s%05d", i), "net", vars...)
	}
	w := setup(b, files)
	w.converge(b)
	b.ReportAllocs()
	for b.Loop() {
		if res := w.compare(); res.Unchanged != 10000 {
			b.Fatalf("unchanged %d", res.Unchanged)
		}
	}
}
