package meter_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/stackreeve/stackreeve/gitsource"
	"github.com/stackreeve/stackreeve/gitsource/folder"
	"github.com/stackreeve/stackreeve/gitsource/gitmirror"
	"github.com/stackreeve/stackreeve/gitsource/gittest"
	"github.com/stackreeve/stackreeve/gitsource/meter"
)

// counts gives every series' value; a histogram's is how many it has observed.
func counts(t *testing.T, reg *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetName()+"="+l.GetValue())
			}
			n := m.GetCounter().GetValue()
			if h := m.GetHistogram(); h != nil {
				n = float64(h.GetSampleCount())
			}
			out[fmt.Sprintf("%s{%s}", strings.TrimPrefix(f.GetName(), "reeve_gitsource_"), strings.Join(labels, ","))] = n
		}
	}
	return out
}

func TestPollsOfMirrorsAndFoldersAreCountedAlike(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	m := meter.New(reg)
	repo := gittest.Serve(t).Repo(t, "infra")
	local := filepath.Join(t.TempDir(), "local")
	if err := os.Mkdir(local, 0o700); err != nil {
		t.Fatal(err)
	}
	mirror, err := gitmirror.New(gitmirror.Options{Name: "far", URL: repo.URL, Cache: t.TempDir(), Meter: m})
	if err != nil {
		t.Fatal(err)
	}
	near, err := folder.New(folder.Options{Name: "near", Path: local, Cache: t.TempDir(), Meter: m})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(mirror.Close(), near.Close()); err != nil {
			t.Error(err)
		}
	})
	want := map[string]float64{}
	for _, s := range []string{"repository=far,%ssource=mirror", "repository=near,%ssource=folder"} {
		for _, result := range []string{"changed", "unchanged", "failed"} {
			want["poll_seconds{"+fmt.Sprintf(s, "result="+result+",")+"}"] = 0
		}
		name, kind, _ := strings.Cut(s, ",%s")
		for _, class := range []string{"wait", "person"} {
			want["errors_total{class="+class+","+name+","+kind+"}"] = 0
		}
	}
	want["fetches_total{repository=far}"] = 0
	if d := cmp.Diff(want, counts(t, reg)); d != "" {
		t.Fatalf("before the first poll: %s", d)
	}

	repo.Commit("first", map[string]string{"a": "1"})
	if err := os.WriteFile(filepath.Join(local, "a"), []byte("1"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, s := range []gitsource.Source{mirror, near} {
		for range 3 {
			if _, _, err := s.Poll(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, gone := range []string{repo.Bare, local} {
		if err := os.RemoveAll(gone); err != nil {
			t.Fatal(err)
		}
	}
	for _, s := range []gitsource.Source{mirror, near} {
		if _, _, err := s.Poll(t.Context()); err == nil {
			t.Errorf("the poll of %s, which is gone, succeeded", s.Name())
		}
	}
	for _, s := range []string{"repository=far,result=%s,source=mirror", "repository=near,result=%s,source=folder"} {
		want["poll_seconds{"+fmt.Sprintf(s, "changed")+"}"] = 1
		want["poll_seconds{"+fmt.Sprintf(s, "unchanged")+"}"] = 2
		want["poll_seconds{"+fmt.Sprintf(s, "failed")+"}"] = 1
	}
	want["errors_total{class=person,repository=far,source=mirror}"] = 1
	want["errors_total{class=person,repository=near,source=folder}"] = 1
	want["fetches_total{repository=far}"] = 1
	if d := cmp.Diff(want, counts(t, reg)); d != "" {
		t.Error(d)
	}
}

func TestNoMeterCountsNothing(t *testing.T) {
	t.Parallel()
	var m *meter.Meter
	p := m.Polls("infra", meter.Mirror)
	p.Fetched()
	want := errors.New("lost")
	if _, _, err := p.Time(func() (gitsource.Revision, bool, error) { return gitsource.Revision{}, false, want }); !errors.Is(err, want) {
		t.Errorf("got %v, want what the poll returned", err)
	}
}
