package config

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/stackreeve/stackreeve/schema/diag"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// watching is a file that is watched.
type watching struct {
	t       *testing.T
	file    string
	applied chan Config
	reports chan Reload
	refuse  chan error
}

func watch(t *testing.T, text string, o WatchOptions) *watching {
	t.Helper()
	w := &watching{t: t, file: filepath.Join(t.TempDir(), "reeve.yaml"), applied: make(chan Config, 10), reports: make(chan Reload, 10), refuse: make(chan error, 10)}
	w.write(text)
	o.Load = func() (Config, diag.List, error) {
		return Load(Options{Path: w.file, Environ: []string{"XDG_DATA_HOME=/data"}})
	}
	var err error
	if o.Current, _, err = o.Load(); err != nil {
		t.Fatal(err)
	}
	o.Debounce = 20 * time.Millisecond
	o.Apply = func(c Config) error {
		select {
		case err := <-w.refuse:
			return err
		default:
		}
		w.applied <- c
		return nil
	}
	o.Report = func(r Reload) { w.reports <- r }
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- Watch(ctx, o) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return w
}

func (w *watching) write(text string) {
	w.t.Helper()
	if err := os.WriteFile(w.file, []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

// rename saves as editors do: another file, moved over the old one.
func (w *watching) rename(text string) {
	w.t.Helper()
	next := w.file + "~"
	if err := os.WriteFile(next, []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
	if err := os.Rename(next, w.file); err != nil {
		w.t.Fatal(err)
	}
}

func next[T any](t *testing.T, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(2 * time.Minute):
		t.Fatal("nothing was told")
		panic("unreachable")
	}
}

func TestChangedFileTakesEffectHoweverItIsSaved(t *testing.T) {
	t.Parallel()
	w := watch(t, "jobs: {parallel: 3}\n", WatchOptions{})
	w.rename("jobs: {parallel: 4}\n")
	if r, c := next(t, w.reports), next(t, w.applied); !r.Applied || c.Jobs.Parallel != 4 {
		t.Errorf("%+v, %d", r, c.Jobs.Parallel)
	}
	w.rename("jobs: {parallel: 5}\n")
	if r, c := next(t, w.reports), next(t, w.applied); !r.Applied || c.Jobs.Parallel != 5 {
		t.Errorf("%+v, %d", r, c.Jobs.Parallel)
	}
}

func TestSwappedLinkTakesEffect(t *testing.T) {
	t.Parallel()
	// As Kubernetes mounts a ConfigMap: reeve.yaml → ..data/reeve.yaml, ..data → a folder.
	dir := t.TempDir()
	for name, text := range map[string]string{"v1": "jobs: {parallel: 3}\n", "v2": "jobs: {parallel: 4}\n"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name, "reeve.yaml"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	link := func(to, at string) {
		if err := os.Symlink(to, filepath.Join(dir, at)); err != nil {
			t.Fatal(err)
		}
	}
	link("v1", "..data")
	link("..data/reeve.yaml", "reeve.yaml")
	load := func() (Config, diag.List, error) {
		return Load(Options{Path: filepath.Join(dir, "reeve.yaml"), Environ: []string{"XDG_DATA_HOME=/data"}})
	}
	current, _, err := load()
	if err != nil {
		t.Fatal(err)
	}
	applied := make(chan Config, 1)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() {
		done <- Watch(ctx, WatchOptions{Current: current, Load: load, Debounce: time.Millisecond, Apply: func(c Config) error { applied <- c; return nil }})
	}()
	link("v2", "..data_tmp")
	if err := os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")); err != nil {
		t.Fatal(err)
	}
	if c := next(t, applied); c.Jobs.Parallel != 4 {
		t.Errorf("parallel is %d", c.Jobs.Parallel)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestAChangedSecretTakesEffect turns a token as Kubernetes does, by swapping a link, and one as
// a person does, and names one that comes later.
func TestAChangedSecretTakesEffect(t *testing.T) {
	t.Parallel()
	secrets := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(filepath.Join(secrets, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(secrets, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	link := func(to, at string) {
		t.Helper()
		if err := os.Symlink(to, filepath.Join(secrets, "new")); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(secrets, "new"), filepath.Join(secrets, at)); err != nil {
			t.Fatal(err)
		}
	}
	write("v1/token", "canary-first-0123456789")
	write("v2/token", "canary-second-0123456789")
	write("variables/key", "canary-key-1")
	link("v1", "..data")
	link("..data/token", "token")
	text := "tokens: [{name: ci, valueFrom: {file: " + filepath.Join(secrets, "token") + "}}]\n" +
		"jobs: {environment: {KEY: {file: " + filepath.Join(secrets, "variables", "key") + "}}}\n"
	w := watch(t, text, WatchOptions{})
	read := func() (token, key string) {
		t.Helper()
		r, c := next(t, w.reports), next(t, w.applied)
		if !r.Applied {
			t.Fatalf("%+v", r)
		}
		if shown := fmt.Sprintf("%+v %+v", r, c); strings.Contains(shown, "canary") {
			t.Errorf("a secret is shown: %s", shown)
		}
		a, err := c.Tokens[0].ValueFrom.Read(nil)
		if err != nil {
			t.Fatal(err)
		}
		b, err := SecretSource{File: c.Jobs.Environment["KEY"].File}.Read(nil)
		if err != nil {
			t.Fatal(err)
		}
		return a.Reveal(), b.Reveal()
	}
	// What is told first tells that the watch has begun.
	w.rename("# it is watched\n" + text)
	if token, _ := read(); token != "canary-first-0123456789" {
		t.Errorf("token %s", token)
	}
	link("v2", "..data")
	if token, key := read(); token != "canary-second-0123456789" || key != "canary-key-1" {
		t.Errorf("token %s, key %s", token, key)
	}
	write("variables/key", "canary-key-2")
	if _, key := read(); key != "canary-key-2" {
		t.Errorf("key %s", key)
	}
	later := filepath.Join(secrets, "later")
	w.rename("tokens: [{name: ci, valueFrom: {file: " + later + "}}]\njobs: {environment: {KEY: {file: " + later + "}}}\n")
	if r := next(t, w.reports); r.Applied || !r.Diagnostics.HasErrors() {
		t.Errorf("a secret that is not there: %+v", r)
	}
	write("later", "canary-third-0123456789")
	if token, _ := read(); token != "canary-third-0123456789" {
		t.Errorf("token %s", token)
	}
}

func TestBadFileLeavesTheOldConfigurationInForce(t *testing.T) {
	t.Parallel()
	w := watch(t, "jobs: {parallel: 3}\n", WatchOptions{})
	w.rename("jobs: {paralel: 4}\n")
	r := next(t, w.reports)
	if r.Applied || !r.Diagnostics.HasErrors() || r.Diagnostics[0].Hint != `did you mean "parallel"?` {
		t.Errorf("report: %+v", r)
	}
	if err := os.Remove(w.file); err != nil {
		t.Fatal(err)
	}
	if r := next(t, w.reports); r.Applied || !errors.Is(r.Err, os.ErrNotExist) {
		t.Errorf("report of a file that is gone: %+v", r)
	}
	refused := errors.New("refused")
	w.refuse <- refused
	w.rename("jobs: {parallel: 5}\n")
	if r := next(t, w.reports); r.Applied || !errors.Is(r.Err, refused) {
		t.Errorf("report of a refused one: %+v", r)
	}
	w.rename("jobs: {parallel: 6}\n")
	if r, c := next(t, w.reports), next(t, w.applied); !r.Applied || c.Jobs.Parallel != 6 {
		t.Errorf("report: %+v, parallel %d", r, c.Jobs.Parallel)
	}
}

func TestWhatNeedsARestartIsKeptAndNamedAndTheRestTaken(t *testing.T) {
	t.Parallel()
	w := watch(t, "jobs: {parallel: 3}\n", WatchOptions{Fixed: []string{"jobs.retention.keep"}})
	w.rename("listen: 127.0.0.1:9\nsocket: /data/s\njobs: {parallel: 4, retention: {keep: 1}}\n")
	r, c := next(t, w.reports), next(t, w.applied)
	if d := cmp.Diff([]string{"listen", "socket", "jobs.retention.keep"}, r.NeedRestart); d != "" || !r.Applied {
		t.Errorf("needs restart (-want +got):\n%s", d)
	}
	if c.Listen != "127.0.0.1:7468" || c.Socket != "/data/reeve/reeve.sock" || c.Jobs.Retention.Keep != 20 || c.Jobs.Parallel != 4 {
		t.Errorf("applied: %+v", c)
	}
}

func TestTheFileIsReadAgainWhenToldAlthoughItIsTheSame(t *testing.T) {
	t.Parallel()
	again := make(chan os.Signal)
	w := watch(t, "jobs: {parallel: 3}\n", WatchOptions{Again: again})
	again <- os.Interrupt
	if r, c := next(t, w.reports), next(t, w.applied); !r.Applied || c.Jobs.Parallel != 3 {
		t.Errorf("%+v, %d", r, c.Jobs.Parallel)
	}
	w.rename("jobs: {parallel: many}\n")
	if r := next(t, w.reports); r.Applied || !r.Diagnostics.HasErrors() {
		t.Errorf("%+v", r)
	}
}
