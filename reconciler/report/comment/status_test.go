package comment_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stackreeve/stackreeve/reconciler/report/comment"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
)

func TestEveryPullRequestHasTheStatusesThatCanBeRequired(t *testing.T) {
	t.Parallel()
	all := []comment.Environment{{Org: "acme", Name: "dev"}, {Org: "acme", Name: "prod", AppliesBeforeMerge: true}, {Org: "acme", Name: "stage", AppliesBeforeMerge: true}}
	nothing := comment.StatusLine{State: comment.Success, Text: "nothing to apply before the merge"}
	touched := waiting()
	touched.Environments, touched.AppliesBeforeMerge = all, true
	touched.Rows = touched.Rows[:1] // in prod
	for name, test := range map[string]struct {
		pull comment.Pull
		want map[string]comment.StatusLine
	}{
		"it touches nothing": {comment.Pull{State: comment.Nothing, Environments: all}, map[string]comment.StatusLine{"prod": nothing, "stage": nothing}},
		"it touches one": {touched, map[string]comment.StatusLine{
			"prod": {State: comment.Pending, Text: "0 of 1 resource applied"}, "stage": nothing}},
		"its plans are made": {with(touched, func(p *comment.Pull) { p.State = comment.Planning }), map[string]comment.StatusLine{
			"prod": {State: comment.Pending, Text: "0 of 1 resource applied"}}},
		"nobody knows what it touches":  {comment.Pull{State: comment.Refused, Refused: "conflicts", Environments: all}, map[string]comment.StatusLine{}},
		"nobody knows all it touches":   {comment.Pull{State: comment.Failed, Errors: 1, Environments: all}, map[string]comment.StatusLine{}},
		"it is merged and touched none": {comment.Pull{State: comment.Nothing, Merged: true, Environments: all}, map[string]comment.StatusLine{}},
		"another organization has a prod too": {comment.Pull{State: comment.Nothing, Environments: append([]comment.Environment{{Org: "umbrella", Name: "prod"}}, all...)},
			map[string]comment.StatusLine{"acme/prod": nothing, "stage": nothing}},
	} {
		if d := cmp.Diff(test.want, comment.Status(test.pull).Apply); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
	st := comment.Status(comment.Pull{State: comment.Nothing})
	if d := cmp.Diff([]comment.StatusLine{{State: comment.Success, Text: "it changes no resource"}, {State: comment.Success, Text: "no approval is needed"}}, []comment.StatusLine{st.Plan, st.Approval}); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestNothingOfAClosedPullRequestStaysPending(t *testing.T) {
	t.Parallel()
	closed := func(change func(*comment.Pull)) comment.Pull {
		p := waiting()
		p.State = comment.Closed
		change(&p)
		return p
	}
	for name, test := range map[string]struct {
		pull           comment.Pull
		plan, approval comment.StatusLine
		apply          map[string]comment.StatusLine
	}{
		"while it was planned": {
			closed(func(p *comment.Pull) {
				p.Rows = p.Rows[:2]
				p.Rows[1].State, p.Rows[1].Plan, p.Rows[1].Needs, p.Rows[1].Has = comment.RowStopped, nil, 0, 0
			}),
			comment.StatusLine{State: comment.Error, Text: "1 of 2 plans stopped: acme/prod/AwsRdsInstance/orders"},
			comment.StatusLine{State: comment.Error, Text: "closed without a merge"}, nil},
		"before all had said yes": {
			closed(func(p *comment.Pull) { p.Rows = p.Rows[1:2]; p.Rows[0].State = comment.RowStopped }),
			comment.StatusLine{State: comment.Success, Text: "1 plan: +1 ~3 -1 ±2 (1 in state only)"},
			comment.StatusLine{State: comment.Error, Text: "closed without a merge; 1 of 2 approvals"}, nil},
		"when all had said yes": {
			closed(func(p *comment.Pull) {
				p.Rows = p.Rows[1:2]
				p.Rows[0].State, p.Rows[0].Has, p.AppliesBeforeMerge = comment.RowApproved, 2, true
			}),
			comment.StatusLine{State: comment.Success, Text: "1 plan: +1 ~3 -1 ±2 (1 in state only)"},
			comment.StatusLine{State: comment.Success, Text: "2 of 2 approvals"},
			map[string]comment.StatusLine{"prod": {State: comment.Error, Text: "closed without a merge; 0 of 1 resource applied"}}},
		"while an apply goes on": {
			closed(func(p *comment.Pull) {
				p.Rows = p.Rows[1:2]
				p.Rows[0].State, p.Rows[0].Has, p.AppliesBeforeMerge = comment.RowApplying, 2, true
			}),
			comment.StatusLine{State: comment.Success, Text: "1 plan: +1 ~3 -1 ±2 (1 in state only)"},
			comment.StatusLine{State: comment.Success, Text: "2 of 2 approvals"},
			map[string]comment.StatusLine{"prod": {State: comment.Pending, GoesOn: true, Text: "closed without a merge; still applying: 0 of 1 resource applied"}}},
		"when that has ended": {
			closed(func(p *comment.Pull) {
				p.Rows = p.Rows[1:2]
				p.Rows[0].State, p.Rows[0].Has, p.AppliesBeforeMerge = comment.RowApplied, 2, true
			}),
			comment.StatusLine{State: comment.Success, Text: "1 plan: +1 ~3 -1 ±2 (1 in state only)"},
			comment.StatusLine{State: comment.Success, Text: "2 of 2 approvals"},
			map[string]comment.StatusLine{"prod": {State: comment.Success, Text: "1 resource applied"}}},
		"when it could not be merged": {
			comment.Pull{State: comment.Closed, Refused: "conflicts"},
			comment.StatusLine{State: comment.Failure, Text: "nothing is planned: conflicts"},
			comment.StatusLine{State: comment.Error, Text: "closed without a merge"}, nil},
	} {
		st := comment.Status(test.pull)
		got := []comment.StatusLine{comment.Ended(st.Plan), comment.Ended(st.Approval)}
		if d := cmp.Diff([]comment.StatusLine{test.plan, test.approval}, got); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
		for env, want := range test.apply {
			if d := cmp.Diff(want, comment.Ended(st.Apply[env])); d != "" {
				t.Errorf("%s, %s (-want +got):\n%s", name, env, d)
			}
		}
	}
	if got := comment.Ended(comment.StatusLine{}); got != (comment.StatusLine{State: comment.Error, Text: "closed without a merge"}) {
		t.Errorf("a status of an environment that is not touched any more: %+v", got)
	}
	for e, want := range map[comment.Elsewhere]string{
		{Into: "release", Followed: "main"}:   "it goes into release now and not into main; nothing is planned",
		{Into: "release\x1b[1m\nwith a line"}: `it goes into release\x1b[1m\nwith a line now; nothing is planned`,
	} {
		if got := comment.TurnedAway(e); got != (comment.StatusLine{State: comment.Error, Text: want}) {
			t.Errorf("%+v: %+v", e, got)
		}
	}
	if got := comment.Superseded("1a2b3c4d5e6f\x1b[1m"); got != (comment.StatusLine{State: comment.Error, Text: "superseded by 1a2b3c4"}) {
		t.Errorf("%+v", got)
	}
}

// TestWhatChangesBesideResourcesIsSaid has plans that change no resource and wait for a
// person all the same.
func TestWhatChangesBesideResourcesIsSaid(t *testing.T) {
	t.Parallel()
	outputs := []stackjob.OutputChange{{Name: "url", Action: stackjob.Update, AttributeChange: stackjob.AttributeChange{Before: raw(`"a"`), After: raw(`"b"`)}}}
	for name, test := range map[string]struct {
		plan              stackjob.Plan
		brief, also, head string
	}{
		"outputs":   {stackjob.Plan{Outputs: outputs}, "outputs only", "1 output", "1 output"},
		"providers": {stackjob.Plan{Providers: 2}, "providers only", "2 providers", "2 providers"},
		"both":      {stackjob.Plan{Outputs: outputs, Providers: 1}, "outputs and providers only", "1 output, 1 provider", "1 output, 1 provider"},
		"neither":   {stackjob.Plan{}, "no resource changes", "", "no resource changes"},
		"resources": {stackjob.Plan{Outputs: outputs, Providers: 1, Counts: stackjob.Counts{Update: 2}}, "+0 ~2 -0 ±0", "1 output, 1 provider", "+0 ~2 -0 ±0"},
	} {
		test.plan.Digest, test.plan.HasChanges = "sha256:1a2b3c4d5e6f", true
		p := waiting()
		p.Rows = p.Rows[1:2]
		p.Rows[0].Plan = &test.plan
		if got := comment.Status(p).Plan.Text; got != "1 plan: "+test.brief {
			t.Errorf("%s: the status is %q", name, got)
		}
		for _, text := range []string{comment.Living(p, plain).Body, comment.NeedsYou(p, plain).Body} {
			if !strings.Contains(text, "`"+test.brief+"` · ") {
				t.Errorf("%s: %q is not below the title:\n%s", name, test.brief, text)
			}
		}
		text := comment.Living(p, plain).Body
		if test.also != "" && !strings.Contains(text, " | "+test.also+" |") || strings.Contains(text, "| Also |") != (test.also != "") {
			t.Errorf("%s: %q is not in the table:\n%s", name, test.also, text)
		}
		if !strings.Contains(text, "`"+test.head+"` `plan 1a2b3c4d5e6f`") {
			t.Errorf("%s: %q is not at the head of its part:\n%s", name, test.head, text)
		}
	}
}

func TestARejectedPlanIsNotApproved(t *testing.T) {
	t.Parallel()
	p := waiting()
	p.State, p.Rows = comment.Failed, p.Rows[:1]
	p.Rows[0].State, p.Rows[0].Detail = comment.RowStopped, "rejected: by grace"
	for has := range 2 { // whether others said yes or not
		p.Rows[0].Needs, p.Rows[0].Has = 1, has
		want := comment.StatusLine{State: comment.Failure, Text: "rejected: " + p.Rows[0].Key.String()}
		if d := cmp.Diff(want, comment.Status(p).Approval); d != "" {
			t.Errorf("with %d of 1 approval (-want +got):\n%s", has, d)
		}
	}
	if body := comment.Living(p, comment.Limits{}).Body; !strings.Contains(body, "### ⏹️ The plan is rejected") {
		t.Errorf("the title does not say so:\n%s", body)
	}
}
