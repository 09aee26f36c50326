package gitmirror_test

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/ssh"

	"github.com/stackreeve/stackreeve/gitsource"
	"github.com/stackreeve/stackreeve/gitsource/gitmirror"
	"github.com/stackreeve/stackreeve/gitsource/gittest"
	"github.com/stackreeve/stackreeve/gitsource/remote"
)

// packSizes gives the sizes of a cache's packs, by name.
func packSizes(t *testing.T, cache string) map[string]int64 {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(cache, "*.git/objects/pack/*.pack"))
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]int64{}
	for _, n := range names {
		fi, err := os.Stat(n)
		if err != nil {
			t.Fatal(err)
		}
		out[n] = fi.Size()
	}
	return out
}

func TestMirrorOverSSHClonesAndThenFetchesWhatIsNew(t *testing.T) {
	t.Parallel()
	const passphrase = "canary-8841aa"
	repo := gittest.Serve(t).Repo(t, "infra's own!") // what a shell must not see
	noise := make([]byte, 64<<10)
	if _, err := rand.Read(noise); err != nil {
		t.Fatal(err)
	}
	first := repo.Commit("first", map[string]string{"acme/dev/vpc.yaml": "kind: Vpc\n", "noise": hex.EncodeToString(noise)})
	user, key := gittest.SSHKey(t, passphrase)
	stranger, strangerKey := gittest.SSHKey(t, passphrase)
	server := gittest.ServeSSH(t, user)
	pass, hosts := filepath.Join(t.TempDir(), "pass"), server.KnownHosts(t, server.HostKey)
	if err := os.WriteFile(pass, []byte(passphrase), 0o600); err != nil {
		t.Fatal(err)
	}
	cache := t.TempDir()
	s := open(t, gitmirror.Options{URL: server.URL(repo), Cache: cache,
		Credentials: remote.Credentials{SSHKeyFile: key, SSHPassphrase: remote.SecretSource{File: pass}, KnownHosts: hosts}})
	oneSession := func(what string) {
		t.Helper()
		if got := server.Sessions(); len(got) != 1 || !strings.HasPrefix(got[0], "git-upload-pack ") {
			t.Errorf("%s: sessions %q, want one git-upload-pack", what, got)
		}
	}

	one, changed := poll(t, s)
	if !changed || one.Commit != first || one.Branch != "main" || one.Subject != "first" {
		t.Fatalf("changed %v, %+v", changed, one)
	}
	oneSession("clone")
	cloned := packSizes(t, cache)
	if len(cloned) != 1 {
		t.Fatalf("a clone leaves the packs %v", cloned)
	}

	if _, changed := poll(t, s); changed {
		t.Error("nothing is new")
	}
	oneSession("nothing new")

	second := repo.Commit("second", map[string]string{"acme/dev/vpc.yaml": "kind: Subnet\n"})
	two, changed := poll(t, s)
	if !changed || two.Commit != second {
		t.Fatalf("changed %v, %+v", changed, two)
	}
	oneSession("a new commit")
	for name, size := range packSizes(t, cache) {
		if before, ok := cloned[name]; !ok && size > 2048 {
			t.Errorf("the second pack has %d bytes, though three small objects are new", size)
		} else if ok && size != before {
			t.Errorf("%s was written to again", name)
		}
	}
	for r, want := range map[gitsource.Revision]string{one: "kind: Vpc\n", two: "kind: Subnet\n"} {
		snap, err := s.Snapshot(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		if raw, err := fs.ReadFile(snap, "acme/dev/vpc.yaml"); err != nil || string(raw) != want {
			t.Errorf("%s: got %q, %v", r.Short(), raw, err)
		}
		if raw, err := fs.ReadFile(snap, "noise"); err != nil || string(raw) != hex.EncodeToString(noise) {
			t.Errorf("%s: the large file is not what was pushed: %v", r.Short(), err)
		}
	}

	// The files are read at each poll: what is wrong in them shows, and is mended, without
	// a restart.
	repo.Commit("third", map[string]string{"acme/dev/vpc.yaml": "kind: Router\n"})
	for _, tt := range []struct {
		file  string
		wrong []byte
		want  string
	}{
		{key, contentOf(t, strangerKey), "fetch infra: " + server.Addr + " refused the ssh key for user git: "},
		{hosts, contentOf(t, server.KnownHosts(t, stranger)), "fetch infra: the server's ssh host key is not trusted: " + server.Addr +
			" now has the key " + ssh.FingerprintSHA256(server.HostKey) + ", and known_hosts names another"},
	} {
		right := contentOf(t, tt.file)
		write(t, tt.file, tt.wrong)
		r, changed, err := s.Poll(t.Context())
		fetchError(t, err, gitsource.ClassPerson)
		if !strings.HasPrefix(err.Error(), tt.want) || strings.Contains(err.Error(), passphrase) {
			t.Errorf("got %v, want %q", err, tt.want)
		}
		if d := cmp.Diff(two, r); d != "" || changed {
			t.Errorf("the last good state does not hold: changed %v %s", changed, d)
		}
		if got := server.Sessions(); len(got) != 0 {
			t.Errorf("a server that was refused, or refuses, ran %q", got)
		}
		write(t, tt.file, right)
	}
	if r, changed := poll(t, s); !changed || r.Subject != "third" {
		t.Errorf("changed %v, %+v", changed, r)
	}
	oneSession("mended")
}

func contentOf(t *testing.T, name string) []byte {
	t.Helper()
	raw, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func write(t *testing.T, name string, raw []byte) {
	t.Helper()
	if err := errors.Join(os.WriteFile(name+".new", raw, 0o600), os.Rename(name+".new", name)); err != nil {
		t.Fatal(err)
	}
}
