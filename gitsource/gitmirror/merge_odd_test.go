package gitmirror_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/google/go-cmp/cmp"

	"github.com/stackreeve/stackreeve/gitsource"
	"github.com/stackreeve/stackreeve/gitsource/gitmirror"
	"github.com/stackreeve/stackreeve/gitsource/gittest"
	"github.com/stackreeve/stackreeve/gitsource/treefs"
)

// raw puts an object into the served repository that git itself would not write.
func raw(t *testing.T, repo *gittest.Repo, kind plumbing.ObjectType, content []byte) plumbing.Hash {
	t.Helper()
	sto := treefs.OpenStorage(repo.Bare)
	o := sto.NewEncodedObject()
	o.SetType(kind)
	w, err := o.Writer()
	if err == nil {
		_, err = w.Write(content)
	}
	var h plumbing.Hash
	if err == nil {
		h, err = sto.SetEncodedObject(o)
	}
	if err = errors.Join(err, sto.Close()); err != nil {
		t.Fatal(err)
	}
	return h
}

type line struct {
	mode, name string
	hash       plumbing.Hash
}

func rawTree(t *testing.T, repo *gittest.Repo, lines ...line) plumbing.Hash {
	t.Helper()
	var text bytes.Buffer
	for _, l := range lines {
		text.WriteString(l.mode + " " + l.name + "\x00")
		text.Write(l.hash[:])
	}
	return raw(t, repo, plumbing.TreeObject, text.Bytes())
}

// proposeRaw makes a commit of a tree the head of pull request 7.
func proposeRaw(t *testing.T, repo *gittest.Repo, parent string, tree plumbing.Hash) string {
	t.Helper()
	text := fmt.Sprintf("tree %s\nparent %s\nauthor Eve <e> 1700000000 +0000\ncommitter Eve <e> 1700000000 +0000\n\nodd\n", tree, parent)
	h := raw(t, repo, plumbing.CommitObject, []byte(text)).String()
	setRef(t, repo, h)
	return h
}

func setRef(t *testing.T, repo *gittest.Repo, commit string) {
	t.Helper()
	name := filepath.Join(repo.Bare, filepath.FromSlash(gittest.Ref(7)))
	if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o700), os.WriteFile(name, []byte(commit+"\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
}

func TestOddTreesOfAHeadHarmNobody(t *testing.T) {
	t.Parallel()
	for name, tree := range map[string]func(*testing.T, *gittest.Repo, plumbing.Hash) []line{
		"a path out of the tree": func(t *testing.T, r *gittest.Repo, a plumbing.Hash) []line {
			return []line{line{"40000", "..", rawTree(t, r, line{"100644", "escaped", a})}, line{"100644", "a", a}, line{"100644", "b", a}}
		},
		"a path out of the tree, deeper": func(t *testing.T, r *gittest.Repo, a plumbing.Hash) []line {
			return []line{line{"100644", "a", a}, line{"40000", "d", rawTree(t, r, line{"40000", "..", rawTree(t, r, line{"100644", "escaped", a})})}}
		},
		"a slash in a name": func(t *testing.T, r *gittest.Repo, a plumbing.Hash) []line {
			return []line{line{"100644", "../escaped", a}, line{"100644", "a", a}}
		},
		"a folder of Git": func(t *testing.T, r *gittest.Repo, a plumbing.Hash) []line {
			return []line{line{"40000", ".git", rawTree(t, r, line{"100644", "config", a})}, line{"100644", "a", a}}
		},
		"a name twice": func(t *testing.T, r *gittest.Repo, a plumbing.Hash) []line {
			return []line{line{"100644", "a", a}, line{"100644", "a", a}, line{"40000", "a", rawTree(t, r, line{"100644", "x", a})}}
		},
		"not sorted": func(t *testing.T, r *gittest.Repo, a plumbing.Hash) []line {
			return []line{line{"100644", "z", a}, line{"100644", "a", a}, line{"100644", "m", a}}
		},
		"odd modes": func(t *testing.T, r *gittest.Repo, a plumbing.Hash) []line {
			return []line{line{"100664", "a", a}, line{"104755", "setuid", a}, line{"120000", "link", a}}
		},
		"deep": func(t *testing.T, r *gittest.Repo, a plumbing.Hash) []line {
			h := rawTree(t, r, line{"100644", "x", a})
			for range 500 {
				h = rawTree(t, r, line{"40000", "d", h})
			}
			return []line{line{"100644", "a", a}, line{"40000", "d", h}}
		},
		"wide": func(t *testing.T, r *gittest.Repo, a plumbing.Hash) []line {
			lines := []line{{"100644", "a", a}}
			for i := range 30_000 {
				lines = append(lines, line{"100644", fmt.Sprintf("f%06d", i), a})
			}
			return lines
		},
		"nothing": func(t *testing.T, r *gittest.Repo, _ plumbing.Hash) []line { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, repo := setup(t)
			first := repo.Commit("first", map[string]string{"a": "1", "keep/k": "1"})
			base := repo.Commit("second", map[string]string{"keep/k": "2"})
			good := repo.Propose(8, first, map[string]string{"a": "2"})
			lines := tree(t, repo, raw(t, repo, plumbing.BlobObject, []byte("content")))
			lines = append(lines, line{"40000", "keep", plumbing.NewHash(repo.Git("rev-parse", first+":keep"))})
			if name != "not sorted" {
				slices.SortStableFunc(lines, func(a, b line) int { return strings.Compare(a.name, b.name) })
			}
			head := proposeRaw(t, repo, first, rawTree(t, repo, lines...))
			var log bytes.Buffer
			outer := t.TempDir()
			s := open(t, gitmirror.Options{URL: repo.URL, Cache: filepath.Join(outer, "in", "cache"), Log: slog.New(slog.NewTextHandler(&log, nil))})
			m, err := s.Merge(t.Context(), seven(head))
			switch {
			case err != nil:
				fetchError(t, err, gitsource.ClassPerson)
			case m.Refused == "":
				snap, err := s.Snapshot(t.Context(), m.Revision)
				if err != nil {
					if !errors.Is(err, treefs.ErrName) {
						t.Errorf("the snapshot: %v", err)
					}
					break
				}
				for b, err := range snap.Blobs() {
					if err != nil && !errors.Is(err, treefs.ErrName) {
						t.Errorf("the snapshot: %v", err)
					}
					if strings.Contains(b.Path, "..") {
						t.Errorf("the snapshot holds %q", b.Path)
					}
				}
			case len(m.Conflicts) == 0:
				t.Errorf("refused without a conflict: %+v", m)
			}
			if r, _ := poll(t, s); r.Commit != base {
				t.Errorf("the poll gives %+v", r)
			}
			next := merge(t, s, gitsource.Head{Name: "8", Ref: gittest.Ref(8), Commit: good})
			if read(t, s, next.Revision, "a") != "2" || read(t, s, next.Revision, "keep/k") != "2" {
				t.Errorf("another head is merged wrong: %+v", next)
			}
			if log.Len() > 0 {
				t.Errorf("the log says: %s", log.String())
			}
			err = filepath.WalkDir(outer, func(p string, d fs.DirEntry, err error) error {
				if err == nil && strings.Contains(d.Name(), "escaped") {
					t.Errorf("%s was written", p)
				}
				return err
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
}

// What a commit says of itself was written by anybody: it has to fit in a line and in JSON.
func TestOddCommitsAreDescribed(t *testing.T) {
	t.Parallel()
	_, repo := setup(t)
	first := repo.Commit("first", map[string]string{"a": "1"})
	repo.Commit("second", map[string]string{"b": "1"})
	tree := repo.Git("rev-parse", first+"^{tree}")
	for name, tt := range map[string]struct{ by, message, subject, author string }{
		"far away": {"Eve <e> 99999999999999 +0000", "odd", "odd", "Eve"},
		"before":   {"Eve <e> -99999999999999 +0000", "odd", "odd", "Eve"},
		"bytes":    {"E\xffve\x1b[31m <e> 1700000000 +0000", "o\x00d\xffd\x07\r\nrest", "od\ufffdd", "E\ufffdve[31m"},
		"endless":  {"Eve <e> 1700000000 +0000", strings.Repeat("x", 1<<20), strings.Repeat("x", 1000), "Eve"},
		"nobody":   {" <> 0 +0000", "", "", ""},
	} {
		text := fmt.Sprintf("tree %s\nparent %s\nauthor %s\ncommitter %s\n\n%s", tree, first, tt.by, tt.by, tt.message)
		head := raw(t, repo, plumbing.CommitObject, []byte(text)).String()
		setRef(t, repo, head)
		s := open(t, gitmirror.Options{URL: repo.URL})
		m := merge(t, s, seven(head))
		if m.Head.Subject != tt.subject || m.Head.Author != tt.author || m.Refused != "" {
			t.Errorf("%s: got %.200q by %q, %s", name, m.Head.Subject, m.Head.Author, m.Refused)
		}
		if _, err := json.Marshal(m); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if at := m.Revision.CommittedAt; at.Before(m.Base.CommittedAt) {
			t.Errorf("%s: the merge is of %s", name, at)
		}
		if got := read(t, s, m.Revision, "b"); got != "1" {
			t.Errorf("%s: b is %q", name, got)
		}
	}
}

func TestMergeIsDatedLikeTheNewerOfTheTwo(t *testing.T) {
	t.Parallel()
	old, newer := time.Unix(1_600_000_000, 0), time.Unix(1_700_000_000, 0)
	at := func(when time.Time) string { return fmt.Sprintf("%d +0530", when.Unix()) }
	for _, tt := range []struct{ base, head time.Time }{{old, newer}, {newer, old}} {
		_, repo := setup(t)
		first := repo.Commit("first", map[string]string{"a": "1"})
		commit := func(when time.Time, tree string) string {
			return raw(t, repo, plumbing.CommitObject, fmt.Appendf(nil, "tree %s\nparent %s\nauthor E <e> %s\ncommitter E <e> %s\n\nx\n",
				tree, first, at(when), at(when))).String()
		}
		tree := repo.Git("rev-parse", "HEAD^{tree}")
		setRef(t, repo, commit(tt.head, tree))
		repo.Git("--git-dir", repo.Bare, "update-ref", "refs/heads/main", commit(tt.base, tree))
		s := open(t, gitmirror.Options{URL: repo.URL})
		if m := merge(t, s, gitsource.Head{Name: "7", Ref: gittest.Ref(7)}); !m.Revision.CommittedAt.Equal(newer) {
			t.Errorf("got %s", m.Revision.CommittedAt)
		}
	}
}

func TestRefThatIsNoCommitIsAnError(t *testing.T) {
	t.Parallel()
	_, repo := setup(t)
	repo.Commit("first", map[string]string{"a": "1"})
	setRef(t, repo, repo.Git("rev-parse", "HEAD:a"))
	s := open(t, gitmirror.Options{URL: repo.URL})
	if m, err := s.Merge(t.Context(), gitsource.Head{Name: "7", Ref: gittest.Ref(7)}); err == nil {
		t.Errorf("got %+v", m)
	}
	poll(t, s)
	// A tag is the commit behind it.
	repo.Git("tag", "-a", "-m", "tag", "v1", "HEAD")
	repo.Git("push", "-q", "origin", "v1")
	if m := merge(t, s, gitsource.Head{Name: "7", Ref: "refs/tags/v1"}); m.Head.Subject != "first" || m.Revision != m.Base {
		t.Errorf("got %+v", m)
	}
}

func TestDamagedMirrorMergesAnew(t *testing.T) {
	t.Parallel()
	_, repo := setup(t)
	first := repo.Commit("first", map[string]string{"a": "1", "b": "1"})
	head := repo.Propose(7, first, map[string]string{"b": "2"})
	repo.Commit("second", map[string]string{"a": "2"})
	cache := t.TempDir()
	s := open(t, gitmirror.Options{URL: repo.URL, Cache: cache})
	m := merge(t, s, seven(head))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	packs, err := filepath.Glob(filepath.Join(cache, "*.git/objects/pack/*.pack"))
	if err != nil || len(packs) == 0 {
		t.Fatal(packs, err)
	}
	for _, p := range packs {
		if err := errors.Join(os.Chmod(p, 0o600), os.Truncate(p, 40)); err != nil {
			t.Fatal(err)
		}
	}
	s = open(t, gitmirror.Options{URL: repo.URL, Cache: cache})
	if _, err := s.Snapshot(t.Context(), m.Revision); err == nil {
		t.Error("the merge is there, from a damaged mirror")
	}
	if again := merge(t, s, seven(head)); cmp.Diff(m, again) != "" {
		t.Error(cmp.Diff(m, again))
	}
	if read(t, s, m.Revision, "b") != "2" {
		t.Error("the merge cannot be read")
	}
}
