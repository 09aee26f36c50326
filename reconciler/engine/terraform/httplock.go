package terraform

import (
	"bytes"
	"context"
	"crypto/md5" //nolint:gosec // what the protocol asks for
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"time"
	"unicode"

	"golang.org/x/net/http/httpproxy"

	"github.com/stackreeve/stackreeve/reconciler/engine"
)

const (
	backendHTTP = "http"
	backendPG   = "pg"
)

// lockTalk is how long one request about a lock may take.
const lockTalk = 30 * time.Second

// backendInUse is the backend as init set it up, whoever named it: the task or the
// module. Settings that came by environment are not in it.
type backendInUse struct {
	Type   string         `json:"type"`
	Config map[string]any `json:"config"`
}

// backendInUse reads what init left in the engine's data folder.
func (p *phase) backendInUse() (backendInUse, error) {
	path := filepath.Join(p.at.data, "terraform.tfstate")
	b, err := readIfThere(path)
	if err != nil || b == nil {
		return backendInUse{}, err
	}
	var file struct {
		Backend backendInUse `json:"backend"`
	}
	if err := json.Unmarshal(b, &file); err != nil {
		return backendInUse{}, fmt.Errorf("read %s: %w", path, err)
	}
	return file.Backend, nil
}

// httpLock speaks with the server of the http backend about the lock of a state, in
// that backend's own protocol.
//
// The engines do not do it well enough: Terraform does not tell whose lock it met,
// but for its id, and its force-unlock names no lock at all, so a server releases
// whatever lock there is in that moment (decision 0090).
type httpLock struct {
	client                   *http.Client
	lock, unlock             string
	lockMethod, unlockMethod string
	user, password           string
	headers                  map[string]string
	request                  lockRequest
}

// lockRequest is the document by which engines ask for a lock, and by which servers
// tell of one that is held.
type lockRequest struct {
	ID        string
	Operation string
	Info      string
	Who       string
	Version   string
	Created   time.Time
	Path      string
}

// heldLock is a lock that a server told of, with the server's own words.
type heldLock struct {
	engine.StateLock
	document []byte
}

var errNoLocking = errors.New("the http backend has no lock_address and unlock_address")

// openHTTPLock takes the settings as the engine does: from its configuration, and
// what is not there from its environment.
func (p *phase) openHTTPLock(in backendInUse) (*httpLock, error) {
	setting := func(name, otherwise string) string {
		switch v := in.Config[name].(type) {
		case string:
			return v
		case bool:
			return fmt.Sprint(v)
		}
		if v := p.task.Env["TF_HTTP_"+strings.ToUpper(name)]; v != "" {
			return v
		}
		return otherwise
	}
	h := &httpLock{
		lock: setting("lock_address", ""), unlock: setting("unlock_address", ""),
		lockMethod: setting("lock_method", "LOCK"), unlockMethod: setting("unlock_method", "UNLOCK"),
		user: setting("username", ""), password: setting("password", ""), headers: map[string]string{},
		request: lockRequest{ID: newUUID(), Operation: "OperationTypePlan", Info: "reeve asks who holds the lock", Who: whoWeAre(),
			Version: p.task.Program.Version, Created: p.driver.now().UTC()},
	}
	if h.lock == "" || h.unlock == "" {
		return nil, errNoLocking
	}
	if given, ok := in.Config["headers"].(map[string]any); ok {
		for name, v := range given {
			h.headers[name] = fmt.Sprint(v)
		}
	}
	secure := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: setting("skip_cert_verification", "") == "true"} //nolint:gosec // as the backend's own setting says
	if ca := setting("client_ca_certificate_pem", ""); ca != "" {
		secure.RootCAs = x509.NewCertPool()
		if !secure.RootCAs.AppendCertsFromPEM([]byte(ca)) {
			return nil, errors.New("client_ca_certificate_pem holds no certificate")
		}
	}
	if cert := setting("client_certificate_pem", ""); cert != "" {
		pair, err := tls.X509KeyPair([]byte(cert), []byte(setting("client_private_key_pem", "")))
		if err != nil {
			return nil, errors.New("the client certificate and its key do not fit")
		}
		secure.Certificates = []tls.Certificate{pair}
	}
	// The engine's proxies: those of this process are nobody's.
	proxy := (&httpproxy.Config{HTTPProxy: p.envEither("HTTP_PROXY"), HTTPSProxy: p.envEither("HTTPS_PROXY"), NoProxy: p.envEither("NO_PROXY")}).ProxyFunc()
	h.client = &http.Client{Timeout: lockTalk, Transport: &http.Transport{
		TLSClientConfig: secure, DisableKeepAlives: true,
		Proxy: func(r *http.Request) (*url.URL, error) { return proxy(r.URL) },
	}}
	return h, nil
}

func (p *phase) envEither(name string) string {
	if v := p.task.Env[name]; v != "" {
		return v
	}
	return p.task.Env[strings.ToLower(name)]
}

// holder tells whose lock it is; nil when nobody holds it. The protocol knows one
// way of asking: ask for the lock, and give it back at once when it is had.
func (h *httpLock) holder(ctx context.Context) (*heldLock, error) {
	document, err := json.Marshal(h.request)
	if err != nil {
		return nil, err
	}
	status, body, err := h.send(ctx, h.lockMethod, h.lock, document)
	if err != nil {
		return nil, fmt.Errorf("ask who holds the lock: %w", err)
	}
	switch status {
	case http.StatusOK:
		// Given back even when the job is cancelled in this moment.
		if err := h.release(context.WithoutCancel(ctx), document); err != nil {
			return nil, fmt.Errorf("give back the lock %s, by which the holder was asked for: %w", h.request.ID, err)
		}
		return nil, nil
	case http.StatusConflict, http.StatusLocked:
		var l lockRequest
		if err := json.Unmarshal(body, &l); err != nil || l.ID == "" {
			return nil, errors.New("ask who holds the lock: the server does not tell")
		}
		return &heldLock{document: body, StateLock: engine.StateLock{ID: printable(l.ID), Path: printable(l.Path), Operation: printable(l.Operation),
			Who: printable(l.Who), Version: printable(l.Version), CreatedAt: l.Created}}, nil
	}
	return nil, fmt.Errorf("ask who holds the lock: the server answered %d", status)
}

// release releases the lock that document describes. A server that compares refuses
// when another is held by now.
func (h *httpLock) release(ctx context.Context, document []byte) error {
	status, _, err := h.send(ctx, h.unlockMethod, h.unlock, document)
	if err != nil {
		return err
	}
	if status != http.StatusOK {
		return fmt.Errorf("the server answered %d", status)
	}
	return nil
}

func (h *httpLock) send(ctx context.Context, method, address string, document []byte) (status int, body []byte, err error) {
	r, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(document))
	if err != nil {
		return 0, nil, errors.New("the lock's address or method is not valid")
	}
	for name, v := range h.headers {
		r.Header.Set(name, v)
	}
	if h.user != "" {
		r.SetBasicAuth(h.user, h.password)
	}
	r.Header.Set("Content-Type", "application/json")
	sum := md5.Sum(document) //nolint:gosec // what the protocol asks for
	r.Header.Set("Content-MD5", base64.StdEncoding.EncodeToString(sum[:]))
	resp, err := h.client.Do(r)
	var u *url.Error
	if errors.As(err, &u) {
		return 0, nil, u.Err // without the address, which may hold a token
	}
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	return resp.StatusCode, body, err
}

// printable is a word of a server's as it may stand in a line of ours.
func printable(s string) string {
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, s)
	return s[:min(len(s), 200)]
}

// newUUID returns a random id in the form that engines use for locks.
func newUUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
