package web

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"

	"github.com/stackreeve/stackreeve/gitsource/forge"
	"github.com/stackreeve/stackreeve/internal/api"
	"github.com/stackreeve/stackreeve/reconciler/store"
)

// WebhookPrefix is below which deliveries of forges are received:
// POST /webhooks/{repository}.
const WebhookPrefix = "/webhooks/"

// Webhook receives a delivery for a repository and returns when it is durable. It
// fails with [forge.ErrSignature], with [store.ErrNotFound] for a repository that takes
// none, or when the delivery could not be kept.
type Webhook func(ctx context.Context, repository string, header http.Header, body []byte) error

const (
	// maxDelivery is the largest delivery that is read. A larger one is refused, and
	// what it was about is found by polling.
	maxDelivery = 5 << 20
	// smallDelivery is how much of each is read at once; nearly all are smaller.
	smallDelivery = 64 << 10
	// deliveries is how many larger ones are read at once.
	deliveries = 8
)

// isDelivery tells a delivery from everything else: it proves by its signature where it
// comes from, carries no token, and comes under whatever name the forge knows us by.
func isDelivery(r *http.Request) bool {
	return r.Method == http.MethodPost && strings.HasPrefix(r.URL.Path, WebhookPrefix)
}

// receive answers a delivery: with 202 when it is durable.
func (s *Server) receive(w http.ResponseWriter, r *http.Request) {
	body, p := s.delivered(w, r)
	if p != nil {
		writeProblem(w, p)
		return
	}
	err := s.webhook(r.Context(), r.PathValue("repository"), r.Header, body)
	switch {
	case err == nil:
		w.WriteHeader(http.StatusAccepted)
	case errors.Is(err, forge.ErrSignature):
		writeProblem(w, api.NewProblem(api.CodeSignature, "it is not signed with the webhook secret of this repository"))
	case errors.Is(err, store.ErrNotFound):
		writeProblem(w, api.NewProblem(api.CodeNotFound, "no repository of this name takes webhooks"))
	case errors.Is(err, errNoDelivery):
		writeProblem(w, api.NewProblem(api.CodeInvalid, "it cannot be read as a delivery"))
	default:
		s.log.Error("a delivery could not be kept", "repository", r.PathValue("repository"), "error", err)
		writeProblem(w, api.NewProblem(api.CodeNotReady, "it could not be kept; send it again"))
	}
}

// delivered reads the body of a delivery. Only one that has sent much takes one of the
// places for large ones: whoever sends slowly, or nothing, holds up nobody.
func (s *Server) delivered(w http.ResponseWriter, r *http.Request) ([]byte, *api.Problem) {
	body := r.Body
	r.Body = io.NopCloser(io.LimitReader(body, smallDelivery))
	b, p := s.bytesOf(w, r, 0, maxDelivery)
	if p != nil || len(b) < smallDelivery {
		return b, p
	}
	select {
	case s.arriving <- struct{}{}:
		defer func() { <-s.arriving }()
	case <-r.Context().Done():
		return nil, api.NewProblem(api.CodeInvalid, "the body did not arrive whole")
	}
	r.Body = body
	rest, p := s.bytesOf(w, r, int64(len(b)), maxDelivery)
	return append(b, rest...), p
}

// errNoDelivery means that a body is no delivery.
var errNoDelivery = errors.New("it cannot be read as a delivery")

// NoDelivery wraps the error of a delivery that was signed and cannot be read.
func NoDelivery(err error) error { return errors.Join(errNoDelivery, err) }
