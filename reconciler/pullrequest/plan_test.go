package pullrequest

import (
	"context"
	"errors"
	"testing"

	"github.com/stackreeve/stackreeve/reconciler/pull"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/reconciler/store"
)

// answers are records that know a job, or why it cannot be read.
type answers struct {
	Records
	jobs map[stackjob.JobID]error
}

func (a answers) Job(_ context.Context, id stackjob.JobID) (stackjob.Job, error) {
	return stackjob.Job{ID: id, State: stackjob.Planning}, a.jobs[id]
}

func TestWhetherPlansAreOpenIsNotSaidWhenTheyCannotBeRead(t *testing.T) {
	t.Parallel()
	broken := errors.New("the disk is gone")
	for name, c := range map[string]struct {
		jobs map[stackjob.JobID]error
		open bool
		err  error
	}{
		"one is at work":               {map[stackjob.JobID]error{"sj_1": nil}, true, nil},
		"one was pruned":               {map[stackjob.JobID]error{"sj_1": store.ErrNotFound}, false, nil},
		"one was pruned, one is at it": {map[stackjob.JobID]error{"sj_1": store.ErrNotFound, "sj_2": nil}, true, nil},
		"one cannot be read":           {map[stackjob.JobID]error{"sj_1": nil, "sj_2": broken}, false, broken},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			round := pull.Round{Rows: []pull.Row{{}}}
			for id := range c.jobs {
				round.Rows = append(round.Rows, pull.Row{Job: id})
			}
			s := &sitting{l: &Loop{o: Options{Records: answers{jobs: c.jobs}}}, p: pull.Pull{Round: &round}}
			open, givenUp, err := s.plans(t.Context())
			if open != c.open || givenUp || !errors.Is(err, c.err) {
				t.Errorf("open %t, given up %t, error %v", open, givenUp, err)
			}
		})
	}
}
