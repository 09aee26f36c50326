package gittest

import (
	"context"
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
	"sync"
	"testing"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// SSHServer runs what it is asked to run, as sshd does with a login shell, for whoever
// has the one key that it knows. It counts sessions.
type SSHServer struct {
	// Addr is its host and port.
	Addr string
	// HostKey is how it proves itself.
	HostKey ssh.PublicKey

	// sessions are their commands, answered by what returns true.
	sessions heard[func(command string, stdout, stderr io.Writer) bool]
	work     sync.WaitGroup

	mu    sync.Mutex // guards conns
	conns map[net.Conn]struct{}
}

// ServeSSH starts a server that lets in whoever proves to have the key, and which stops with
// the test.
func ServeSSH(t testing.TB, allowed ssh.PublicKey) *SSHServer {
	t.Helper()
	host, _ := newKey(t)
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
	s := &SSHServer{Addr: l.Addr().String(), HostKey: host.PublicKey(), conns: map[net.Conn]struct{}{}}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	t.Cleanup(func() {
		cancel()
		_ = l.Close()
		s.mu.Lock()
		for c := range s.conns {
			_ = c.Close()
		}
		s.mu.Unlock()
		s.work.Wait()
	})
	s.work.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.conns[c] = struct{}{}
			s.mu.Unlock()
			s.work.Go(func() {
				s.connection(ctx, c, cfg)
				_ = c.Close()
				s.mu.Lock()
				delete(s.conns, c)
				s.mu.Unlock()
			})
		}
	})
	return s
}

func (s *SSHServer) connection(ctx context.Context, c net.Conn, cfg *ssh.ServerConfig) {
	_, chans, reqs, err := ssh.NewServerConn(c, cfg)
	if err != nil {
		return
	}
	s.work.Go(func() { ssh.DiscardRequests(reqs) })
	for nc := range chans {
		ch, rs, err := nc.Accept()
		if err != nil {
			return
		}
		s.work.Go(func() { s.session(ctx, ch, rs) })
	}
}

func (s *SSHServer) session(ctx context.Context, ch ssh.Channel, requests <-chan *ssh.Request) {
	for r := range requests {
		var exec struct{ Command string }
		isExec := r.Type == "exec" && ssh.Unmarshal(r.Payload, &exec) == nil
		_ = r.Reply(isExec, nil)
		if !isExec {
			continue
		}
		answer := s.sessions.note(exec.Command)
		status := uint32(1)
		if answer == nil || !answer(exec.Command, ch, ch.Stderr()) {
			status = run(ctx, exec.Command, ch)
		}
		_, _ = ch.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{status}))
		_ = ch.Close()
	}
}

func run(ctx context.Context, command string, ch ssh.Channel) uint32 {
	cmd := exec.CommandContext(ctx, "sh", "-c", command)
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1")
	cmd.Stdout, cmd.Stderr = ch, ch.Stderr()
	in, err := cmd.StdinPipe()
	if err != nil {
		return 1
	}
	go func() { _, _ = io.Copy(in, ch); _ = in.Close() }() // ends with the channel
	if err := cmd.Run(); err != nil {
		return 1
	}
	return 0
}

// Answer is asked before a command runs; when it returns true it has answered, and
// the command fails. nil runs everything.
func (s *SSHServer) Answer(f func(command string, stdout, stderr io.Writer) bool) {
	s.sessions.answerBy(f)
}

// Sessions returns the commands that were asked for since the last call.
func (s *SSHServer) Sessions() []string { return s.sessions.take() }

// URL is where the repository is on this server.
func (s *SSHServer) URL(r *Repo) string { return "ssh://git@" + s.Addr + filepath.ToSlash(r.Bare) }

// KnownHosts writes a known_hosts file that names the keys as this server's.
func (s *SSHServer) KnownHosts(t testing.TB, keys ...ssh.PublicKey) string {
	t.Helper()
	var text strings.Builder
	for _, k := range keys {
		text.WriteString(knownhosts.Line([]string{s.Addr}, k) + "\n")
	}
	return privateFile(t, "known_hosts", []byte(text.String()))
}

// SSHKey makes a key and writes its private half into a file, which the passphrase
// opens; "" writes it in clear.
func SSHKey(t testing.TB, passphrase string) (public ssh.PublicKey, file string) {
	t.Helper()
	signer, private := newKey(t)
	var block *pem.Block
	var err error
	if passphrase == "" {
		block, err = ssh.MarshalPrivateKey(private, "")
	} else {
		block, err = ssh.MarshalPrivateKeyWithPassphrase(private, "", []byte(passphrase))
	}
	if err != nil {
		t.Fatal(err)
	}
	return signer.PublicKey(), privateFile(t, "key", pem.EncodeToMemory(block))
}

func newKey(t testing.TB) (ssh.Signer, ed25519.PrivateKey) {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return signer, private
}

func privateFile(t testing.TB, name string, raw []byte) string {
	t.Helper()
	p := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(p, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	return p
}
