package app_test

import (
	"context"
	"os/exec"
	"syscall"
	"testing"

	"github.com/stackreeve/stackreeve/gitsource"
	"github.com/stackreeve/stackreeve/gitsource/gitmirror"
	"github.com/stackreeve/stackreeve/gitsource/gittest"
	"github.com/stackreeve/stackreeve/internal/api"
	"github.com/stackreeve/stackreeve/internal/tool/tooltest"
	"github.com/stackreeve/stackreeve/schema"
)

// manyByPath are manyFiles as a map.
func manyByPath() map[string]string {
	list := manyFiles()
	out := make(map[string]string, len(list)/2)
	for i := 0; i < len(list); i += 2 {
		out[list[i]] = list[i+1]
	}
	return out
}

// BenchmarkLoadFromMirror loads and validates 10,000 resources, a file each, out of
// a real mirror: cold, as a daemon that starts, and after a commit of one file, as
// one that runs.
func BenchmarkLoadFromMirror(b *testing.B) {
	repo := gittest.Serve(b).Repo(b, "infra")
	files := manyByPath()
	repo.Commit("many", files)
	cache := b.TempDir()
	open := func() *gitmirror.Source {
		s, err := gitmirror.New(gitmirror.Options{Name: "infra", URL: repo.URL, Cache: cache})
		if err != nil {
			b.Fatal(err)
		}
		return s
	}
	poll := func(s *gitmirror.Source) gitsource.Revision {
		r, _, err := s.Poll(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		return r
	}
	load := func(s *gitmirror.Source, l *schema.Loader, r gitsource.Revision) {
		snap, err := s.Snapshot(b.Context(), r)
		if err != nil {
			b.Fatal(err)
		}
		tree, err := l.Load(b.Context(), snap)
		if err != nil {
			b.Fatal(err)
		}
		if n := len(tree.Resources()); n != manyStacks || tree.Diagnostics().HasErrors() {
			b.Fatalf("%d resources, findings %v", n, tree.Diagnostics())
		}
	}
	s := open()
	first := poll(s)
	const one = "acme/env-03/stack-00003.yaml"
	repo.Commit("change", map[string]string{one: files[one] + "    more: value\n"})
	second := poll(s)
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	b.Run("cold", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			s := open()
			load(s, schema.NewLoader(schema.Options{}), first)
			if err := s.Close(); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("one-file", func(b *testing.B) {
		s := open()
		defer func() { _ = s.Close() }()
		l := schema.NewLoader(schema.Options{})
		load(s, l, first)
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			load(s, l, []gitsource.Revision{second, first}[i%2])
		}
	})
}

// BenchmarkValidate runs `reeve validate` on a folder of 10,000 resources and
// reports the most memory that the process held.
func BenchmarkValidate(b *testing.B) {
	exe := buildReeve(b)
	w := newWorld(b, tooltest.OpenTofu(b))
	w.write(manyFiles()...)
	var peak int64
	for b.Loop() {
		cmd := exec.CommandContext(context.Background(), exe, "validate", w.repo)
		if out, err := cmd.CombinedOutput(); err != nil {
			b.Fatalf("validate: %v\n%s", err, out)
		}
		if u, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
			peak = max(peak, u.Maxrss)
		}
	}
	b.ReportMetric(float64(peak)/1024, "peak-MB")
}

// BenchmarkResources lists 10,000 resources with their status, as `reeve get
// resources` asks for them.
func BenchmarkResources(b *testing.B) {
	w := newWorld(b, tooltest.OpenTofu(b))
	w.write(manyFiles()...)
	w.commit("many")
	w.start()
	w.until("the jobs are there", func() bool { return len(w.jobs("")) > 0 }) // all at once
	w.stop()
	w.settle()
	w.start()
	b.ReportAllocs()
	for b.Loop() {
		all, err := w.app.Backend().Resources(b.Context(), api.Filter{})
		if err != nil || len(all) != manyStacks {
			b.Fatal(len(all), err)
		}
	}
}
