package remote

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/go-git/go-git/v5/plumbing/format/pktline"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/transport"

	"github.com/stackreeve/stackreeve/gitsource"
)

// answer is what the server last said, which go-git keeps to itself.
type answer struct {
	status     int
	content    string // its media type
	retryAfter time.Duration
}

// recorder notes the status of every response.
type recorder struct {
	next http.RoundTripper
	seen *answer
}

func (r *recorder) RoundTrip(req *http.Request) (*http.Response, error) {
	res, err := r.next.RoundTrip(req)
	if err != nil {
		*r.seen = answer{}
		return nil, err
	}
	*r.seen = answer{status: res.StatusCode, content: mediaType(res.Header), retryAfter: retryAfter(res.Header, time.Now())}
	return res, nil
}

func mediaType(h http.Header) string {
	t, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	if err != nil {
		return ""
	}
	return t
}

// maxRetryAfter keeps a wrong header from silencing a repository for days.
const maxRetryAfter = time.Hour

// retryAfter reads RFC 9110's Retry-After: seconds or a date.
func retryAfter(h http.Header, now time.Time) time.Duration {
	v := h.Get("Retry-After")
	if v == "" {
		return 0
	}
	d := time.Duration(0)
	if n, err := strconv.Atoi(v); err == nil {
		d = time.Duration(min(n, int(maxRetryAfter.Seconds()))) * time.Second
	} else if at, err := http.ParseTime(v); err == nil {
		d = at.Sub(now)
	}
	return min(max(d, 0), maxRetryAfter)
}

// forPerson is an error that waiting does not mend.
type forPerson struct {
	text string
	err  error
}

func person(text string, err error) error { return &forPerson{text, err} }

func (e *forPerson) Error() string {
	switch {
	case e.err == nil:
		return e.text
	case e.text == "":
		return e.err.Error()
	}
	return e.text + ": " + e.err.Error()
}

func (e *forPerson) Unwrap() error { return e.err }

// scrubbed is an error whose text holds no secret.
type scrubbed struct {
	text string
	err  error
}

func (e *scrubbed) Error() string { return e.text }
func (e *scrubbed) Unwrap() error { return e.err }

// failed gives an error its class, and takes secrets out of it.
func (s *Session) failed(ctx context.Context, err error) error {
	var fe *gitsource.FetchError
	if errors.As(err, &fe) {
		return err
	}
	fe = &gitsource.FetchError{Repository: s.r.o.Name, Class: gitsource.ClassWait, Err: err}
	if cause := ctx.Err(); cause != nil {
		fe.Err = cause
		if errors.Is(cause, context.DeadlineExceeded) {
			fe.Err = fmt.Errorf("the server %s did not answer in time: %w", s.r.Host(), cause)
		}
		return fe
	}
	if text, class, ok := s.byStatus(); ok {
		fe.Class, fe.RetryAfter, fe.Err = class, s.seen.retryAfter, &scrubbed{text, err}
	} else if isForPerson(err) {
		fe.Class = gitsource.ClassPerson
	}
	text := fe.Err.Error()
	clean := text
	for _, secret := range s.secrets {
		clean = strings.ReplaceAll(clean, secret.Reveal(), placeholder)
	}
	if clean != text {
		fe.Err = &scrubbed{clean, err}
	}
	return fe
}

// noList explains a list of refs that cannot be read: waiting mends none of these. The
// server's words are not quoted.
func (s *Session) noList(err error) error {
	const wanted = "application/x-git-upload-pack-advertisement"
	if s.seen.status == http.StatusOK && s.seen.content != wanted {
		kind := s.seen.content
		if kind == "" {
			kind = "something of no type"
		}
		return person(fmt.Sprintf("%s answered with %s, which is not how a Git server answers: check the URL (is this a page to log in, "+
			"or a server that only hands out files?)", s.r.Host(), kind), nil)
	}
	var (
		odd  *packp.ErrUnexpectedData
		said *pktline.ErrorLine
	)
	switch {
	case errors.As(err, &odd) && bytes.Contains(odd.Data, []byte("object-format=sha256")):
		return person("the repository has SHA-256 object names, which are not supported: use one with SHA-1", nil)
	case errors.As(err, &odd):
		return errors.New("the server's list of refs cannot be read: " + odd.Msg)
	case errors.As(err, &said):
		return person("the server said", errors.New((&Voice{text: []byte(said.Text)}).Line()))
	}
	return err
}

// byStatus explains an HTTP failure. The body is not quoted: it is the server's, and
// may repeat what we sent.
func (s *Session) byStatus() (string, gitsource.ErrorClass, bool) {
	code := s.seen.status
	said := fmt.Sprintf("%s answered %d %s", s.r.Host(), code, http.StatusText(code))
	c := s.r.o.Credentials
	switch {
	case code == http.StatusUnauthorized || code == http.StatusForbidden && s.seen.retryAfter == 0:
		if c.Token.IsZero() {
			return said + ": it wants credentials, and none are configured", gitsource.ClassPerson, true
		}
		return said + ": check the token in " + c.Token.String() + " and what it may read", gitsource.ClassPerson, true
	case code == http.StatusNotFound || code == http.StatusGone:
		return said + ": the repository is not there, or these credentials may not see it", gitsource.ClassPerson, true
	case code == http.StatusTooManyRequests, code == http.StatusForbidden, code == http.StatusRequestTimeout:
		return said, gitsource.ClassWait, true
	case code >= 500:
		return said, gitsource.ClassWait, true
	case code >= 400:
		return said, gitsource.ClassPerson, true
	}
	return "", "", false
}

func isForPerson(err error) bool {
	var (
		p    *forPerson
		ca   x509.UnknownAuthorityError
		host x509.HostnameError
		cert x509.CertificateInvalidError
		ver  *tls.CertificateVerificationError
	)
	if errors.As(err, &p) || errors.As(err, &ca) || errors.As(err, &host) || errors.As(err, &cert) || errors.As(err, &ver) {
		return true
	}
	for _, known := range []error{
		transport.ErrRepositoryNotFound, transport.ErrEmptyRemoteRepository, transport.ErrAuthenticationRequired,
		transport.ErrAuthorizationFailed, transport.ErrInvalidAuthMethod,
		os.ErrPermission, syscall.ENOSPC, syscall.EROFS, syscall.EDQUOT,
	} {
		if errors.Is(err, known) {
			return true
		}
	}
	return false
}
