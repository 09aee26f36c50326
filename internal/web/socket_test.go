package web

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"net/http/httptest"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stackreeve/stackreeve/internal/api"
	"github.com/stackreeve/stackreeve/internal/config"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
)

// folder is a folder whose path leaves room for a socket's name.
func folder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "reeve")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func TestSocketIsForItsOwnerOnly(t *testing.T) {
	t.Parallel()
	path := filepath.Join(folder(t), "s")
	ln, err := ListenSocket(path, "")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close() //nolint:errcheck // the test is over
	if st, err := os.Lstat(path); err != nil || st.Mode() != fs.ModeSocket|0o600 {
		t.Errorf("mode %v, %v", st.Mode(), err)
	}
	if ln.group {
		t.Error("a group was let in that nobody named")
	}
}

func TestSocketCanBeGivenToAGroup(t *testing.T) {
	t.Parallel()
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	g, err := user.LookupGroupId(me.Gid)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(folder(t), "s")
	ln, err := ListenSocket(path, g.Name)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close() //nolint:errcheck // the test is over
	if st, err := os.Lstat(path); err != nil || st.Mode() != fs.ModeSocket|0o660 || !ln.group {
		t.Errorf("mode %v, %v", st.Mode(), err)
	}
	_, err = ListenSocket(filepath.Join(folder(t), "s"), "no-such-group-here")
	if err == nil || !strings.Contains(err.Error(), "socketGroup") {
		t.Errorf("an unknown group: %v", err)
	}
}

func TestStaleSocketIsReplacedAndALiveOneIsNot(t *testing.T) {
	t.Parallel()
	path := filepath.Join(folder(t), "s")
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	dead.SetUnlinkOnClose(false) // as after kill -9
	if err := dead.Close(); err != nil {
		t.Fatal(err)
	}
	if err := Ping(t.Context(), path); err == nil {
		t.Error("a dead socket answers")
	}
	live, err := ListenSocket(path, "")
	if err != nil {
		t.Fatalf("the stale socket is in the way: %v", err)
	}
	defer live.Close() //nolint:errcheck // the test is over
	if err := Ping(t.Context(), path); err != nil {
		t.Errorf("a live socket does not answer: %v", err)
	}
	if _, err := ListenSocket(path, ""); !errors.Is(err, ErrSocketInUse) || !strings.Contains(err.Error(), path) {
		t.Errorf("a live socket was taken over: %v", err)
	}
	if err := Ping(t.Context(), path); err != nil {
		t.Errorf("the live socket was harmed: %v", err)
	}
}

func TestFileInThePlaceOfTheSocketIsLeftAlone(t *testing.T) {
	t.Parallel()
	path := filepath.Join(folder(t), "s")
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ListenSocket(path, ""); err == nil {
		t.Error("a file was taken for a socket")
	}
	if b, err := os.ReadFile(path); err != nil || string(b) != "precious" {
		t.Errorf("the file is %q, %v", b, err)
	}
}

func TestOnlyRootAndTheDaemonsUserActThroughTheSocket(t *testing.T) {
	t.Parallel()
	s := &Server{user: func(uint32) string { return "someone" }}
	own := uint32(os.Geteuid()) //nolint:gosec // a user id is never negative here
	for name, c := range map[string]struct {
		e     entrance
		p     any
		allow bool
	}{
		"root":                       {entrance{socket: true}, peer{uid: 0}, true},
		"the daemon's own user":      {entrance{socket: true}, peer{uid: own}, true},
		"another user":               {entrance{socket: true}, peer{uid: own + 4711}, false},
		"another user of the group":  {entrance{socket: true, group: true}, peer{uid: own + 4711}, true},
		"nobody was asked":           {entrance{socket: true, group: true}, nil, false},
		"a peer that cannot be told": {entrance{socket: true, group: true}, peer{err: errors.New("no")}, false},
	} {
		for _, method := range []string{"GET", "POST"} {
			r := httptest.NewRequest(method, "/api/v1/jobs", nil)
			r = r.WithContext(context.WithValue(r.Context(), peerKey{}, c.p))
			got, problem := s.admit(c.e, r)
			want := caller{actor: stackjob.Actor{Name: "someone", Via: "socket"}, role: config.RoleWrite}
			if c.allow && (problem != nil || got != want) || !c.allow && (problem == nil || problem.Code != api.CodeForbidden) {
				t.Errorf("%s, %s: %+v, %v", name, method, got, problem)
			}
		}
	}
}

func TestEveryErrorCodeHasAStatusAndATitle(t *testing.T) {
	t.Parallel()
	titles := map[string]api.ErrorCode{}
	for _, c := range api.ErrorCodes() {
		if s := c.Status(); s < 400 || s > 599 || c != api.CodeInternal && s == 500 {
			t.Errorf("%s has the status %d", c, s)
		}
		if first, ok := titles[c.Title()]; ok {
			t.Errorf("%s and %s have the same title", first, c)
		}
		titles[c.Title()] = c
	}
}

func FuzzWholeCharacters(f *testing.F) {
	for _, s := range []string{"", "a", "é", "\xe2\x82", "\xf0\x9f\x98", "\xff", "a\xc3", "€\xe2"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		whole, rest := wholeCharacters(p)
		if string(whole)+string(rest) != string(p) || len(rest) > 3 {
			t.Fatalf("%q became %q and %q", p, whole, rest)
		}
	})
}
