package remote_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"github.com/stackreeve/stackreeve/gitsource"
	"github.com/stackreeve/stackreeve/gitsource/gittest"
	"github.com/stackreeve/stackreeve/gitsource/remote"
)

func key(t *testing.T) (ssh.Signer, []byte) {
	t.Helper()
	_, priv, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(priv)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKeyWithPassphrase(priv, "", []byte("canary-passphrase"))
	if err != nil {
		t.Fatal(err)
	}
	return signer, pem.EncodeToMemory(block)
}

// serveSSH runs git-upload-pack for whoever has the key, and returns its address.
func serveSSH(t *testing.T, host ssh.Signer, allowed ssh.PublicKey) string {
	t.Helper()
	cfg := &ssh.ServerConfig{PublicKeyCallback: func(_ ssh.ConnMetadata, k ssh.PublicKey) (*ssh.Permissions, error) {
		if string(k.Marshal()) != string(allowed.Marshal()) {
			return nil, errors.New("unknown key")
		}
		return &ssh.Permissions{}, nil
	}}
	cfg.AddHostKey(host)
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go serveConn(c, cfg)
		}
	}()
	return l.Addr().String()
}

func serveConn(c net.Conn, cfg *ssh.ServerConfig) {
	_, chans, reqs, err := ssh.NewServerConn(c, cfg)
	if err != nil {
		return
	}
	go ssh.DiscardRequests(reqs)
	for nc := range chans {
		ch, rs, err := nc.Accept()
		if err != nil {
			return
		}
		for r := range rs {
			_ = r.Reply(r.Type == "exec", nil)
			if r.Type != "exec" {
				continue
			}
			cmd := exec.Command("sh", "-c", string(r.Payload[4:])) //nolint:gosec,noctx // a test's own words
			cmd.Stdout, cmd.Stderr = ch, ch.Stderr()
			in, _ := cmd.StdinPipe()
			go func() { _, _ = io.Copy(in, ch); _ = in.Close() }()
			_ = cmd.Run()
			_, _ = ch.SendRequest("exit-status", false, []byte{0, 0, 0, 0})
			_ = ch.Close()
		}
	}
}

func TestSSHWantsAKnownHostAndAKey(t *testing.T) {
	t.Parallel()
	repo := gittest.Serve(t).Repo(t, "infra")
	commit := repo.Commit("first", map[string]string{"a": "1"})
	host, _ := key(t)
	user, userPEM := key(t)
	other, _ := key(t)
	addr := serveSSH(t, host, user.PublicKey())
	write := func(name string, raw []byte) string {
		p := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(p, raw, 0o600); err != nil {
			t.Fatal(err)
		}
		return p
	}
	_, strangerPEM := key(t)
	known := write("known_hosts", []byte(knownhosts.Line([]string{addr}, host.PublicKey())+"\n"))
	changed := write("changed", []byte(knownhosts.Line([]string{addr}, other.PublicKey())+"\n"))
	pass := remote.SecretSource{File: write("pass", []byte("canary-passphrase\n"))}
	for _, tt := range []struct {
		name, key, hosts, path, want string
	}{
		{"right", write("key", userPEM), known, repo.Bare, ""},
		{"unknown host", write("key", userPEM), write("empty", nil), repo.Bare, "not in known_hosts"},
		{"changed host", write("key", userPEM), changed, repo.Bare, "names another"},
		{"wrong key", write("key", strangerPEM), known, repo.Bare, "refused the ssh key"},
		{"no repository", write("key", userPEM), known, "/nowhere.git", "the server said"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r, err := remote.New(remote.Options{Name: "infra", URL: "ssh://git@" + addr + tt.path,
				Credentials: remote.Credentials{SSHKeyFile: tt.key, SSHPassphrase: pass, KnownHosts: tt.hosts}})
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
