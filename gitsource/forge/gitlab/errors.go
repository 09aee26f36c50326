package gitlab

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/stackreeve/stackreeve/gitsource/forge"
	gitlab "github.com/xanzy/go-gitlab"
)

// keepErrors keeps what GitLab says with an error, in the answer of the request's
// context: the library throws it away for 404, where it tells "there is no such note"
// from "that award is there already".
type keepErrors struct{ next http.RoundTripper }

// answer is what was last said with an error; nil after a success.
type answer struct{ said []byte }

type answerKey struct{}

// maxSaid is how much of an error's body is looked at, in bytes.
const maxSaid = 64 << 10

func (k keepErrors) RoundTrip(req *http.Request) (*http.Response, error) {
	next := k.next
	if next == nil {
		next = http.DefaultTransport
	}
	keep, ok := req.Context().Value(answerKey{}).(*answer)
	if !ok {
		keep = &answer{}
	}
	keep.said = nil
	resp, err := next.RoundTrip(req)
	if err != nil || resp.StatusCode < 300 || resp.StatusCode == http.StatusNotModified {
		return resp, err
	}
	keep.said, _ = io.ReadAll(io.LimitReader(resp.Body, maxSaid))
	_ = resp.Body.Close()
	resp.Body = io.NopCloser(bytes.NewReader(keep.said))
	return resp, nil
}

// said is the one line that GitLab gave as the reason.
func (c *call) said() string {
	if len(c.answer.said) == 0 {
		return ""
	}
	var answer struct {
		Message     any    `json:"message"`
		Error       any    `json:"error"`
		Description string `json:"error_description"`
	}
	if json.Unmarshal(c.answer.said, &answer) != nil {
		return "the answer is not GitLab's: is this the address of a GitLab?"
	}
	for _, s := range []string{answer.Description, flat(answer.Message), flat(answer.Error)} {
		if s != "" {
			return oneLine(s)
		}
	}
	return ""
}

// flat writes what GitLab says, which may be a text, a list, or texts by field.
func flat(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case []any:
		var parts []string
		for _, x := range v {
			parts = append(parts, flat(x))
		}
		return strings.Join(parts, ", ")
	case map[string]any:
		var parts []string
		for _, k := range slices.Sorted(maps.Keys(v)) {
			parts = append(parts, k+" "+flat(v[k]))
		}
		return strings.Join(parts, "; ")
	}
	return ""
}

// oneLine is the first line without control characters, at most 200 of them.
func oneLine(s string) string { return cut(s, 200) }

// cut makes a text one line of at most so many characters.
func cut(s string, characters int) string {
	s, _, _ = strings.Cut(strings.TrimSpace(s), "\n")
	s = strings.Map(func(c rune) rune {
		if unicode.IsPrint(c) {
			return c
		}
		return -1
	}, s)
	if utf8.RuneCountInString(s) <= characters {
		return s
	}
	return string([]rune(s)[:characters-1]) + "…"
}

// fail says what went wrong with a call, without the token.
func (c *call) fail(resp *gitlab.Response, err error) error {
	e := &forge.CallError{Call: c.what}
	if resp == nil || resp.Response == nil {
		e.Class = forge.Wait
		var cert *tls.CertificateVerificationError
		if errors.As(err, &cert) {
			e.Class = forge.Person
		}
		e.Err = c.clean(err)
		return e
	}
	e.Status = resp.StatusCode
	text := strings.ReplaceAll(c.said(), c.secret(), "[token]")
	switch {
	case e.Status < 300:
		// The answer cannot be read: a proxy's page, or a broken connection.
		e.Class, e.Err = forge.Wait, fmt.Errorf("read GitLab's answer: %w", c.clean(err))
		var syntax *json.SyntaxError
		var kind *json.UnmarshalTypeError
		if errors.As(err, &syntax) || errors.As(err, &kind) {
			e.Class, e.Err = forge.Person, errors.New("the answer is not GitLab's: is this the address of a GitLab?")
		}
		return e
	case e.Status < 400:
		e.Class = forge.Person
		text = "GitLab is at another address, or the project has moved: " + where(resp)
	case e.Status == http.StatusNotFound:
		e.Class = forge.Person
		e.Err = forge.ErrNotFound
		if text != "" {
			e.Err = fmt.Errorf("%w: %s", forge.ErrNotFound, text)
		}
		return e
	case e.Status == http.StatusUnauthorized, e.Status == http.StatusForbidden, e.Status == http.StatusPaymentRequired:
		e.Class = forge.Person
	case e.Status == http.StatusRequestTimeout, e.Status == http.StatusConflict, e.Status == http.StatusLocked,
		e.Status == http.StatusTooEarly, e.Status == http.StatusTooManyRequests, e.Status >= 500:
		e.Class = forge.Wait
		e.RetryAfter = retryAfter(resp.Header)
	default:
		e.Class = forge.Bug
	}
	if text == "" {
		text = http.StatusText(e.Status)
	}
	e.Err = errors.New(text)
	return e
}

// where is the host that a redirect points to; never its path and query, which may hold
// more.
func where(resp *gitlab.Response) string {
	u, err := resp.Location()
	if err != nil {
		return "it does not say where"
	}
	return u.Scheme + "://" + u.Host
}

// retryAfter is how long GitLab wants to be left alone.
func retryAfter(h http.Header) time.Duration {
	if s, err := strconv.Atoi(h.Get("Retry-After")); err == nil && s > 0 {
		return time.Duration(s) * time.Second
	}
	now := time.Now()
	if t, err := http.ParseTime(h.Get("Date")); err == nil {
		now = t // GitLab's clock, since what follows is of that clock
	}
	if t, err := http.ParseTime(h.Get("Retry-After")); err == nil {
		return max(t.Sub(now), 0)
	}
	if h.Get("RateLimit-Remaining") == "0" {
		if s, err := strconv.ParseInt(h.Get("RateLimit-Reset"), 10, 64); err == nil {
			return max(time.Unix(s, 0).Sub(now), 0)
		}
	}
	return 0
}

// secret is the token, or something that no text contains when there is none.
func (c *call) secret() string {
	if c.token == "" {
		return "\x00"
	}
	return c.token
}

// clean takes the token out of an error's text, should it be there, and leaves the
// error whole otherwise.
func (c *call) clean(err error) error {
	if err != nil && strings.Contains(err.Error(), c.secret()) {
		return errors.New(strings.ReplaceAll(err.Error(), c.secret(), "[token]"))
	}
	return err
}

// unknown turns the error of a write into [forge.ErrUnknownOutcome] when it may have
// happened all the same: everything but a refusal and a connection that never was.
func unknown(err error) error {
	var e *forge.CallError
	if !errors.As(err, &e) {
		return err
	}
	var op *net.OpError
	var dns *net.DNSError
	refused := e.Status >= 300 && e.Status < 500
	unsent := e.Status == 0 && (errors.As(err, &dns) || errors.As(err, &op) && op.Op == "dial" || e.Class == forge.Person)
	if refused || unsent || errors.Is(err, errUnsent) {
		return err
	}
	return &forge.CallError{Call: e.Call, Status: e.Status, Class: forge.Wait, RetryAfter: e.RetryAfter, Err: fmt.Errorf("%w: %w", forge.ErrUnknownOutcome, e.Err)}
}

// errUnsent marks a write that was given up before it began.
var errUnsent = errors.New("not begun")

// begun fails when there is no use in beginning a write.
func begun(ctx context.Context, what string) error {
	if err := ctx.Err(); err != nil {
		return &forge.CallError{Call: what, Class: forge.Wait, Err: fmt.Errorf("%w: %w", errUnsent, err)}
	}
	return nil
}
