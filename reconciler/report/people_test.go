package report_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stackreeve/stackreeve/reconciler/report"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/schema"
)

func person(name string) schema.Person { return schema.Person{Name: name} }

func TestExplainSaysWhoseApprovalsAreWanted(t *testing.T) {
	t.Parallel()
	var crowd []schema.Person
	for i := range 12 {
		crowd = append(crowd, person(fmt.Sprintf("p%02d", i)))
	}
	for _, tt := range []struct {
		name   string
		choice stackjob.PolicyChoice
		want   []string
	}{
		{"nothing", stackjob.PolicyChoice{}, []string{"Policy p is in force: applies by itself."}},
		{"a team", stackjob.PolicyChoice{Approvals: &stackjob.Approvals{Required: 2, From: []schema.Approver{
			{Name: "team/platform", People: []schema.Person{person("ada"), person("github:linus")}}, {Name: "grace", People: []schema.Person{person("grace")}}, {Name: "team/gone"}}}},
			[]string{"Policy p is in force: plan needs 2 approvals.", "It wants 2 approvals from team/platform (ada, github:linus), grace, team/gone (nobody); who proposed the change does not count."}},
		{"anybody", stackjob.PolicyChoice{Approvals: &stackjob.Approvals{Required: 1, AuthorMayApprove: true, ByReview: true}, ApplyBeforeMerge: true},
			[]string{"Policy p is in force: plan needs approval.", "It wants 1 approval of anybody who may act; who proposed the change counts too.",
				"An approving review on the forge counts for the plans that were shown when it was written.", "Approved plans may be applied from the pull request, before it is merged."}},
		{"a way out", stackjob.PolicyChoice{Controls: schema.Controls{PauseBetweenPreviewAndUpdateOrDestroy: true}, Override: []schema.Approver{{Name: "github:Root", People: []schema.Person{person("root-account")}}}},
			[]string{"Policy p is in force: plan needs approval.", "Past its approvals, with a reason, may go github:Root (root-account)."}},
		{"a crowd", stackjob.PolicyChoice{Approvals: &stackjob.Approvals{From: []schema.Approver{{Name: "team/crowd", People: crowd}}}},
			[]string{"Policy p is in force: applies by itself.", "It wants 1 approval from team/crowd (p00, p01, p02, p03, p04, p05, p06, p07, p08, p09 and 2 more); who proposed the change does not count."}},
	} {
		tt.choice.Name = "p"
		got := report.Explain(report.Subject{Key: key, Status: "applied", Policy: tt.choice})
		got = slices.DeleteFunc(got, func(l string) bool {
			return strings.HasPrefix(l, key.String()) || strings.HasPrefix(l, "Nothing of it")
		})
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}

func TestExplainSaysWhatAnApprovalWas(t *testing.T) {
	t.Parallel()
	const digest = "sha256:1a2b3c4d5e6f7a8b"
	job := &stackjob.Job{ID: "sj_1", State: stackjob.WaitingApply, Action: stackjob.Apply, Plan: &stackjob.Plan{Digest: digest}, Approvals: []stackjob.Approval{
		{Actor: stackjob.Actor{Name: "ada", Via: "github"}, Gate: stackjob.GateApply, PlanDigest: digest, OwnProposal: true},
		{Actor: stackjob.Actor{Name: "root", Via: "github"}, Gate: stackjob.GateApply, PlanDigest: digest, Override: true, Comment: "we are down"},
	}}
	text := strings.Join(report.Explain(report.Subject{Key: key, Status: "waiting", Job: job}), "\n")
	for _, want := range []string{"ada, who proposed the change, approved it as plan 1a2b3c4d5e6f.", `root asked to go past the approvals of it as plan 1a2b3c4d5e6f: "we are down".`} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in:\n%s", want, text)
		}
	}
}

func TestApprovalsInATable(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		approvals *schema.ApprovalRule
		override  []string
		want      string
	}{
		{nil, nil, "-"},
		{&schema.ApprovalRule{Required: 2, From: []string{"team/platform", "ada"}}, nil, "2 of team/platform, ada"},
		{&schema.ApprovalRule{AuthorMayApprove: true, ByReview: true}, []string{"root", "github:ada"}, "1 of anybody; author counts; reviews count; override: root, github:ada"},
		{nil, []string{"root"}, "override: root"},
	} {
		if got := report.Approvals(tt.approvals, tt.override); got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
}
