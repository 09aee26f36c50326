package gitlab

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/stackreeve/stackreeve/gitsource/forge"
	"github.com/stackreeve/stackreeve/gitsource/forge/transport"
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

// notGitLab is the error of an address that answers with something else.
const notGitLab = "the answer is not GitLab's: is this the address of a GitLab?"

// said is what GitLab gave as the reason of an error.
func (c *call) said() string {
	var says struct {
		Message     any    `json:"message"`
		Error       any    `json:"error"`
		Description string `json:"error_description"`
	}
	if len(c.answer.said) == 0 || json.Unmarshal(c.answer.said, &says) != nil {
		return "" // a proxy's page tells nothing that fits a line
	}
	for _, s := range []string{says.Description, flat(says.Message), flat(says.Error)} {
		if s != "" {
			return s
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

// fail says what went wrong with a call, without secrets: the token, and others that
// are given.
func (c *call) fail(resp *gitlab.Response, err error, secrets ...string) *forge.CallError {
	var r *http.Response
	if resp != nil {
		r = resp.Response
	}
	says := c.said()
	if r != nil && r.StatusCode >= 300 && r.StatusCode < 400 {
		says = "GitLab is at another address, or the project has moved"
		if u, err := r.Location(); err == nil {
			says += ": it points to " + u.Scheme + "://" + u.Host
		}
	}
	hide := func(s string) string {
		for _, secret := range append(secrets, c.token) {
			if secret != "" {
				s = strings.ReplaceAll(s, secret, "[secret]")
			}
		}
		return s
	}
	e := transport.Failure(c.what, r, hide(says), err)
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	if r != nil && r.StatusCode < 300 && (errors.As(err, &syntax) || errors.As(err, &kind)) {
		e.Class, e.Err = forge.Person, errors.New(notGitLab)
	}
	if text := hide(e.Err.Error()); text != e.Err.Error() {
		e.Err = errors.New(text)
	}
	return e
}

// failWrite is fail for a write that is not to be done twice.
func (c *call) failWrite(resp *gitlab.Response, err error, secrets ...string) *forge.CallError {
	var r *http.Response
	if resp != nil {
		r = resp.Response
	}
	e := c.fail(resp, err, secrets...)
	if transport.IsUnknown(r, err) {
		e.Class, e.Err = forge.Wait, fmt.Errorf("%w: %w", forge.ErrUnknownOutcome, e.Err)
	}
	return e
}

// cut makes a text one line of at most so many characters.
func cut(s string, characters int) string {
	s = strings.Join(strings.Fields(s), " ")
	if utf8.RuneCountInString(s) <= characters {
		return s
	}
	return string([]rune(s)[:characters-1]) + "…"
}
