package remote_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stackreeve/stackreeve/gitsource"
	"github.com/stackreeve/stackreeve/gitsource/gittest"
	"github.com/stackreeve/stackreeve/gitsource/remote"
)

func TestSSHWantsAKnownHostAndAKey(t *testing.T) {
	t.Parallel()
	const passphrase = "canary-passphrase"
	repo := gittest.Serve(t).Repo(t, "infra")
	commit := repo.Commit("first", map[string]string{"a": "1"})
	user, userKey := gittest.SSHKey(t, passphrase)
	_, strangerKey := gittest.SSHKey(t, passphrase)
	other, _ := gittest.SSHKey(t, "")
	server := gittest.ServeSSH(t, user)
	known, empty, changed := server.KnownHosts(t, server.HostKey), server.KnownHosts(t), server.KnownHosts(t, other)
	pass := filepath.Join(t.TempDir(), "pass")
	if err := os.WriteFile(pass, []byte(passphrase+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, key, hosts, url, want string
	}{
		{"right", userKey, known, server.URL(repo), ""},
		{"unknown host", userKey, empty, server.URL(repo), "not in known_hosts"},
		{"changed host", userKey, changed, server.URL(repo), "names another"},
		{"wrong key", strangerKey, known, server.URL(repo), "refused the ssh key"},
		{"no repository", userKey, known, "ssh://git@" + server.Addr + "/nowhere.git", "the server said: fatal: '/nowhere.git'"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r, err := remote.New(remote.Options{Name: "infra", URL: tt.url,
				Credentials: remote.Credentials{SSHKeyFile: tt.key, SSHPassphrase: remote.SecretSource{File: pass}, KnownHosts: tt.hosts}})
			if err != nil {
				t.Fatal(err)
			}
			s, err := r.Connect(t.Context())
			if tt.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				defer s.Close()
				if h, err := s.Branch("main"); err != nil || h.String() != commit {
					t.Errorf("got %s, %v", h, err)
				}
				return
			}
			var fe *gitsource.FetchError
			if !errors.As(err, &fe) || fe.Class != gitsource.ClassPerson || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "canary") {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

// Forges frame what they have to say, and a hostile server may never stop saying it.
func TestSSHServerThatRefusesIsQuotedBriefly(t *testing.T) {
	t.Parallel()
	repo := gittest.Serve(t).Repo(t, "infra")
	user, key := gittest.SSHKey(t, "")
	server := gittest.ServeSSH(t, user)
	r, err := remote.New(remote.Options{Name: "infra", URL: server.URL(repo),
		Credentials: remote.Credentials{SSHKeyFile: key, KnownHosts: server.KnownHosts(t, server.HostKey)}})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ name, said, want string }{
		{"framed", "\r\nremote: \r\nremote: ========\r\nremote: \r\nremote: ERROR: The project was not found.\r\nremote: \r\n",
			"fetch infra: the server said: ERROR: The project was not found."},
		{"coloured", "\x1b[31mno\x07 access\x1b[0m\n", "fetch infra: the server said: no access"},
		{"endless", strings.Repeat("x", 1<<20), "fetch infra: the server said: " + strings.Repeat("x", 500) + "…"},
		{"only a frame", "remote: \nremote: =====\n", "fetch infra: the server said nothing and ended the session: unexpected EOF"},
	} {
		server.Answer(func(_ string, _, stderr io.Writer) bool { _, _ = fmt.Fprint(stderr, tt.said); return true })
		_, err := r.Connect(t.Context())
		if err == nil || err.Error() != tt.want {
			t.Errorf("%s: got %.700v, want %q", tt.name, err, tt.want)
		}
	}
}
