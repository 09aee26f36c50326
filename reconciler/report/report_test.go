package report_test

import (
	"encoding/json"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/stackreeve/stackreeve/internal/tool/goldentest"
	"github.com/stackreeve/stackreeve/reconciler/pull"
	"github.com/stackreeve/stackreeve/reconciler/report"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/schema"
)

func golden(t *testing.T, name, got string) {
	t.Helper()
	goldentest.Compare(t, filepath.Join("testdata", name+".golden"), got)
}

const (
	canary = "hmac:canary-of-a-secret"
	evil   = "a\x1b[31mred\r\nnew line\u202egnp.exe\u200b\x00\x9b2J"
)

var (
	now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	key = schema.ResourceKey{Org: "acme", Env: "prod", Kind: "AwsRdsInstance", Name: "orders"}
)

func raw(s string) json.RawMessage { return json.RawMessage(s) }

func plan() stackjob.Plan {
	return stackjob.Plan{
		Digest: "sha256:1a2b3c4d5e6f7081929384", HasChanges: true, Engine: "terraform 1.11.4",
		Counts: stackjob.Counts{Create: 1, Update: 2, Delete: 1, Replace: 2, NoOp: 7, Move: 1},
		Resources: []stackjob.ResourceChange{
			{Address: "aws_vpc.main", Type: "aws_vpc", Action: stackjob.NoOp},
			{Address: "data.aws_ami.base", Type: "aws_ami", Action: stackjob.Read},
			{Address: "aws_iam_role.app", Previous: "aws_iam_role.old", Type: "aws_iam_role", Action: stackjob.NoOp},
			{Address: "aws_instance.new", Type: "aws_instance", Action: stackjob.Create, Attributes: []stackjob.AttributeChange{
				{Path: "ami", After: raw(`"ami-1"`)}, {Path: "id", Unknown: true}, {Path: "user_data", After: raw(`"#!/bin/sh\necho hi\n"`)},
			}},
			{Address: "aws_security_group.web", Type: "aws_security_group", Action: stackjob.Update, Attributes: []stackjob.AttributeChange{
				{Path: "ingress[0].port", Before: raw(`80`), After: raw(`443`)},
				{Path: "tags.Owner", Before: raw(`"ann"`)},
				{Path: "policy", Before: raw(`"{\n  \"a\": 1,\n  \"b\": 2,\n  \"c\": 3,\n  \"d\": 4,\n  \"e\": 5,\n  \"f\": 6\n}\n"`), After: raw(`"{\n  \"a\": 1,\n  \"b\": 2,\n  \"c\": 3,\n  \"d\": 4,\n  \"e\": 5,\n  \"f\": 7\n}\n"`)},
			}},
			{Address: "aws_ssm_parameter.token", Type: "aws_ssm_parameter", Action: stackjob.Update, Attributes: []stackjob.AttributeChange{
				{Path: "value", Before: raw(`"` + canary + `1"`), After: raw(`"` + canary + `2"`), Sensitive: true},
				{Path: "extra", After: raw(`"` + canary + `3"`), Sensitive: true},
			}},
			{Address: "aws_instance.web", Type: "aws_instance", Action: stackjob.Replace, Attributes: []stackjob.AttributeChange{
				{Path: "ami", Before: raw(`"ami-1"`), After: raw(`"ami-2"`), Forces: true},
				{Path: "private_ip", Before: raw(`"10.0.0.1"`), Unknown: true},
			}},
			{Address: "aws_lb.tainted", Type: "aws_lb", Action: stackjob.Replace, Why: "replace_because_tainted"},
			{Address: "aws_db_instance.orders", Type: "aws_db_instance", Action: stackjob.Delete, Why: "delete_because_no_resource_config"},
		},
		Outputs: []stackjob.OutputChange{
			{Name: "url", Action: stackjob.Update, AttributeChange: stackjob.AttributeChange{Before: raw(`"http://a"`), After: raw(`"https://a"`)}},
			{Name: "password", Action: stackjob.Create, AttributeChange: stackjob.AttributeChange{After: raw(`"` + canary + `4"`), Sensitive: true}},
			{Name: "same", Action: stackjob.NoOp},
		},
		Drift: []stackjob.ResourceChange{
			{Address: "aws_security_group.web", Type: "aws_security_group", Action: stackjob.Update, Attributes: []stackjob.AttributeChange{{Path: "ingress[0].port", Before: raw(`443`), After: raw(`80`)}}},
			{Address: "aws_s3_bucket.logs", Type: "aws_s3_bucket", Action: stackjob.Delete},
		},
		Warnings: []string{"Argument is deprecated"},
	}
}

func TestPlansReadLikeThis(t *testing.T) {
	t.Parallel()
	hostile := stackjob.Plan{Digest: evil, HasChanges: true, Engine: evil, Counts: stackjob.Counts{Delete: 1}, Warnings: []string{evil},
		Resources: []stackjob.ResourceChange{{Address: evil, Type: evil, Action: stackjob.Delete, Why: evil, Attributes: []stackjob.AttributeChange{
			{Path: evil, Before: raw("\"" + evil + "\""), After: raw(`"a\u001b[31m\u202e\nsecond line\u0007\n"`), Forces: true},
			{Path: "long", Before: raw(`"` + strings.Repeat("漢", 200) + `"`), After: raw(`1`)},
		}}}}
	for name, p := range map[string]stackjob.Plan{
		"plan":            plan(),
		"plan-no-changes": {Digest: "sha256:00", Counts: stackjob.Counts{NoOp: 3}, Engine: "tofu 1.10.1"},
		"plan-providers": {Digest: "sha256:00", HasChanges: true, Counts: stackjob.Counts{NoOp: 3}, Engine: "pulumi 3.230.0", Providers: 1,
			Warnings: []string{"Warning: The provider main (aws) changes: region."}},
		"plan-neither": {Digest: "sha256:00", HasChanges: true, Counts: stackjob.Counts{NoOp: 3}, Engine: "terraform 1.14.0"}, // an action that it invokes
		"plan-outputs": {Digest: "sha256:00", HasChanges: true, Counts: stackjob.Counts{NoOp: 3}, Engine: "tofu 1.10.1",
			Outputs: []stackjob.OutputChange{{Name: "n", Action: stackjob.Create, AttributeChange: stackjob.AttributeChange{After: raw(`1`)}}}},
		"plan-hostile": hostile,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text := report.Plan(p, report.Style{})
			golden(t, name, text)
			harmless(t, text)
			if strings.Contains(text, canary) || strings.Contains(report.Plan(p, report.Style{Color: true}), canary) {
				t.Error("a sensitive value, or its hash, is shown")
			}
		})
	}
	t.Run("colour changes no word", func(t *testing.T) {
		t.Parallel()
		if d := cmp.Diff(report.Plan(plan(), report.Style{}), withoutColor(report.Plan(plan(), report.Style{Color: true}))); d != "" {
			t.Error(d)
		}
	})
}

func withoutColor(s string) string {
	for _, code := range []string{"0", "1", "2", "31", "32", "33", "36", "1;31"} {
		s = strings.ReplaceAll(s, "\x1b["+code+"m", "")
	}
	return s
}

// harmless fails when a text could do anything to a terminal but show characters.
func harmless(t testing.TB, text string) {
	t.Helper()
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if strings.HasSuffix(line, " ") {
			t.Errorf("a space at the end of %q", line)
		}
		for _, r := range line {
			if !unicode.IsPrint(r) {
				t.Errorf("%q in %q", r, line)
			}
		}
	}
}

func TestCleanLeavesOnlyWhatCanBeSeen(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"plain – 漢字 😀 é":                  "plain – 漢字 😀 é",
		"\x1b[31m":                        `\x1b[31m`,
		"a\nb\r\tc":                       `a\nb\r\tc`,
		"\u202eabc\u2066":                 `\u202eabc\u2066`,
		"\xff\xfe":                        `\xff\xfe`,
		"\u200b\ufeff\u2028":              `\u200b\ufeff\u2028`,
		"\U000e0041":                      `\U000e0041`,
		"\u0085\u009b":                    `\u0085\u009b`,
		"a\u3164b\u115f\u034f\uffa0":      `a\u3164b\u115f\u034f\uffa0`,
		"a\ufe01\ufe0f\u2800\ufe0f":       `a\ufe01\ufe0f\u2800\ufe0f`,
		"⏸\ufe0f":                         "⏸\ufe0f",
		"e\u0301\u0301\u0301\u0301\u0301": "e\u0301\u0301\u0301\u0301" + `\u0301`,
	} {
		if got := report.Clean(in); got != want {
			t.Errorf("Clean(%q) = %q, want %q", in, got, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		s := string(rapid.SliceOf(rapid.Byte()).Draw(t, "bytes")) + rapid.String().Draw(t, "text")
		got := report.Clean(s)
		if !utf8.ValidString(got) || report.Clean(got) != got {
			t.Fatalf("Clean(%q) = %q is not clean", s, got)
		}
		for _, r := range got {
			if !unicode.IsPrint(r) || unicode.Is(unicode.Other_Default_Ignorable_Code_Point, r) {
				t.Fatalf("Clean(%q) holds %q", s, r)
			}
		}
	})
}

func TestLinesOfAProgramAreWithoutColoursAndTabs(t *testing.T) {
	t.Parallel()
	in := "\x1b[1m\x1b[31mError:\x1b[0m no\ttab \r\n\x1b]8;;http://x\x07link\x1b]8;;\x1b\\ \u202eturned\x1b[\n\n ok\n\n\n"
	want := []string{`Error: no   tab`, `link \u202eturned\x1b[`, "", " ok"}
	if d := cmp.Diff(want, report.Lines(in)); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if got := report.Lines("\n\n"); len(got) != 0 {
		t.Errorf("lines of nothing: %q", got)
	}
}

func TestWhatDiffersIsSeenInLongValues(t *testing.T) {
	t.Parallel()
	same := strings.Repeat("x", 500)
	v := report.Arrange(stackjob.Plan{Resources: []stackjob.ResourceChange{{Address: "a", Action: stackjob.Update, Attributes: []stackjob.AttributeChange{
		{Path: "p", Before: raw(`"` + same + `old"`), After: raw(`"` + same + `new"`)},
	}}}})
	a := v.Changes[0].Attributes[0]
	if want := "…" + strings.Repeat("x", 20); a.Before != want+`old"` || a.After != want+`new"` {
		t.Errorf("%s → %s", a.Before, a.After)
	}
}

// TestPulumisReasonsAreSaidInWords has the reasons that its driver gives.
func TestPulumisReasonsAreSaidInWords(t *testing.T) {
	t.Parallel()
	for why, want := range map[string]string{"not_in_program": "it is no longer in the program", "tainted": "it is marked as tainted in the state"} {
		v := report.Arrange(stackjob.Plan{Resources: []stackjob.ResourceChange{{Address: "a", Action: stackjob.Delete, Why: why}}})
		if d := cmp.Diff([]string{want}, v.Danger[0].Why); d != "" {
			t.Errorf("%s (-want +got):\n%s", why, d)
		}
	}
}

func TestDriftIsToldApartFromTheChange(t *testing.T) {
	t.Parallel()
	change := func(path, before, after string) stackjob.AttributeChange {
		return stackjob.AttributeChange{Path: path, Before: raw(before), After: raw(after)}
	}
	v := report.Arrange(stackjob.Plan{
		Drift: []stackjob.ResourceChange{
			{Address: "back", Action: stackjob.Update, Attributes: []stackjob.AttributeChange{change("port", `443`, `80`), change("gone", `1`, `null`)}},
			{Address: "both", Action: stackjob.Update, Attributes: []stackjob.AttributeChange{change("port", `443`, `80`)}},
			{Address: "deleted", Action: stackjob.Delete},
			{Address: "left", Action: stackjob.Update, Attributes: []stackjob.AttributeChange{change("port", `443`, `80`)}},
			{Address: "remade", Action: stackjob.Delete, Attributes: []stackjob.AttributeChange{change("id", `"i"`, ``), change("port", `443`, ``)}},
			{Address: "remade otherwise", Action: stackjob.Delete, Attributes: []stackjob.AttributeChange{change("name", `"a"`, ``), change("port", `443`, ``)}},
		},
		Resources: []stackjob.ResourceChange{
			{Address: "back", Action: stackjob.Update, Attributes: []stackjob.AttributeChange{change("port", `80`, `443`), change("gone", ``, `1`)}},
			{Address: "both", Action: stackjob.Update, Attributes: []stackjob.AttributeChange{change("port", `80`, `443`), change("name", `"a"`, `"b"`)}},
			{Address: "deleted", Action: stackjob.Create, Attributes: []stackjob.AttributeChange{change("port", ``, `443`)}},
			{Address: "own", Action: stackjob.Create},
			{Address: "remade", Action: stackjob.Create, Attributes: []stackjob.AttributeChange{{Path: "id", Unknown: true}, change("port", ``, `443`)}},
			{Address: "remade otherwise", Action: stackjob.Create, Attributes: []stackjob.AttributeChange{change("name", ``, `"b"`), change("port", ``, `443`)}},
		},
	})
	if v.DriftUndone != 5 || v.DriftOnly != 3 {
		t.Errorf("%d changes at addresses that drifted, %d of them nothing else; want 5 and 3", v.DriftUndone, v.DriftOnly)
	}
	for _, r := range v.Changes {
		if want := slices.Contains([]string{"back", "deleted", "remade"}, r.Address); r.DriftOnly != want {
			t.Errorf("%s: only drift is %v", r.Address, r.DriftOnly)
		}
		for _, a := range r.Attributes {
			if want := a.Path != "name"; a.Undoes != want {
				t.Errorf("%s %s: undoes is %v", r.Address, a.Path, a.Undoes)
			}
		}
	}
}

func TestTablesAlignByDisplayWidth(t *testing.T) {
	t.Parallel()
	tab := report.Table{Header: []string{"NAME", "STATE", "NOTE"}}
	tab.Add("漢字", "ok", "")
	tab.Add("😀 smile", "failed", evil)
	tab.Add("é", "", "last")
	tab.Add("short")
	golden(t, "table", tab.String())
	harmless(t, tab.String())
	if d := cmp.Diff(tab.String(), withoutColor(tab.Text(report.Style{Color: true}))); d != "" {
		t.Error(d)
	}
	if got := (report.Table{}).String(); got != "" {
		t.Errorf("an empty table is %q", got)
	}
}

func jobs() []stackjob.Job {
	p := plan()
	desired := stackjob.Desired{Key: key}
	return []stackjob.Job{
		{ID: "sj_5", State: stackjob.WaitingApply, Action: stackjob.Apply, Desired: desired, Plan: &p, Attempt: 1, CreatedAt: now.Add(-90 * time.Second),
			Reason: stackjob.Reason{Code: stackjob.ReasonNeedsApproval, Detail: "acme/prod"}},
		{ID: "sj_4", State: stackjob.Queued, Action: stackjob.Destroy, Desired: desired, CreatedAt: now.Add(-3 * time.Hour), Because: []stackjob.Because{{Cause: stackjob.CauseRemoved}}},
		{ID: "sj_3", State: stackjob.Applying, Action: stackjob.Apply, Desired: desired, Plan: &p, Attempt: 1, CreatedAt: now.Add(time.Hour)},
		{ID: "sj_2", State: stackjob.Failed, Action: stackjob.Apply, Desired: desired, Attempt: 1, CreatedAt: now.Add(-100 * time.Hour), EndedAt: now.Add(-72 * time.Hour),
			Reason: stackjob.Reason{Code: stackjob.ReasonEngine, Detail: evil}},
		{ID: "sj_1", State: stackjob.Succeeded, Purpose: stackjob.PlanOnly, Action: stackjob.Apply, Desired: desired, Plan: &stackjob.Plan{HasChanges: true, OutputsChanged: 2}, CreatedAt: now, EndedAt: now},
	}
}

func TestJobsReadLikeThis(t *testing.T) {
	t.Parallel()
	golden(t, "jobs", report.Jobs(jobs(), now).String())
}

// TestAPlanWithoutResourcesSaysWhatItIsAbout holds for a plan in a list, too, which has
// its numbers and no more.
func TestAPlanWithoutResourcesSaysWhatItIsAbout(t *testing.T) {
	t.Parallel()
	outputs := []stackjob.OutputChange{{Name: "same", Action: stackjob.NoOp}, {Name: "n", Action: stackjob.Create}}
	for _, c := range []struct {
		plan          stackjob.Plan
		cell, summary string
	}{
		{stackjob.Plan{}, "no changes", "No changes."},
		{stackjob.Plan{HasChanges: true, OutputsChanged: 1}, "outputs only", "Plan: only outputs change."},
		{stackjob.Plan{HasChanges: true, Outputs: outputs}, "outputs only", "Plan: only outputs change."},
		{stackjob.Plan{HasChanges: true, Providers: 2}, "providers only", "Plan: only providers change."},
		{stackjob.Plan{HasChanges: true, Providers: 2, OutputsChanged: 1}, "outputs and providers only", "Plan: only outputs and providers change."},
		{stackjob.Plan{HasChanges: true, Outputs: outputs[:1]}, "no resource changes", "Plan: no resource changes."},
		{stackjob.Plan{HasChanges: true, Providers: 2, Counts: stackjob.Counts{Update: 1}}, "+0 ~1 -0 ±0", "Plan: 1 to update."},
	} {
		table := report.Jobs([]stackjob.Job{{Plan: &c.plan}}, now)
		if got := table.Rows[0][4]; got != c.cell || table.Header[4] != "CHANGES" {
			t.Errorf("%+v: %s %q, want %q", c.plan, table.Header[4], got, c.cell)
		}
		if got := report.Arrange(c.plan).Summary; got != c.summary {
			t.Errorf("%+v: %q, want %q", c.plan, got, c.summary)
		}
	}
}

// TestNextNamesCommandsForEveryState also checks that a job that has not ended can be
// stopped, and that approving names the plan.
func TestNextNamesCommandsForEveryState(t *testing.T) {
	t.Parallel()
	p := plan()
	want := map[stackjob.State][]string{
		stackjob.Queued:       {"reeve cancel sj_1"},
		stackjob.WaitingStart: {"reeve approve sj_1", "reeve reject sj_1", "reeve cancel sj_1"},
		stackjob.Planning:     {"reeve logs sj_1 -f", "reeve cancel sj_1"},
		stackjob.WaitingApply: {"reeve approve sj_1 --plan 1a2b3c4d5e6f", "reeve logs sj_1", "reeve reject sj_1", "reeve cancel sj_1"},
		stackjob.Ready:        {"reeve cancel sj_1"},
		stackjob.Applying:     {"reeve logs sj_1 -f", "reeve cancel sj_1"},
		stackjob.Succeeded:    {"reeve logs sj_1"},
		stackjob.Failed:       {"reeve logs sj_1", "reeve rerun sj_1"},
		stackjob.Cancelled:    {"reeve logs sj_1", "reeve rerun sj_1"},
		stackjob.Rejected:     {"reeve logs sj_1", "reeve rerun sj_1"},
		stackjob.Expired:      {"reeve logs sj_1", "reeve rerun sj_1"},
		stackjob.Superseded:   {"reeve logs sj_1"},
		stackjob.Interrupted:  {"reeve logs sj_1", "reeve rerun sj_1"},
	}
	for _, s := range stackjob.States() {
		if d := cmp.Diff(want[s], report.Next(stackjob.Job{ID: "sj_1", State: s, Plan: &p, Attempt: 1})); d != "" {
			t.Errorf("%s: %s", s, d)
		}
	}
	if d := cmp.Diff([]string{"reeve rerun sj_1"}, report.Next(stackjob.Job{ID: "sj_1", State: stackjob.Rejected})); d != "" {
		t.Errorf("a job without a log: %s", d)
	}
	restore := stackjob.Job{ID: "sj_1", Purpose: stackjob.RestoreState, Desired: stackjob.Desired{Key: key}, State: stackjob.Failed, Operations: []stackjob.Operation{{Kind: stackjob.OpBackup}}}
	if d := cmp.Diff([]string{"reeve state list " + key.String()}, report.Next(restore)); d != "" {
		t.Errorf("a restore: %s", d)
	}
}

func TestExplanationsReadLikeThis(t *testing.T) {
	t.Parallel()
	list := jobs()
	waiting := list[0]
	waiting.Hold = &stackjob.Reason{Code: stackjob.ReasonAfterInterrupt, Detail: "sj_0"}
	waiting.Approvals = []stackjob.Approval{{Actor: stackjob.Actor{Name: "ann"}, Gate: stackjob.GateApply, PlanDigest: "sha256:ffffffffffffffff", Comment: "fine\x1b[0m"}}
	policy := stackjob.PolicyChoice{Name: "acme/prod", File: "acme/policies/p.yaml", Line: 3, Prune: schema.PruneApprove,
		Controls: schema.Controls{PauseBetweenPreviewAndUpdateOrDestroy: true, SkipRefresh: true},
		Visited:  []string{`acme/prod (environment "prod"): in force`, "platform/p (platform): lost: acme/prod is for a more specific level (environment)"}}
	for name, s := range map[string]report.Subject{
		"explain-waiting": {Key: key, Status: "waiting", Reason: waiting.Reason, Because: []stackjob.Because{{Cause: stackjob.CauseSpec, Detail: "spec.size"}}, Policy: policy,
			Producers: []schema.ResourceKey{{Org: "acme", Env: "prod", Kind: "AwsVpc", Name: "main"}}, Consumers: []schema.ResourceKey{{Org: "acme", Env: "prod", Kind: "App", Name: "web"}},
			Observed: &stackjob.Observed{Complete: false, JobID: "sj_0", Desired: stackjob.Desired{Commit: "0123456789abcdef"}, Engine: "terraform 1.11.4"}, Job: &waiting,
			Pulls: []report.PullOf{{Name: "infra#7", URL: "https://git.example.com/acme/infra/pulls/7", Role: report.PullHolds}, {Name: "infra#8", Role: report.PullQueues, Place: 1}}},
		"explain-applied": {Key: key, Status: "applied", Policy: stackjob.PolicyChoice{Name: "built-in default"},
			Observed: &stackjob.Observed{Complete: true, JobID: "sj_0", Desired: stackjob.Desired{Commit: "folder:0123456789"}}, Job: &stackjob.Job{ID: "sj_0", State: stackjob.Succeeded, Action: stackjob.Apply},
			Pulls: []report.PullOf{{Name: "infra#7", URL: "https://git.example.com/acme/infra/pulls/7\x1b[0m", Role: report.PullMerged}, {Name: "infra#8", Role: report.PullApplies}}},
		"explain-restored": {Key: key, Status: "waiting", Reason: stackjob.Reason{Code: stackjob.ReasonStateRestored, Detail: "b.tfstate by ann"}, Policy: policy,
			Because: []stackjob.Because{{Cause: stackjob.CauseRestored, Detail: "b.tfstate"}},
			Observed: &stackjob.Observed{JobID: "sj_2", Desired: stackjob.Desired{Commit: "0123456789abcdef"}, Engine: "terraform 1.11.4",
				Restored: &stackjob.Restoration{Backup: "b.tfstate", Why: "the import\x1b[0m went wrong", By: stackjob.Actor{Name: "ann"}, Job: "sj_2", Applied: "sj_1",
					State: stackjob.StateVersion{Serial: 3, Backup: "b.tfstate"}, Replaced: &stackjob.StateVersion{Serial: 7, Backup: "kept.tfstate"}}}},
		"explain-restored-only": {Key: key, Observed: &stackjob.Observed{JobID: "sj_2", Restored: &stackjob.Restoration{Backup: "b.tfstate", Why: "it was destroyed", By: stackjob.Actor{Name: "ann"}, Job: "sj_2"}}},
		"explain-frozen":        {Key: key, Status: "frozen", Reason: stackjob.Reason{Code: stackjob.ReasonFrozen, Detail: "acme/prod/x.yaml:1:2"}},
		"explain-bare":          {Key: key},
		"explain-partial": {Key: key, Status: "failed", Reason: stackjob.Reason{Code: stackjob.ReasonEngine, Detail: "it was told to fail"},
			Observed: &stackjob.Observed{JobID: "sj_0", Desired: stackjob.Desired{Commit: "0123456789abcdef"}, Engine: "pulumi 3.230.0"},
			Job: &stackjob.Job{ID: "sj_0", State: stackjob.Failed, Action: stackjob.Apply, Plan: &stackjob.Plan{Digest: "sha256:0123456789abcdef", HasChanges: true, Counts: stackjob.Counts{Create: 3}},
				Operations: []stackjob.Operation{{Kind: stackjob.OpPlan, Counts: stackjob.Counts{Create: 3}}, {Kind: stackjob.OpApply, Counts: stackjob.Counts{Create: 1}}}}},
		"explain-no-engine": {Key: key, Status: "applied", NoEngine: "no tofu satisfies `> 2` (acme/organization.yaml:3:23); `reeve engine install 'tofu@> 2'` gets it" + evil},
		"explain-released": {Key: key, Status: "applied", Released: []pull.Release{
			{Pull: pull.Key{Repository: "infra", Number: 7}, By: stackjob.Actor{Name: "root"}, At: now, Reason: "it was \"deleted\"" + evil},
			{Pull: pull.Key{Repository: "infra", Number: 6}, By: stackjob.Actor{Name: "root"}, At: now, Reason: "older"}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text := strings.Join(report.Explain(s), "\n") + "\n"
			golden(t, name, text)
			harmless(t, text)
		})
	}
}

// TestEveryReasonThatAJobCanWaitForSaysWhoClearsIt keeps the list of remedies whole.
func TestEveryReasonThatAJobCanWaitForSaysWhoClearsIt(t *testing.T) {
	t.Parallel()
	withoutRemedy := map[stackjob.ReasonCode]bool{}
	for _, c := range stackjob.ReasonCodes() {
		lines := report.Explain(report.Subject{Key: key, Status: "blocked", Reason: stackjob.Reason{Code: c}})
		if len(lines) < 3 {
			withoutRemedy[c] = true
		}
	}
	// What is no hindrance needs no remedy.
	for _, c := range []stackjob.ReasonCode{stackjob.ReasonApproved, stackjob.ReasonOverridden, stackjob.ReasonNoGate, stackjob.ReasonNoChanges, stackjob.ReasonNothingToDo, stackjob.ReasonNewerRevision} {
		if !withoutRemedy[c] {
			t.Errorf("%s has a remedy", c)
		}
		delete(withoutRemedy, c)
	}
	for c := range withoutRemedy {
		t.Errorf("nobody is told who clears %q", c)
	}
}
