package api

import (
	"errors"
	"net/http"

	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/reconciler/store"
)

// ErrInvalid is wrapped by a Backend's errors about what was asked, such as an
// unknown graph format.
var ErrInvalid = errors.New("invalid request")

// ErrForbidden means that the caller is known and may not do this.
var ErrForbidden = errors.New("not allowed")

// ErrUnauthenticated means that the daemon wants a token, or another one.
var ErrUnauthenticated = errors.New("not authenticated")

// ErrorCode is the stable name of a kind of failure in the API.
type ErrorCode string

// The codes.
const (
	CodeNotFound         ErrorCode = "not-found"
	CodeNoRoute          ErrorCode = "no-such-route"
	CodeMethodNotAllowed ErrorCode = "method-not-allowed"
	CodeIllegalMove      ErrorCode = "illegal-move"
	CodeStackBusy        ErrorCode = "stack-busy"
	CodeStaleApproval    ErrorCode = "stale-approval"
	CodeClaimed          ErrorCode = "claimed-elsewhere"
	CodeNotRestored      ErrorCode = "state-not-restored"
	CodeInvalid          ErrorCode = "invalid-request"
	CodeTooLarge         ErrorCode = "too-large"
	CodeTokenMissing     ErrorCode = "token-missing"
	CodeTokenUnknown     ErrorCode = "token-unknown"
	CodeSignature        ErrorCode = "signature-invalid"
	CodeReadOnlyToken    ErrorCode = "token-is-read-only"
	CodeForbidden        ErrorCode = "forbidden"
	CodeWrongHost        ErrorCode = "wrong-host"
	CodeCrossSite        ErrorCode = "cross-site"
	CodeTooManyStreams   ErrorCode = "too-many-streams"
	CodeNotReady         ErrorCode = "not-ready"
	CodeReadOnly         ErrorCode = "storage-read-only"
	CodeFull             ErrorCode = "storage-full"
	CodeTimeout          ErrorCode = "timed-out"
	CodeStopping         ErrorCode = "daemon-stopping"
	CodeInternal         ErrorCode = "internal"
)

// ErrorCodes lists every code, for documentation and tests.
func ErrorCodes() []ErrorCode {
	return []ErrorCode{CodeNotFound, CodeNoRoute, CodeMethodNotAllowed, CodeIllegalMove, CodeStackBusy, CodeStaleApproval,
		CodeClaimed, CodeNotRestored, CodeInvalid, CodeTooLarge, CodeTokenMissing, CodeTokenUnknown, CodeSignature, CodeReadOnlyToken, CodeForbidden,
		CodeWrongHost, CodeCrossSite, CodeTooManyStreams, CodeNotReady, CodeReadOnly, CodeFull, CodeTimeout, CodeStopping, CodeInternal}
}

// Status is the HTTP status that goes with the code.
func (c ErrorCode) Status() int {
	switch c {
	case CodeNotFound, CodeNoRoute:
		return http.StatusNotFound
	case CodeMethodNotAllowed:
		return http.StatusMethodNotAllowed
	case CodeIllegalMove, CodeStackBusy, CodeStaleApproval, CodeClaimed, CodeNotRestored:
		return http.StatusConflict
	case CodeInvalid:
		return http.StatusUnprocessableEntity
	case CodeTooLarge:
		return http.StatusRequestEntityTooLarge
	case CodeTokenMissing, CodeTokenUnknown, CodeSignature:
		return http.StatusUnauthorized
	case CodeReadOnlyToken, CodeForbidden, CodeCrossSite:
		return http.StatusForbidden
	case CodeWrongHost:
		return http.StatusMisdirectedRequest
	case CodeTooManyStreams, CodeNotReady, CodeStopping, CodeReadOnly:
		return http.StatusServiceUnavailable
	case CodeFull:
		return http.StatusInsufficientStorage
	case CodeTimeout:
		return http.StatusGatewayTimeout
	}
	return http.StatusInternalServerError
}

// Title is the code in words, the same every time.
func (c ErrorCode) Title() string {
	switch c {
	case CodeNotFound:
		return "there is no such thing"
	case CodeNoRoute:
		return "the API has no such route"
	case CodeMethodNotAllowed:
		return "the route does not know this method"
	case CodeIllegalMove:
		return "the job's state does not allow it"
	case CodeStackBusy:
		return "another job runs on this stack"
	case CodeStaleApproval:
		return "the approval is for another plan"
	case CodeClaimed:
		return "another daemon carries the job"
	case CodeNotRestored:
		return "the state is not restored"
	case CodeInvalid:
		return "the request is not valid"
	case CodeTooLarge:
		return "the request is too large"
	case CodeTokenMissing:
		return "a bearer token is needed"
	case CodeTokenUnknown:
		return "the bearer token is not known"
	case CodeSignature:
		return "the delivery's signature does not fit"
	case CodeReadOnlyToken:
		return "the token may only read"
	case CodeForbidden:
		return "this is not allowed"
	case CodeWrongHost:
		return "the daemon does not answer to this host name"
	case CodeCrossSite:
		return "requests from other web sites are refused"
	case CodeTooManyStreams:
		return "too many streams are open"
	case CodeNotReady:
		return "the daemon is not ready"
	case CodeReadOnly:
		return "the data folder cannot be written"
	case CodeFull:
		return "the disk is full"
	case CodeTimeout:
		return "it took too long"
	case CodeStopping:
		return "the daemon stops"
	}
	return "the daemon could not do this"
}

// Problem is how the API answers when it cannot do what was asked (RFC 9457). It
// is an error too, and what [Client] returns.
type Problem struct {
	// Type is "urn:stackreeve:problem:" and the code.
	Type   string    `json:"type"`
	Title  string    `json:"title"`
	Status int       `json:"status"`
	Code   ErrorCode `json:"code"`
	Detail string    `json:"detail,omitempty"`
	// Fields are the parts of the request that are wrong.
	Fields []FieldProblem `json:"fields,omitempty"`
	// CurrentDigest is the digest of the job's plan now, for stale-approval.
	CurrentDigest string `json:"currentDigest,omitempty"`
	// State and Event are set for illegal-move.
	State stackjob.State `json:"state,omitempty"`
	Event stackjob.Event `json:"event,omitempty"`
}

// FieldProblem is one part of a request that is wrong. It never quotes the value.
type FieldProblem struct {
	// Field is "body.planDigest", "query.limit".
	Field   string `json:"field"`
	Message string `json:"message"`
}

// NewProblem makes the problem of a code.
func NewProblem(code ErrorCode, detail string) *Problem {
	return &Problem{Type: "urn:stackreeve:problem:" + string(code), Title: code.Title(), Status: code.Status(), Code: code, Detail: detail}
}

// Error is the detail, or the title when there is none, with the fields that are wrong.
func (p *Problem) Error() string {
	s := p.Detail
	if s == "" {
		s = p.Title
	}
	for _, f := range p.Fields {
		s += "; " + f.Field + ": " + f.Message
	}
	return s
}

// GetStatus is the HTTP status.
func (p *Problem) GetStatus() int { return p.Status }

// ContentType is the media type of a problem.
func (p *Problem) ContentType(string) string { return "application/problem+json" }

// Unwrap gives the error that the daemon had, so that errors.Is and errors.As tell the same on both
// ends of the API.
func (p *Problem) Unwrap() error {
	switch p.Code {
	case CodeNotFound:
		return store.ErrNotFound
	case CodeStackBusy:
		return store.ErrStackBusy
	case CodeReadOnly:
		return store.ErrReadOnly
	case CodeFull:
		return store.ErrFull
	case CodeStaleApproval:
		return stackjob.ErrStaleApproval
	case CodeClaimed:
		return stackjob.ErrFenced
	case CodeIllegalMove:
		return &stackjob.IllegalMove{State: p.State, Event: p.Event}
	case CodeInvalid, CodeNoRoute, CodeMethodNotAllowed, CodeTooLarge:
		return ErrInvalid
	case CodeTokenMissing, CodeTokenUnknown:
		return ErrUnauthenticated
	case CodeReadOnlyToken, CodeForbidden, CodeCrossSite, CodeWrongHost:
		return ErrForbidden
	}
	return nil
}
