package web

import (
	"context"
	"errors"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/stackreeve/stackreeve/internal/api"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/reconciler/store"
)

// problemFrom says a backend's error in the API's words.
func problemFrom(err error) *api.Problem {
	var p *api.Problem
	if errors.As(err, &p) {
		return p
	}
	var illegal *stackjob.IllegalMove
	if errors.As(err, &illegal) {
		p := api.NewProblem(api.CodeIllegalMove, err.Error())
		p.State, p.Event = illegal.State, illegal.Event
		return p
	}
	for _, c := range []struct {
		err  error
		code api.ErrorCode
	}{
		{store.ErrNotFound, api.CodeNotFound},
		{store.ErrStackBusy, api.CodeStackBusy},
		{store.ErrReadOnly, api.CodeReadOnly},
		{store.ErrFull, api.CodeFull},
		{stackjob.ErrStaleApproval, api.CodeStaleApproval},
		{stackjob.ErrFenced, api.CodeClaimed},
		{api.ErrInvalid, api.CodeInvalid},
		{api.ErrForbidden, api.CodeForbidden},
		{context.DeadlineExceeded, api.CodeTimeout},
		{context.Canceled, api.CodeStopping},
	} {
		if errors.Is(err, c.err) {
			return api.NewProblem(c.code, err.Error())
		}
	}
	return api.NewProblem(api.CodeInternal, err.Error())
}

// problemOf is problemFrom, and logs what nobody but the operator can do something about.
func (s *Server) problemOf(ctx context.Context, err error) error {
	p := problemFrom(err)
	if p.Code == api.CodeInternal && ctx.Err() == nil {
		s.log.Error("request failed", "error", err)
	}
	return p
}

// withDigest adds what the job's plan is now to the refusal of a stale approval.
func (s *Server) withDigest(ctx context.Context, id stackjob.JobID, err error) error {
	if !errors.Is(err, stackjob.ErrStaleApproval) {
		return err
	}
	p := *problemFrom(err)
	if j, e := s.backend.Job(ctx, id); e == nil && j.Plan != nil {
		p.CurrentDigest = j.Plan.Digest
	}
	return &p
}

// fromHuma says in our words what huma found wrong with a request. Values are left out: a request may
// hold a secret in the wrong place.
func fromHuma(e *huma.ErrorModel) *api.Problem {
	code := api.CodeInvalid
	switch e.Status {
	case http.StatusRequestEntityTooLarge:
		code = api.CodeTooLarge
	case http.StatusInternalServerError:
		code = api.CodeInternal
	case http.StatusRequestTimeout:
		code = api.CodeTimeout
	}
	p := api.NewProblem(code, e.Detail)
	p.Status = e.Status
	for _, d := range e.Errors {
		p.Fields = append(p.Fields, api.FieldProblem{Field: d.Location, Message: d.Message})
	}
	return p
}
