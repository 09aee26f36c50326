package desk_test

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stackreeve/stackreeve/internal/api"
	"github.com/stackreeve/stackreeve/internal/desk"
	"github.com/stackreeve/stackreeve/reconciler/pull"
	"github.com/stackreeve/stackreeve/reconciler/report/comment"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/reconciler/store"
)

func TestAPullRequestSaysBrieflyWhatItsPlansDo(t *testing.T) {
	t.Parallel()
	none := stackjob.Plan{}
	outputs := stackjob.Plan{HasChanges: true, Outputs: []stackjob.OutputChange{{Name: "url", Action: stackjob.Update}}}
	providers := stackjob.Plan{HasChanges: true, Providers: 1}
	update := stackjob.Plan{HasChanges: true, Counts: stackjob.Counts{Update: 2}}
	plans := [][]*stackjob.Plan{nil, {nil}, {&none, nil}, {&none, &outputs}, {&providers, &outputs}, {&providers, &update, &update}}
	d := desk.New(desk.Options{
		Pulls: func(context.Context, store.PullQuery) ([]pull.Pull, error) {
			list := make([]pull.Pull, len(plans))
			for i := range list {
				list[i].Key = pull.Key{Repository: "config", Number: i}
			}
			return list, nil
		},
		Standing: func(_ context.Context, p pull.Pull) (view comment.Pull, err error) {
			for _, plan := range plans[p.Key.Number] {
				view.Rows = append(view.Rows, comment.Row{Plan: plan})
			}
			return view, nil
		},
	})
	list, err := d.Pulls(t.Context(), api.PullFilter{})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range list {
		got = append(got, p.Brief)
	}
	// Without a plan nobody knows yet.
	if diff := cmp.Diff([]string{"", "", "no changes", "outputs only", "outputs and providers only", "+0 ~4 -0 ±0"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
