package remote

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing/format/pktline"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/transport"
	"github.com/skeema/knownhosts"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// sshSession is upload-pack over ssh. go-git's own cannot be cancelled while it
// connects, reads ~/.ssh/config and follows ALL_PROXY.
type sshSession struct {
	client  *ssh.Client
	session *ssh.Session
	in      io.WriteCloser
	out     io.Reader
	stderr  Voice
	packing bool
	stop    func() bool
}

func (s *Session) overSSH(ctx context.Context, ep *transport.Endpoint) (transport.UploadPackSession, error) {
	port := ep.Port
	if port == 0 {
		port = 22
	}
	addr := net.JoinHostPort(strings.Trim(ep.Host, "[]"), strconv.Itoa(port))
	cfg := &ssh.ClientConfig{User: ep.User}
	if cfg.User == "" {
		cfg.User = "git"
	}
	var refused error // of the host key
	if err := s.trust(cfg, addr, &refused); err != nil {
		return nil, err
	}
	done, err := s.identify(ctx, cfg)
	if err != nil {
		return nil, err
	}
	defer done()
	conn, err := (&net.Dialer{Timeout: 15 * time.Second}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	c, chans, reqs, err := ssh.NewClientConn(conn, addr, cfg)
	if err != nil {
		stop()
		_ = conn.Close()
		switch {
		case refused != nil:
			return nil, person("the server's ssh host key is not trusted", refused)
		case strings.Contains(err.Error(), "unable to authenticate"): // x/crypto has no type for it
			return nil, person(fmt.Sprintf("%s refused the ssh key for user %s", s.r.Host(), cfg.User), err)
		}
		return nil, err
	}
	u := &sshSession{client: ssh.NewClient(c, chans, reqs), stop: stop}
	if err := u.start(ep.Path); err != nil {
		_ = u.Close()
		return nil, err
	}
	return u, nil
}

// trust sets how the server proves itself.
func (s *Session) trust(cfg *ssh.ClientConfig, addr string, refused *error) error {
	c := s.r.o.Credentials
	if c.HostKeys == AnyHostKey {
		cfg.HostKeyCallback = ssh.InsecureIgnoreHostKey() //nolint:gosec // asked for by name
		return nil
	}
	files := []string{c.KnownHosts}
	if c.KnownHosts == "" {
		files = nil
		home, _ := os.UserHomeDir()
		for _, f := range []string{filepath.Join(home, ".ssh", "known_hosts"), "/etc/ssh/ssh_known_hosts"} {
			if _, err := os.Stat(f); err == nil {
				files = append(files, f)
			}
		}
	}
	if len(files) == 0 {
		return person("there is no known_hosts file to check the server's ssh host key against: add it with ssh-keyscan, or name a file", nil)
	}
	db, err := knownhosts.NewDB(files...)
	if err != nil {
		return person("read known_hosts", err)
	}
	check := db.HostKeyCallback()
	cfg.HostKeyCallback = func(host string, at net.Addr, key ssh.PublicKey) error {
		err := check(host, at, key)
		switch {
		case knownhosts.IsHostKeyChanged(err):
			*refused = fmt.Errorf("%s now has the key %s, and known_hosts names another", host, ssh.FingerprintSHA256(key))
		case err != nil:
			*refused = fmt.Errorf("%s with the key %s is not in known_hosts (%s)", host, ssh.FingerprintSHA256(key), strings.Join(files, ", "))
		}
		return err
	}
	cfg.HostKeyAlgorithms = db.HostKeyAlgorithms(addr)
	return nil
}

// identify sets how we prove ourselves; done lets go of the agent.
func (s *Session) identify(ctx context.Context, cfg *ssh.ClientConfig) (done func(), err error) {
	c := s.r.o.Credentials
	if c.SSHKeyFile == "" {
		sock := os.Getenv("SSH_AUTH_SOCK")
		if sock == "" {
			return nil, person("", errNoAgent)
		}
		conn, err := (&net.Dialer{}).DialContext(ctx, "unix", sock)
		if err != nil {
			return nil, person("ask the ssh agent", err)
		}
		cfg.Auth = []ssh.AuthMethod{ssh.PublicKeysCallback(agent.NewClient(conn).Signers)}
		return func() { _ = conn.Close() }, nil
	}
	pem, err := os.ReadFile(c.SSHKeyFile)
	if err != nil {
		return nil, person("read the ssh key", err)
	}
	var signer ssh.Signer
	if c.SSHPassphrase.IsZero() {
		signer, err = ssh.ParsePrivateKey(pem)
	} else {
		var pass Secret
		if pass, err = c.SSHPassphrase.Read(); err == nil {
			s.secrets = append(s.secrets, pass)
			signer, err = ssh.ParsePrivateKeyWithPassphrase(pem, []byte(pass.Reveal()))
		}
	}
	if err != nil {
		return nil, person("read the ssh key "+c.SSHKeyFile, err)
	}
	cfg.Auth = []ssh.AuthMethod{ssh.PublicKeys(signer)}
	return func() {}, nil
}

func (u *sshSession) start(path string) (err error) {
	if u.session, err = u.client.NewSession(); err != nil {
		return err
	}
	if u.in, err = u.session.StdinPipe(); err != nil {
		return err
	}
	if u.out, err = u.session.StdoutPipe(); err != nil {
		return err
	}
	u.session.Stderr = &u.stderr
	quoted := strings.NewReplacer("'", `'\''`, "!", `'\!'`).Replace(path)
	return u.session.Start(transport.UploadPackServiceName + " '" + quoted + "'")
}

// AdvertisedReferences reads the refs.
func (u *sshSession) AdvertisedReferences() (*packp.AdvRefs, error) {
	return u.AdvertisedReferencesContext(context.Background())
}

// AdvertisedReferencesContext reads the refs; the connection ends with the context
// that the session was made with.
func (u *sshSession) AdvertisedReferencesContext(context.Context) (*packp.AdvRefs, error) {
	refs := packp.NewAdvRefs()
	err := refs.Decode(u.out)
	switch {
	case errors.Is(err, packp.ErrEmptyAdvRefs), err == nil && refs.IsEmpty():
		return nil, transport.ErrEmptyRemoteRepository
	case errors.Is(err, packp.ErrEmptyInput): // it ended: the reason is on stderr
		_ = u.session.Wait()
		line := u.stderr.Line()
		if line == "" {
			return nil, fmt.Errorf("the server said nothing and ended the session: %w", io.ErrUnexpectedEOF)
		}
		return nil, person("the server said", errors.New(line))
	case err != nil:
		return nil, err
	}
	transport.FilterUnsupportedCapabilities(refs.Capabilities)
	return refs, nil
}

// UploadPack asks for a pack.
func (u *sshSession) UploadPack(_ context.Context, req *packp.UploadPackRequest) (*packp.UploadPackResponse, error) {
	u.packing = true
	w := bufio.NewWriter(u.in)
	if err := req.UploadRequest.Encode(w); err != nil {
		return nil, err
	}
	if err := req.UploadHaves.Encode(w, false); err != nil {
		return nil, err
	}
	if err := pktline.NewEncoder(w).EncodeString("done\n"); err != nil {
		return nil, err
	}
	if err := w.Flush(); err != nil {
		return nil, err
	}
	res := packp.NewUploadPackResponse(req)
	return res, res.Decode(io.NopCloser(u.out))
}

// Close ends the session politely, and the connection.
func (u *sshSession) Close() error {
	u.stop()
	if u.in != nil && !u.packing {
		_, _ = u.in.Write(pktline.FlushPkt)
	}
	return u.client.Close()
}
