package web

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/stackreeve/stackreeve/internal/api"
	"github.com/stackreeve/stackreeve/reconciler/pull"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
)

// answerBody is what a person says to a job.
type answerBody struct {
	PlanDigest string `json:"planDigest,omitempty" maxLength:"200" doc:"The plan that was seen: its digest, or the first twelve characters. Needed to approve an apply."`
	Comment    string `json:"comment,omitempty" maxLength:"2000" doc:"Why, for the record."`
}

type answerInput struct {
	JobPath
	Body *answerBody `required:"false"`
}

type unlockInput struct {
	Repository string      `path:"repository" maxLength:"200" doc:"The name in the configuration."`
	Number     int         `path:"number" minimum:"1"`
	Body       *unlockBody `required:"false"`
}

// unlockBody is why turns are ended, and which.
type unlockBody struct {
	Selectors []string `json:"selectors,omitempty" maxItems:"100" doc:"Which of its stacks: prod, prod/TerraformStack/web-*; all when left out."`
	Reason    string   `json:"reason" minLength:"1" maxLength:"2000" doc:"Why, for the record. Without one nothing is ended."`
}

// restoreBody says which backup takes the place of a stack's state, and why.
type restoreBody struct {
	Backup string `json:"backup" minLength:"1" maxLength:"200" doc:"The name of a backup; its suffix may be left out."`
	Reason string `json:"reason" minLength:"1" maxLength:"2000" doc:"Why, for the history."`
	Force  bool   `json:"force,omitempty" doc:"Restore a backup of another lineage too."`
}

// acting registers what changes something. Who acts is the caller that admit found, never
// something in the request.
func (r registrar) acting() {
	for _, a := range []struct {
		verb, summary string
		act           func(context.Context, api.Answer) (stackjob.Job, error)
	}{
		{"approve", "Say yes to a job that waits", r.backend.Approve},
		{"reject", "Say no to a job and end it", r.backend.Reject},
		{"cancel", "Stop a job", r.backend.Cancel},
		{"rerun", "Make a new job for the same stack from its newest desired state", r.backend.Rerun},
	} {
		post(r, "/jobs/{id}/"+a.verb, a.verb+"Job", a.summary, func(ctx context.Context, in *answerInput) (*one[stackjob.Job], error) {
			who := callerOf(ctx).actor
			answer := api.Answer{Job: in.ID, Actor: who}
			if in.Body != nil {
				answer.PlanDigest, answer.Comment = in.Body.PlanDigest, in.Body.Comment
			}
			j, err := a.act(ctx, answer)
			r.acted(ctx, a.verb, string(in.ID), err)
			if err != nil {
				return nil, r.withDigest(ctx, in.ID, err)
			}
			return oneOf(j, nil)
		})
	}
	post(r, "/pulls/{repository}/{number}/unlock", "unlockPull", "End turns of a pull request that cannot be asked to give them back", func(ctx context.Context, in *unlockInput) (*list[pull.Release], error) {
		u := api.Unlock{Repository: in.Repository, Number: in.Number, Actor: callerOf(ctx).actor}
		if in.Body != nil {
			u.Selectors, u.Reason = in.Body.Selectors, in.Body.Reason
		}
		ended, err := r.backend.Unlock(ctx, u)
		r.acted(ctx, "unlock", pull.Key{Repository: in.Repository, Number: in.Number}.String(), err)
		return listOf(ended, err)
	})
	post(r, "/resources/{org}/{env}/{kind}/{name}/restore", "restoreState", "Put a backup in the place of a stack's state", func(ctx context.Context, in *struct {
		ResourcePath
		Body restoreBody
	},
	) (*one[stackjob.Job], error) {
		j, err := r.backend.RestoreState(ctx, api.StateRestore{Key: in.key(), Actor: callerOf(ctx).actor, Backup: in.Body.Backup, Reason: in.Body.Reason, Force: in.Body.Force})
		r.acted(ctx, "restore-state", in.key().String(), err)
		return oneOf(j, err)
	})
	post(r, "/repositories/{name}/poll", "pollRepository", "Look at a repository now", func(ctx context.Context, in *struct {
		Name string `path:"name" maxLength:"200"`
	},
	) (*one[api.RepositoryStatus], error) {
		st, err := r.backend.Poll(ctx, in.Name, callerOf(ctx).actor)
		r.acted(ctx, "poll", in.Name, err)
		return oneOf(st, err)
	})
}

func post[I, O any](r registrar, path, id, summary string, h func(context.Context, *I) (*O, error)) {
	op := r.operation(http.MethodPost, path, id, summary)
	op.DefaultStatus = http.StatusOK
	op.Security = []map[string][]string{{"token": {}}}
	huma.Register(r.api, op, translated(r.Server, h))
}

// acted is the one log line of an act; reading writes none.
func (s *Server) acted(ctx context.Context, verb, object string, err error) {
	who := callerOf(ctx).actor
	if err != nil {
		s.log.Info("act refused", "act", verb, "object", object, "actor", who.Name, "via", who.Via, "code", string(problemFrom(err).Code))
		return
	}
	s.log.Info("act accepted", "act", verb, "object", object, "actor", who.Name, "via", who.Via)
}
