// Package remote speaks with Git servers: which refs they have, and their objects.
//
// One exchange is an advertisement (one HTTP request, or one ssh session), and
// when something is wanted a pack in the same session (one more HTTP request).
// go-git encodes the protocol; connections are ours, because they must end with the
// context, use only the proxies, certificates and host keys of the configuration, and
// tell why they failed: every error is a [gitsource.FetchError].
//
// Credentials are never part of a URL, a file or an error.
package remote

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/sideband"
	"github.com/go-git/go-git/v5/plumbing/storer"
	"github.com/go-git/go-git/v5/plumbing/transport"
	"github.com/go-git/go-git/v5/plumbing/transport/file"
	gitproto "github.com/go-git/go-git/v5/plumbing/transport/git"
	githttp "github.com/go-git/go-git/v5/plumbing/transport/http"
)

// Options make a Remote.
type Options struct {
	// Name is what errors call it.
	Name string
	// URL is https, http, ssh, git, file or user@host:path, without credentials.
	URL         string
	Credentials Credentials
}

// Remote is one repository on a server. It is safe for concurrent use.
type Remote struct {
	o        Options
	endpoint *transport.Endpoint
}

// New checks the options. It does not connect. The error does not quote the URL, which
// may hold a credential.
func New(o Options) (*Remote, error) {
	ep, err := transport.NewEndpoint(o.URL)
	if err != nil {
		return nil, fmt.Errorf("repository %s: the URL cannot be read", o.Name)
	}
	if ep.Password != "" || ep.User != "" && ep.Protocol != "ssh" {
		return nil, fmt.Errorf("repository %s: the URL holds a user name or password: take them out and name a credential by environment variable or file", o.Name)
	}
	switch ep.Protocol {
	case "http", "https", "ssh", "git", "file":
	default:
		return nil, fmt.Errorf("repository %s: URLs of scheme %q are not known: https, http, ssh, git and file are", o.Name, ep.Protocol)
	}
	return &Remote{o: o, endpoint: ep}, nil
}

// Session is one exchange in the making. It is for one goroutine.
type Session struct {
	r       *Remote
	session transport.UploadPackSession
	seen    *answer
	refs    *packp.AdvRefs
	secrets []Secret
	close   func()
}

// Connect asks for the refs: one round trip. Close the session.
func (r *Remote) Connect(ctx context.Context) (*Session, error) {
	s := &Session{r: r, seen: &answer{}, close: func() {}}
	if err := s.connect(ctx); err != nil {
		err = s.failed(ctx, err)
		s.Close()
		return nil, err
	}
	return s, nil
}

func (s *Session) connect(ctx context.Context) error {
	ep := *s.r.endpoint // a redirect changes it
	var err error
	switch ep.Protocol {
	case "http", "https":
		s.session, err = s.overHTTP(&ep)
	case "ssh":
		s.session, err = s.overSSH(ctx, &ep)
	case "git":
		s.session, err = gitproto.DefaultClient.NewUploadPackSession(&ep, nil)
	default:
		if _, err := os.Stat(ep.Path); err != nil {
			return person("the repository is not there", err)
		}
		s.session, err = file.DefaultClient.NewUploadPackSession(&ep, nil)
	}
	if err != nil {
		return err
	}
	if s.refs, err = s.session.AdvertisedReferencesContext(ctx); err != nil && !errors.Is(err, transport.ErrEmptyRemoteRepository) {
		return s.noList(err)
	}
	return err
}

func (s *Session) overHTTP(ep *transport.Endpoint) (transport.UploadPackSession, error) {
	c := s.r.o.Credentials
	t := &http.Transport{
		DialContext:           (&net.Dialer{Timeout: 15 * time.Second}).DialContext,
		TLSHandshakeTimeout:   15 * time.Second,
		MaxIdleConns:          1,
		ResponseHeaderTimeout: 0, // the context ends it: a server may think long before a first pack
		ForceAttemptHTTP2:     true,
	}
	if c.Proxy == ProxyFromEnvironment {
		t.Proxy = http.ProxyFromEnvironment
	}
	if c.CAFile != "" {
		pool, err := certificates(c.CAFile)
		if err != nil {
			return nil, err
		}
		t.TLSClientConfig = &tls.Config{RootCAs: pool}
	}
	s.close = t.CloseIdleConnections
	var auth transport.AuthMethod
	if !c.Token.IsZero() {
		token, err := c.Token.Read()
		if err != nil {
			return nil, person("", err)
		}
		s.secrets = append(s.secrets, token)
		name := c.Username
		if name == "" {
			name = "git"
		}
		auth = &githttp.BasicAuth{Username: name, Password: token.Reveal()}
	}
	client := githttp.NewClient(&http.Client{Transport: &recorder{next: t, seen: s.seen}})
	return client.NewUploadPackSession(ep, auth)
}

func certificates(name string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(name)
	if err != nil {
		return nil, person("read the certificates", err)
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, person("", fmt.Errorf("%s holds no certificate", name))
	}
	return pool, nil
}

// Default is the branch that the remote's HEAD names, without "refs/heads/".
func (s *Session) Default() (string, error) {
	for _, v := range s.refs.Capabilities.Get(capability.SymRef) {
		if b, ok := strings.CutPrefix(v, "HEAD:refs/heads/"); ok {
			return b, nil
		}
	}
	if s.refs.Head != nil { // a server that does not say: the first of the usual names at that commit
		for _, b := range []string{"main", "master"} {
			if h, ok := s.refs.References["refs/heads/"+b]; ok && h == *s.refs.Head {
				return b, nil
			}
		}
	}
	return "", s.failed(context.Background(), person("the remote names no default branch: name the branch in the configuration", nil))
}

// Branch is the commit of a branch.
func (s *Session) Branch(name string) (plumbing.Hash, error) {
	h, ok := s.refs.References["refs/heads/"+name]
	if !ok {
		return h, s.failed(context.Background(), person(fmt.Sprintf("the remote has no branch %q", name), nil))
	}
	return h, nil
}

// Ref is what a branch or tag points at; a branch goes first. An annotated
// tag gives the commit behind it.
func (s *Session) Ref(name string) (plumbing.Hash, error) {
	if h, ok := s.refs.References["refs/heads/"+name]; ok {
		return h, nil
	}
	if h, ok := s.refs.Peeled["refs/tags/"+name]; ok {
		return h, nil
	}
	if h, ok := s.refs.References["refs/tags/"+name]; ok {
		return h, nil
	}
	text := fmt.Sprintf("the remote has no branch or tag %q", name)
	if isShortHash(name) {
		text += "; if it is a commit, give its whole hash of 40 characters: a server cannot be asked for a short one"
	}
	return plumbing.ZeroHash, s.failed(context.Background(), person(text, nil))
}

// isShortHash tells whether a name may be the beginning of a commit's hash, as git shows it.
func isShortHash(name string) bool {
	return len(name) >= 4 && len(name) < 40 && strings.Trim(strings.ToLower(name), "0123456789abcdef") == ""
}

// At is the commit that a ref of any kind points at, by its full name.
func (s *Session) At(ref string) (plumbing.Hash, bool) {
	if h, ok := s.refs.Peeled[ref]; ok {
		return h, true
	}
	h, ok := s.refs.References[ref]
	return h, ok
}

// Tips are the commits of all branches and tags, each once.
func (s *Session) Tips() []plumbing.Hash {
	seen := map[plumbing.Hash]bool{}
	var out []plumbing.Hash
	for name, h := range s.refs.References {
		if p, ok := s.refs.Peeled[name]; ok {
			h = p
		}
		if (strings.HasPrefix(name, "refs/heads/") || strings.HasPrefix(name, "refs/tags/")) && !seen[h] {
			seen[h] = true
			out = append(out, h)
		}
	}
	plumbing.HashesSort(out)
	return out
}

// Shallow are the commits whose parents the server does not have itself.
func (s *Session) Shallow() []plumbing.Hash { return s.refs.Shallows }

// Request says which objects are to be sent.
type Request struct {
	// Want are commits that the server has; Have are commits that we have.
	Want, Have []plumbing.Hash
	// Shallow are commits that we have without their parents.
	Shallow []plumbing.Hash
}

// Fetch writes the objects behind what is wanted that are not behind what we have into a
// storage, as one pack with its index.
func (s *Session) Fetch(ctx context.Context, into storer.PackfileWriter, r Request) (err error) {
	req := packp.NewUploadPackRequestFromCapabilities(s.refs.Capabilities)
	if s.refs.Capabilities.Supports(capability.NoProgress) {
		if err := req.Capabilities.Set(capability.NoProgress); err != nil {
			return s.failed(ctx, err)
		}
	}
	req.Wants, req.Haves = r.Want, r.Have
	if len(r.Shallow) > 0 && s.refs.Capabilities.Supports(capability.Shallow) {
		if err := req.Capabilities.Set(capability.Shallow); err != nil {
			return s.failed(ctx, err)
		}
		req.Shallows = r.Shallow
	}
	res, err := s.session.UploadPack(ctx, req)
	if err != nil {
		return s.failed(ctx, err)
	}
	defer func() {
		if cerr := res.Close(); err == nil && cerr != nil {
			err = s.failed(ctx, cerr)
		}
	}()
	var pack interface{ Read([]byte) (int, error) } = res
	switch {
	case req.Capabilities.Supports(capability.Sideband64k):
		pack = sideband.NewDemuxer(sideband.Sideband64k, res)
	case req.Capabilities.Supports(capability.Sideband):
		pack = sideband.NewDemuxer(sideband.Sideband, res)
	}
	if err := packfile.WritePackfileToObjectStorage(into, pack); err != nil {
		return s.failed(ctx, err)
	}
	return nil
}

// Close ends the session.
func (s *Session) Close() {
	if s.session != nil {
		_ = s.session.Close() // the exchange has ended either way
	}
	s.close()
}

// Host is the server's name, for messages.
func (r *Remote) Host() string {
	if u, err := url.Parse(r.o.URL); err == nil && u.Host != "" {
		return u.Host
	}
	return r.endpoint.Host
}

var errNoAgent = errors.New("no ssh key is configured, and no ssh agent runs (SSH_AUTH_SOCK)")
