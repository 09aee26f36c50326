package transport

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode"

	"github.com/stackreeve/stackreeve/gitsource/forge"
)

// neverSent tells of an error that no byte of the request can have left.
func neverSent(err error) bool {
	var op *net.OpError
	var dns *net.DNSError
	return errors.As(err, &dns) || errors.As(err, &op) && (op.Op == "dial" || op.Op == "proxyconnect") || isCertificate(err)
}

// isCertificate tells of a connection that was refused for its certificate, or that
// speaks no TLS: nothing was sent, and trying again will not help.
func isCertificate(err error) bool {
	var verification *tls.CertificateVerificationError
	var authority x509.UnknownAuthorityError
	var host x509.HostnameError
	var invalid x509.CertificateInvalidError
	var record tls.RecordHeaderError
	return errors.As(err, &verification) || errors.As(err, &authority) || errors.As(err, &host) ||
		errors.As(err, &invalid) || errors.As(err, &record)
}

// IsUnknown tells of a write that was not answered so that one knows whether it happened:
// the answer was lost, could not be read, or came from something before the forge. resp
// is nil when there was none; err is what the library made of it.
func IsUnknown(resp *http.Response, err error) bool {
	if err == nil {
		return false
	}
	if resp == nil {
		var e *Error
		return !errors.As(err, &e) || !e.Unsent
	}
	switch resp.StatusCode {
	case http.StatusInternalServerError, http.StatusBadGateway, http.StatusGatewayTimeout:
		return true
	case http.StatusServiceUnavailable:
		return resp.Header.Get("Retry-After") == ""
	}
	return resp.StatusCode < http.StatusMultipleChoices // the answer was good, but not to be read
}

// Failure makes the port's error of a call that failed. resp is nil when there was no
// answer; said is what the forge wrote, of which one line is kept; err is what the
// library made of it, and is not quoted when there was an answer.
func Failure(call string, resp *http.Response, said string, err error) *forge.CallError {
	e := &forge.CallError{Call: call, Class: forge.Wait}
	if resp == nil {
		var inner *url.Error
		if errors.As(err, &inner) { // the address may be long, and is known
			err = inner.Err
		}
		var mine *Error
		if errors.As(err, &mine) {
			e.RetryAfter = mine.RetryAfter
		}
		if isCertificate(err) {
			e.Class = forge.Person
		}
		var token *forge.CallError
		if errors.As(err, &token) { // getting the credential was a call, too
			e.Status, e.Class, e.RetryAfter = token.Status, token.Class, token.RetryAfter
		}
		e.Err = err
		return e
	}
	now := time.Now()
	e.Status = resp.StatusCode
	said = Line(withoutCredentials(said, resp.Request))
	if said == "" {
		said = strings.ToLower(http.StatusText(resp.StatusCode))
	}
	e.Err = errors.New(said)
	if met, limited := limitOf(resp, now); limited {
		e.RetryAfter = met.wait
		if !met.named {
			e.RetryAfter = unnamed
		}
		return e
	}
	if wait, told := RetryAfter(resp.Header, now); told {
		e.RetryAfter = wait
	}
	switch {
	case resp.StatusCode == http.StatusNotFound || resp.StatusCode == http.StatusGone:
		e.Class, e.Err = forge.Person, fmt.Errorf("%w: %s", forge.ErrNotFound, said)
	case resp.StatusCode == http.StatusUnauthorized, resp.StatusCode == http.StatusForbidden,
		resp.StatusCode == http.StatusPaymentRequired, resp.StatusCode == http.StatusProxyAuthRequired,
		resp.StatusCode == http.StatusUnavailableForLegalReasons,
		resp.StatusCode >= 300 && resp.StatusCode < 400: // the repository is elsewhere
		e.Class = forge.Person
	case resp.StatusCode >= 400 && resp.StatusCode < 500 && resp.StatusCode != http.StatusConflict &&
		resp.StatusCode != http.StatusRequestTimeout && resp.StatusCode != http.StatusLocked && resp.StatusCode != http.StatusTooEarly:
		e.Class = forge.Bug
	case resp.StatusCode < 300:
		e.Err = fmt.Errorf("the answer cannot be read: %w", err)
	}
	return e
}

// credentialHeaders are those that prove who asks.
var credentialHeaders = []string{"Authorization", "Proxy-Authorization", "Private-Token", "Job-Token"}

// withoutCredentials takes out of what was said the credentials that were sent: a proxy
// or a forge that debugs may show them.
func withoutCredentials(said string, sent *http.Request) string {
	if sent == nil {
		return said
	}
	for _, name := range credentialHeaders {
		for _, value := range sent.Header.Values(name) {
			if _, rest, ok := strings.Cut(value, " "); ok {
				value = rest // what follows "Bearer"
			}
			if value = strings.TrimSpace(value); value != "" {
				said = strings.ReplaceAll(said, value, "[secret]")
			}
		}
	}
	return said
}

// Line makes one short line of what a forge wrote: without control characters, and cut
// after 200 characters.
func Line(said string) string {
	clean := strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) {
			return ' '
		}
		if !unicode.IsGraphic(r) {
			return -1
		}
		return r
	}, said)
	clean = strings.Join(strings.Fields(clean), " ")
	if runes := []rune(clean); len(runes) > 200 {
		clean = string(runes[:199]) + "…"
	}
	return clean
}
