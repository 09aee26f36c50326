package treefs_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/stackreeve/stackreeve/gitsource"
	"github.com/stackreeve/stackreeve/gitsource/gittest"
	"github.com/stackreeve/stackreeve/gitsource/treefs"
)

// refusing is a store that the system does not let us read, as long as err is set.
type refusing struct {
	treefs.Objects
	err *error
}

func (r refusing) EncodedObject(t plumbing.ObjectType, h plumbing.Hash) (plumbing.EncodedObject, error) {
	if *r.err != nil {
		return nil, *r.err
	}
	return r.Objects.EncodedObject(t, h)
}

func TestReadThatTheSystemRefusesIsNoDamage(t *testing.T) {
	t.Parallel()
	repo := gittest.Serve(t).Repo(t, "infra")
	commit := plumbing.NewHash(repo.Commit("first", map[string]string{"a": "1"}))
	var refusal error
	s, err := treefs.NewStore(func() (treefs.Objects, error) {
		return refusing{treefs.OpenStorage(repo.Bare), &refusal}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, code := range []syscall.Errno{syscall.EMFILE, syscall.EACCES, syscall.EIO} {
		refusal = &fs.PathError{Op: "open", Path: "pack", Err: code}
		if _, err := s.Commit(commit); !errors.Is(err, code) || errors.Is(err, treefs.ErrDamaged) || s.Damaged() != nil {
			t.Errorf("%v: got %v, damage %v", code, err, s.Damaged())
		}
	}
	refusal = nil
	if _, err := s.Commit(commit); err != nil {
		t.Error(err)
	}
	if _, err := s.Commit(plumbing.NewHash(strings.Repeat("1", 40))); !errors.Is(err, treefs.ErrMissing) || s.Damaged() != nil {
		t.Errorf("an object that is not there: got %v, damage %v", err, s.Damaged())
	}
}

func TestObjectThatIsNotWhatItsNameSaysIsDamage(t *testing.T) {
	t.Parallel()
	repo := gittest.Serve(t).Repo(t, "infra")
	repo.Commit("first", map[string]string{"a/b": "1", "c/d": "2", "e": "3"})
	object := func(name string) string {
		h := repo.Git("rev-parse", name)
		return filepath.Join(repo.Bare, "objects", h[:2], h[2:])
	}
	// A whole object, under the name of another: a folder, and a file.
	for name, other := range map[string]string{"HEAD:a": "HEAD:c", "HEAD:e": "HEAD:c/d"} {
		raw, err := os.ReadFile(object(other))
		if err == nil {
			err = errors.Join(os.Remove(object(name)), os.WriteFile(object(name), raw, 0o600))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	s, err := treefs.OpenStore(repo.Bare)
	if err != nil {
		t.Fatal(err)
	}
	snap, err := s.NewSnapshot(gitsource.Revision{}, plumbing.NewHash(repo.Git("rev-parse", "HEAD^{tree}")))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fs.ReadDir(snap, "a"); !errors.Is(err, treefs.ErrDamaged) || s.Damaged() == nil {
		t.Errorf("the folder: got %v, want ErrDamaged", err)
	}
	if err := s.Reopen(); err != nil || s.Damaged() == nil {
		t.Errorf("the damage is forgotten before it is mended: %v", err)
	}
	if raw, err := fs.ReadFile(snap, "e"); !errors.Is(err, treefs.ErrDamaged) {
		t.Errorf("the file: got %q, %v, want ErrDamaged", raw, err)
	}
}

func TestTreeMayNotNamePathsOutOfIt(t *testing.T) {
	t.Parallel()
	repo := gittest.Serve(t).Repo(t, "infra")
	blob := plumbing.NewHash(repo.Commit("first", map[string]string{"a": "1"}))
	s, err := treefs.OpenStore(repo.Bare)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"..", ".", "../x", "a/b"} {
		sto := treefs.OpenStorage(repo.Bare)
		o := &plumbing.MemoryObject{}
		o.SetType(plumbing.TreeObject)
		if _, err := o.Write(append([]byte("100644 "+name+"\x00"), blob[:]...)); err != nil {
			t.Fatal(err)
		}
		h, err := sto.SetEncodedObject(o)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.NewSnapshot(gitsource.Revision{}, h); !errors.Is(err, treefs.ErrName) || s.Damaged() != nil {
			t.Errorf("%q: got %v, damage %v", name, err, s.Damaged())
		}
	}
}

// Linux names files by bytes: a name that is no UTF-8 is a name.
func TestFilesOfAnyNameAreRead(t *testing.T) {
	t.Parallel()
	repo := gittest.Serve(t).Repo(t, "infra")
	files := map[string]string{"README.md": "1", "readme.md": "2", "caf\u00e9.yaml": "nfc", "cafe\u0301.yaml": "nfd",
		"latin-\xe9/a\xff.yaml": "bytes", "tab\there": "t", strings.Repeat("d/", 300) + "x.yaml": "deep"}
	repo.Commit("first", files)
	repo.Git("update-index", "--add", "--cacheinfo", "160000,"+strings.Repeat("1", 40)+",submodule")
	repo.Git("commit", "-q", "-m", "a submodule")
	s, err := treefs.OpenStore(filepath.Join(repo.Work, ".git"))
	if err != nil {
		t.Fatal(err)
	}
	snap, err := s.NewSnapshot(gitsource.Revision{}, plumbing.NewHash(repo.Git("rev-parse", "HEAD^{tree}")))
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	err = fs.WalkDir(snap, ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		raw, err := fs.ReadFile(snap, p)
		got[p] = string(raw)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range files {
		if got[name] != want {
			t.Errorf("%.40q is %q, want %q", name, got[name], want)
		}
	}
	if len(got) != len(files) {
		t.Errorf("%d files, want %d", len(got), len(files))
	}
	for _, bad := range []string{"/a", "a/", "../a", "latin-\xe9/../README.md", ""} {
		if _, err := fs.Stat(snap, bad); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("%q: got %v, want ErrInvalid", bad, err)
		}
	}
}
