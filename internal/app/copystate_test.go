package app

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/stackreeve/stackreeve/reconciler"
	"github.com/stackreeve/stackreeve/schema"
)

func TestAStateThatIsBeingWrittenIsReadWhole(t *testing.T) {
	t.Parallel()
	versions := []string{"", `{"version": 4, "reso`, `{"version": 4, "resources": []}`}
	read := func() ([]byte, error) {
		b := []byte(versions[0])
		versions = versions[1:]
		return b, nil
	}
	if got, err := wholeState(t.Context(), read); err != nil || string(got) != `{"version": 4, "resources": []}` || len(versions) > 0 {
		t.Errorf("%q, %v, left %q", got, err, versions)
	}
	// A damaged one is the engine's to refuse.
	if got, err := wholeState(t.Context(), func() ([]byte, error) { return []byte("{"), nil }); err != nil || string(got) != "{" {
		t.Errorf("%q, %v", got, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := wholeState(ctx, func() ([]byte, error) { return nil, nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("err = %v", err)
	}
}

// renamed is a folder of states in which a file is renamed between the look at the folder and
// the one at the file.
type renamed struct {
	fstest.MapFS
	gone string
}

func (r renamed) Open(name string) (fs.File, error) {
	if name == r.gone {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return r.MapFS.Open(name)
}

func (r renamed) ReadFile(name string) ([]byte, error) {
	if _, err := r.Open(name); err != nil {
		return nil, err
	}
	return r.MapFS.ReadFile(name)
}

func TestStatesOfPulumiAreCopiedWhileItWritesThem(t *testing.T) {
	t.Parallel()
	file := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text), Mode: 0o600} }
	from := renamed{gone: "stacks/web/dev.json.attrs", MapFS: fstest.MapFS{
		"meta.yaml": file("version: 1"), "stacks/web/dev.json": file("{}"), "stacks/web/dev.json.bak": file("{ }"), "stacks/web/dev.json.attrs": file("x"),
		"stacks/web/dev.json.18a7.tmp": file("{"), "locks/web/dev/1.json": file("{}"), "history/web/dev.json": file("{}")}}
	to := t.TempDir()
	if err := copyStacks(from, to); err != nil {
		t.Fatal(err)
	}
	var got []string
	err := fs.WalkDir(os.DirFS(to), ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			got = append(got, name)
		}
		return err
	})
	if diff := cmp.Diff([]string{"meta.yaml", "stacks/web/dev.json", "stacks/web/dev.json.bak"}, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	broken := errors.New("the disk is gone")
	if err := ifThere(broken); !errors.Is(err, broken) {
		t.Errorf("err = %v", err)
	}
}

func TestAStackWithoutAStateHasNoneToCopy(t *testing.T) {
	t.Parallel()
	from, to := t.TempDir(), t.TempDir()
	k := schema.ResourceKey{Org: "acme", Env: "dev", Kind: "TerraformStack", Name: "a"}
	if err := copyState(t.Context(), from, to, k); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(to); err != nil || len(left) > 0 {
		t.Errorf("%v, %v", left, err)
	}
	at, scratch := reconciler.Layout{Root: from}, reconciler.Layout{Root: to}
	for path, text := range map[string]string{at.State(k): `{"version": 4}`, filepath.Join(at.PulumiState(k), ".pulumi", "stacks", "web", "dev.json"): "{}"} {
		if err := putFile(path, []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := copyState(t.Context(), from, to, k); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{scratch.State(k): `{"version": 4}`, filepath.Join(scratch.PulumiState(k), ".pulumi", "stacks", "web", "dev.json"): "{}"} {
		if b, err := os.ReadFile(path); err != nil || string(b) != want {
			t.Errorf("%s: %q, %v", path, b, err)
		}
	}
}
