package comment_test

import (
	"encoding/json"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/stackreeve/stackreeve/internal/tool/goldentest"
	"github.com/stackreeve/stackreeve/reconciler/pull"
	"github.com/stackreeve/stackreeve/reconciler/report/comment"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/schema"
)

func golden(t *testing.T, name, got string) {
	t.Helper()
	goldentest.Compare(t, filepath.Join("testdata", name+".md"), got)
}

// The limits of the forges.
var (
	github = comment.Limits{Bytes: 65_536, Folds: true, Mermaid: true}
	gitlab = comment.Limits{Bytes: 1_000_000, Folds: true, Mermaid: true}
	gitea  = comment.Limits{Bytes: 262_144, Folds: true, Mermaid: true}
	plain  = comment.Limits{Bytes: 65_536}
)

const (
	canary = "hmac:canary-of-a-secret"
	page   = "https://reeve.example.com/pulls/infra/7"
)

func raw(s string) json.RawMessage { return json.RawMessage(s) }

func key(env, kind, name string) schema.ResourceKey {
	return schema.ResourceKey{Org: "acme", Env: env, Kind: kind, Name: name}
}

var (
	database = key("prod", "AwsRdsInstance", "orders")
	network  = key("prod", "AwsVpc", "main")
	cluster  = key("prod", "AwsEksCluster", "apps")
	service  = key("prod", "TerraformStack", "billing")
	cache    = key("dev", "AwsElasticache", "sessions")
)

func job(id string) string { return "https://reeve.example.com/jobs/" + id }

// databasePlan loses data, and undoes drift.
func databasePlan() *stackjob.Plan {
	return &stackjob.Plan{
		Digest: "sha256:1a2b3c4d5e6f7081929384", HasChanges: true, Engine: "terraform 1.11.4",
		Counts: stackjob.Counts{Create: 1, Update: 3, Delete: 1, Replace: 2, NoOp: 7, Move: 1},
		Resources: []stackjob.ResourceChange{
			{Address: "aws_vpc.main", Type: "aws_vpc", Action: stackjob.NoOp},
			{Address: "aws_iam_role.app", Previous: "aws_iam_role.old", Type: "aws_iam_role", Action: stackjob.NoOp},
			{Address: "aws_instance.new", Type: "aws_instance", Action: stackjob.Create, Attributes: []stackjob.AttributeChange{
				{Path: "ami", After: raw(`"ami-1"`)}, {Path: "id", Unknown: true},
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
			{Address: "aws_route53_record.db", Type: "aws_route53_record", Action: stackjob.Update, Attributes: []stackjob.AttributeChange{
				{Path: "ttl", Before: raw(`60`), After: raw(`300`)},
			}},
			{Address: "aws_instance.web", Type: "aws_instance", Action: stackjob.Replace, Attributes: []stackjob.AttributeChange{
				{Path: "ami", Before: raw(`"ami-1"`), After: raw(`"ami-2"`), Forces: true},
				{Path: "private_ip", Before: raw(`"10.0.0.1"`), Unknown: true},
			}},
			{Address: "aws_lb.front", Type: "aws_lb", Action: stackjob.Replace, Why: "replace_because_tainted"},
			{Address: "aws_db_instance.orders", Type: "aws_db_instance", Action: stackjob.Delete, Why: "delete_because_no_resource_config", Attributes: []stackjob.AttributeChange{
				{Path: "engine", Before: raw(`"postgres"`)}, {Path: "password", Before: raw(`"` + canary + `4"`), Sensitive: true},
			}},
		},
		Outputs: []stackjob.OutputChange{
			{Name: "password", Action: stackjob.Create, AttributeChange: stackjob.AttributeChange{After: raw(`"` + canary + `5"`), Sensitive: true}},
			{Name: "url", Action: stackjob.Update, AttributeChange: stackjob.AttributeChange{Before: raw(`"http://a.example.com"`), After: raw(`"https://a.example.com"`)}},
		},
		Drift: []stackjob.ResourceChange{
			{Address: "aws_route53_record.db", Type: "aws_route53_record", Action: stackjob.Update, Attributes: []stackjob.AttributeChange{{Path: "ttl", Before: raw(`300`), After: raw(`60`)}}},
			{Address: "aws_security_group.web", Type: "aws_security_group", Action: stackjob.Update, Attributes: []stackjob.AttributeChange{{Path: "ingress[0].port", Before: raw(`443`), After: raw(`80`)}}},
			{Address: "aws_s3_bucket.logs", Type: "aws_s3_bucket", Action: stackjob.Update, Attributes: []stackjob.AttributeChange{
				{Path: "tags.Team", Before: raw(`"data"`)}, {Path: "key", Before: raw(`"` + canary + `6"`), After: raw(`"` + canary + `7"`), Sensitive: true},
			}},
		},
		Warnings: []string{"Argument is deprecated: use engine_version of aws_db_instance"},
		Text: "Terraform will perform the following actions:\n\n\x1b[1m  # aws_instance.web\x1b[0m must be \x1b[1m\x1b[31mreplaced\x1b[0m\n" +
			"-/+ resource \"aws_instance\" \"web\" {\n      ~ ami = \"ami-1\" -> \"ami-2\" # forces replacement\n    }\n\nPlan: 3 to add, 3 to change, 3 to destroy.\n",
	}
}

func networkPlan() *stackjob.Plan {
	return &stackjob.Plan{
		Digest: "sha256:9f8e7d6c5b4a3928", HasChanges: true, Engine: "terraform 1.11.4", Counts: stackjob.Counts{Update: 1, NoOp: 4},
		Resources: []stackjob.ResourceChange{
			{Address: "aws_subnet.a", Type: "aws_subnet", Action: stackjob.Update, Attributes: []stackjob.AttributeChange{
				{Path: "tags.Tier", Before: raw(`"public"`), After: raw(`"private"`)},
			}},
		},
		Text: "  # aws_subnet.a will be updated in-place\n",
	}
}

func clusterPlan() *stackjob.Plan {
	return &stackjob.Plan{
		Digest: "sha256:77aa66bb55cc44dd", HasChanges: true, Engine: "pulumi 3.190.0", Counts: stackjob.Counts{Create: 2},
		Resources: []stackjob.ResourceChange{
			{Address: "urn:pulumi:prod::apps::aws:eks/cluster:Cluster::apps", Type: "aws:eks/cluster:Cluster", Action: stackjob.Create, Attributes: []stackjob.AttributeChange{
				{Path: "version", After: raw(`"1.33"`)}, {Path: "vpcId", After: raw(`"vpc-0a1b"`)},
			}},
			{Address: "urn:pulumi:prod::apps::aws:iam/role:Role::apps", Type: "aws:iam/role:Role", Action: stackjob.Create, Attributes: []stackjob.AttributeChange{
				{Path: "name", After: raw(`"apps"`)},
			}},
		},
	}
}

func nothingPlan() *stackjob.Plan {
	return &stackjob.Plan{Digest: "sha256:00", Engine: "terraform 1.11.4", Counts: stackjob.Counts{NoOp: 3}}
}

// waiting is a pull request in which somebody must approve.
func waiting() comment.Pull {
	return comment.Pull{
		Mark: "plan/infra/7", Number: 7, State: comment.Waiting, Round: 2,
		Head: "1a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d", Base: "9f8e7d6c5b4a39281706f5e4d3c2b1a098765432",
		Rows: []comment.Row{
			{Key: network, State: comment.RowPlanned, Action: stackjob.Apply, Plan: networkPlan(), Because: []string{"its spec changed: spec.subnets[0].tags"},
				Took: 2300 * time.Millisecond, Link: job("sj_01")},
			{Key: database, State: comment.RowWaiting, Action: stackjob.Apply, Plan: databasePlan(), Because: []string{"its spec changed: spec.instanceClass", "its module changed: a1b2c3d → e4f5a6b"},
				Policy: "prod-databases", Has: 1, Needs: 2, ApprovedBy: []string{"ann"}, After: []schema.ResourceKey{network}, Took: 12 * time.Second, Link: job("sj_02")},
			{Key: cluster, State: comment.RowWaiting, Action: stackjob.Apply, Plan: clusterPlan(), Because: []string{"the resource is new"},
				Policy: "prod", Needs: 1, After: []schema.ResourceKey{network}, Took: 4100 * time.Millisecond, Link: job("sj_03")},
			{Key: service, State: comment.RowDeferred, Action: stackjob.Apply, Engine: "terraform", Because: []string{"the resource is new"}, Deferred: cluster, After: []schema.ResourceKey{cluster}},
			{Key: cache, State: comment.RowUnchanged, Action: stackjob.Apply, Plan: nothingPlan(), MovedFrom: "dev/cache.yaml", Took: time.Second, Link: job("sj_04")},
		},
		Blocks: []comment.Block{
			{What: "the plan of acme/prod/AwsRdsInstance/orders needs 1 more approval", Who: "anyone of the team databases, except the author"},
			{What: "the plan of acme/prod/AwsEksCluster/apps needs 1 approval", Who: "anyone of the team platform"},
			{What: "the branch can be merged", Cleared: true},
		},
		Moved:     []string{"acme/prod/AwsRdsInstance/orders: +1 replace aws_lb.front"},
		Commands:  []string{"reeve approve --all", "reeve approve prod/AwsRdsInstance/orders --plan 1a2b3c4d5e6f", "reeve reject --all", "reeve explain prod"},
		Page:      page,
		PlannedIn: 14 * time.Second, ExpiresAt: time.Date(2026, 3, 8, 12, 0, 0, 0, time.UTC),
	}
}

// with changes the rows of a pull request.
func with(p comment.Pull, change func(*comment.Pull)) comment.Pull {
	change(&p)
	return p
}

// pulls are pull requests in every state.
func pulls() map[comment.State]comment.Pull {
	all := map[comment.State]comment.Pull{comment.Waiting: waiting()}
	base := func(s comment.State, change func(*comment.Pull)) {
		p := waiting()
		p.State, p.Blocks, p.Moved, p.Commands = s, nil, nil, nil
		change(&p)
		for i := range p.Rows {
			switch r := &p.Rows[i]; { // without a plan the engine is known, and not its version
			case r.Plan != nil:
				r.Engine = ""
			case r.Key == cluster:
				r.Engine = "pulumi"
			default:
				r.Engine = "terraform"
			}
		}
		all[s] = p
	}
	base(comment.Planning, func(p *comment.Pull) {
		p.PlannedIn, p.ExpiresAt, p.Round = 0, time.Time{}, 1
		for i := range p.Rows {
			r := &p.Rows[i]
			switch i {
			case 0:
			case 1:
				r.State, r.Plan, r.Took = comment.RowPlanning, nil, 0
			default:
				r.State, r.Plan, r.Took, r.Queued, r.MovedFrom = comment.RowQueued, nil, 0, i, ""
			}
			r.Has, r.ApprovedBy, r.Deferred = 0, nil, schema.ResourceKey{}
		}
		p.Commands = []string{"reeve cancel"}
	})
	base(comment.Refused, func(p *comment.Pull) {
		p.Rows, p.PlannedIn, p.ExpiresAt = nil, 0, time.Time{}
		p.Refused = "the merge of 1a2b3c4 into main has conflicts"
		p.Conflicts = []string{"prod/orders.yaml", "prod/network.yaml"}
		p.Errors = 1
		p.Report = "prod/orders.yaml:4:7: error: unknown field [unknown-field]\n    4 |   spce:\n      |   ^^^^\n  hint: did you mean \"spec\"?\n"
		p.Commands = []string{"reeve plan"}
	})
	base(comment.Failed, func(p *comment.Pull) {
		r := &p.Rows[2]
		r.State, r.Plan, r.Detail = comment.RowFailed, nil, "the engine failed: pulumi exited with code 255"
		r.Log = "Diagnostics:\n  pulumi:pulumi:Stack (apps-prod):\n    \x1b[31merror:\x1b[0m update failed\n  aws:eks:Cluster (apps):\n    error: no such VPC: vpc-0a1b\n"
		p.Rows[3].State, p.Rows[3].Deferred = comment.RowStopped, schema.ResourceKey{}
		p.Rows[3].Detail = "it waits for acme/prod/AwsEksCluster/apps, which failed"
		p.Blocks = []comment.Block{{What: "the plan of acme/prod/AwsEksCluster/apps failed", Who: "whoever sets it right, then reeve rerun"}}
		p.Commands = []string{"reeve rerun prod/AwsEksCluster/apps", "reeve plan"}
	})
	base(comment.Approved, func(p *comment.Pull) {
		for i := range p.Rows {
			if r := &p.Rows[i]; r.State == comment.RowWaiting {
				r.State, r.Has, r.ApprovedBy = comment.RowApproved, r.Needs, []string{"ann", "bob-2"}[:r.Needs]
			}
		}
		p.Commands = []string{"reeve reject --all"}
	})
	base(comment.Nothing, func(p *comment.Pull) {
		for i := range p.Rows {
			r := &p.Rows[i]
			*r = comment.Row{Key: r.Key, State: comment.RowUnchanged, Action: stackjob.Apply, Plan: nothingPlan(), Took: time.Second, Link: r.Link}
		}
		p.ExpiresAt = time.Time{}
	})
	base(comment.Applying, func(p *comment.Pull) {
		p.Merged = true
		for i, s := range []comment.RowState{comment.RowApplied, comment.RowApplying, comment.RowQueued, comment.RowDeferred, comment.RowUnchanged} {
			p.Rows[i].State, p.Rows[i].Needs, p.Rows[i].ApprovedBy, p.Rows[i].Has = s, 0, nil, 0
		}
		p.Rows[2].Queued = 1
		p.Commands = []string{"reeve cancel"}
	})
	base(comment.Applied, func(p *comment.Pull) {
		p.Merged, p.ExpiresAt = true, time.Time{}
		p.Rows[3].Plan, p.Rows[3].Deferred = clusterPlan(), schema.ResourceKey{}
		for i := range p.Rows[:4] {
			p.Rows[i].State = comment.RowApplied
		}
	})
	base(comment.Closed, func(p *comment.Pull) {
		for i := range p.Rows[:4] {
			p.Rows[i].State, p.Rows[i].Detail = comment.RowStopped, ""
		}
	})
	return all
}

// outcome is a pull request of which one apply failed.
func outcome() comment.Pull {
	return with(pulls()[comment.Applied], func(p *comment.Pull) {
		p.State, p.Mark = comment.Failed, "outcome/infra/7/2"
		r := &p.Rows[2]
		r.State, r.Detail = comment.RowFailed, "the engine failed: terraform exited with code 1"
		r.Log = "aws_eks_cluster.apps: Creating...\n\n\x1b[31mError: creating EKS Cluster (apps): operation error: InvalidParameterException\x1b[0m\n"
		p.Rows[3].State, p.Rows[3].Plan = comment.RowStopped, nil
		p.Rows[3].Detail = "it waits for acme/prod/AwsEksCluster/apps, which failed"
		p.Commands = []string{"reeve rerun prod/AwsEksCluster/apps"}
	})
}

// theForges are all limits that a golden file must read the same with.
var theForges = map[string]comment.Limits{"github": github, "gitlab": gitlab, "gitea": gitea}

func TestLivingCommentsReadLikeThis(t *testing.T) {
	t.Parallel()
	for state, p := range pulls() {
		t.Run(string(state), func(t *testing.T) {
			t.Parallel()
			for forge, limits := range theForges {
				text := comment.Living(p, limits)
				if len(text.Left) > 0 {
					t.Errorf("%s: left out: %q", forge, text.Left)
				}
				golden(t, "living-"+string(state), text.Body)
				inert(t, text.Body, limits)
			}
		})
	}
	t.Run("without folds", func(t *testing.T) {
		t.Parallel()
		text := comment.Living(waiting(), plain)
		golden(t, "living-without-folds", text.Body)
		inert(t, text.Body, plain)
	})
	t.Run("a plan that was approved is another", func(t *testing.T) {
		t.Parallel()
		p := waiting()
		p.Rows = p.Rows[:2]
		p.Rows[0].Approved, p.Rows[1].Approved = networkPlan(), networkPlan() // the first is as it was
		p.Moved = []string{"the plan of acme/prod/AwsRdsInstance/orders is another than the one that was approved: 9f8e7d6c5b4a → 1a2b3c4d5e6f"}
		text := comment.Living(p, github)
		golden(t, "living-moved", text.Body)
		inert(t, text.Body, github)
		p.Merged = true // then a comment of its own tells
		if text := comment.Living(p, github); strings.Contains(text.Body, "Differences from what was approved") {
			t.Errorf("it is told twice:\n%s", text.Body)
		}
	})
	t.Run("who must approve is another", func(t *testing.T) {
		t.Parallel()
		p := comment.Pull{Mark: "infra/7/plan", Number: 7, State: comment.Nothing, Head: "1a2b3c4d5e6f", Base: "9f8e7d6c5b4a", Round: 1,
			Policies: []pull.PolicyMove{{Policy: "acme/prod", File: "acme/policies/prod.yaml", How: "is changed"}, {Policy: "acme/dev-`@all`", File: "acme/policies/dev.yaml", How: "is new"}}}
		text := comment.Living(p, github)
		golden(t, "living-policies", text.Body)
		inert(t, text.Body, github)
		p.Merged = true
		p.Policies = slices.Repeat(p.Policies[:1], 30)
		if text := comment.Living(p, github); !strings.Contains(text.Body, "This changed who must approve what.") || !strings.Contains(text.Body, "and 20 more") {
			t.Errorf("after the merge:\n%s", text.Body)
		}
	})
	t.Run("an engine is not there", func(t *testing.T) {
		t.Parallel()
		lack := pull.EngineLack{Of: []schema.ResourceKey{key("dev", "TerraformStack", "a"), key("dev", "TerraformStack", "b"), key("dev", "TerraformStack", "c"), key("dev", "TerraformStack", "d")},
			Why: "no tofu satisfies `> 1.98, < 2` (acme/organization.yaml:3:23); `reeve engine install 'tofu@> 1.98, < 2'` gets it, or name a program in reeve.yaml (engine.tofu); there is tofu 1.12.6 (/opt/tofu)"}
		p := comment.Pull{Mark: "infra/7/plan", Number: 7, State: comment.Nothing, Head: "1a2b3c4d5e6f", Base: "9f8e7d6c5b4a", Round: 1,
			Engines: []pull.EngineLack{lack, {Of: lack.Of[:1], Why: "pulumi-language-`@all`\n> x, the host, is not there"}}}
		text := comment.Living(p, github)
		golden(t, "living-engines", text.Body)
		inert(t, text.Body, github)
		p.Merged = true
		p.Engines = slices.Repeat(p.Engines[:1], 9)
		if text := comment.Living(p, github); !strings.Contains(text.Body, "was not there when it was planned") || !strings.Contains(text.Body, "> - and 4 more") {
			t.Errorf("after the merge:\n%s", text.Body)
		}
	})
	t.Run("one resource", func(t *testing.T) {
		t.Parallel()
		p := waiting()
		p.Rows, p.Blocks, p.Moved = p.Rows[:1], nil, nil
		p.State, p.Round, p.Commands = comment.Approved, 1, nil
		text := comment.Living(p, github)
		golden(t, "living-one", text.Body)
		inert(t, text.Body, github)
	})
	t.Run("into another branch", func(t *testing.T) {
		t.Parallel()
		p := pulls()[comment.Closed]
		p.Rows, p.Base, p.Elsewhere = nil, "", &comment.Elsewhere{Into: "release/`1.2`", Followed: "main"}
		text := comment.Living(p, github)
		golden(t, "living-elsewhere", text.Body)
		inert(t, text.Body, github)
	})
}

func TestNoticesReadLikeThis(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]comment.Text{
		"needs-you-approval": comment.NeedsYou(with(waiting(), func(p *comment.Pull) { p.Mark = "needs-you/infra/7/2" }), github),
		"needs-you-moved": comment.NeedsYou(with(waiting(), func(p *comment.Pull) {
			p.Merged, p.Rows = true, p.Rows[:2]
			p.Rows[1].Approved, p.Rows[1].Has, p.Rows[1].ApprovedBy = networkPlan(), 0, nil
			p.Blocks = p.Blocks[:1]
		}), github),
		"needs-you-failed":  comment.NeedsYou(pulls()[comment.Failed], github),
		"needs-you-refused": comment.NeedsYou(pulls()[comment.Refused], github),
		"outcome-applied":   comment.Outcome(pulls()[comment.Applied], github),
		"outcome-failed":    comment.Outcome(outcome(), github),
		"outcome-nothing":   comment.Outcome(pulls()[comment.Nothing], github),
		"outcome-closed":    comment.Outcome(pulls()[comment.Closed], github),
		"answer-no": comment.Answer(comment.Reply{Mark: "answer/12345", Command: "reeve aprove prod", By: "ann", Answer: pull.Confused,
			Sentences: []string{"there is no command aprove; the nearest is approve"}, Commands: []string{"reeve approve prod"}, Page: page}, github),
		"answer-several": comment.Answers(comment.Replies{Mark: "answer/12347", By: "ann", Of: []comment.Reply{
			{Command: "reeve approve prod", Answer: pull.Yes, Sentences: []string{"acme/prod/AwsVpc/main"}},
			{Command: "reeve plan @ann`", Answer: ""},
			{Command: "reeve aprove dev", Answer: pull.Confused, Sentences: []string{"there is no command `aprove`; did you mean `approve`?"}},
			{Command: "reeve explain prod/AwsVpc/main", Answer: pull.Yes, Detail: "acme/prod/AwsVpc/main is planned\n  policy built-in\n"},
		}}, github),
		"answer-explain": comment.Answer(comment.Reply{Mark: "answer/12346", Command: "reeve explain prod/AwsVpc/main", By: "bob", Answer: pull.Yes,
			Sentences: []string{"acme/prod/AwsVpc/main changes because its spec changed", "no policy holds it"},
			Detail:    "It needs acme/prod/AwsRdsInstance/orders.\nLast made: 2 days ago.\n"}, github),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if len(text.Left) > 0 {
				t.Errorf("left out: %q", text.Left)
			}
			golden(t, name, text.Body)
			inert(t, text.Body, github)
		})
	}
}

func TestDifferencesReadLikeThis(t *testing.T) {
	t.Parallel()
	after := databasePlan()
	after.Digest = "sha256:ffee00112233445566"
	after.Counts = stackjob.Counts{Create: 1, Update: 2, Replace: 3, Delete: 1}
	after.Resources[2] = stackjob.ResourceChange{Address: "aws_s3_bucket.new", Type: "aws_s3_bucket", Action: stackjob.Create}
	after.Resources[3].Action = stackjob.Replace
	after.Resources[4].Attributes[0].After = raw(`"` + canary + `8"`)
	after.Outputs[0].After = raw(`"` + canary + `9"`)
	after.Resources[3].Attributes[0] = stackjob.AttributeChange{Path: "ingress[0].port", Before: raw(`80`), After: raw(`8443`), Forces: true}
	for name, text := range map[string]string{
		"difference":      comment.Difference(database, *databasePlan(), *after, github),
		"difference-none": comment.Difference(database, *databasePlan(), *databasePlan(), github),
	} {
		golden(t, name, text)
		inert(t, text, github)
	}
	hidden := databasePlan()
	hidden.Digest, hidden.Resources[8].Attributes[1].Before = "sha256:00aa", raw(`"`+canary+`8"`)
	if text := comment.Difference(database, *databasePlan(), *hidden, github); !strings.Contains(text, "is hidden because it is sensitive") {
		t.Errorf("a difference that cannot be shown:\n%s", text)
	}
	if small := comment.Difference(database, *databasePlan(), *after, comment.Limits{Bytes: 500}); len(small) > 500 || !strings.Contains(small, "more line") || !strings.Contains(small, "it replaces 1 resource") {
		t.Errorf("of 500 bytes: %d\n%s", len(small), small)
	}
}

func TestStatusesReadLikeThis(t *testing.T) {
	t.Parallel()
	line := func(s comment.StatusState, text string) comment.StatusLine {
		return comment.StatusLine{State: s, Text: text}
	}
	all := pulls()
	beforeMerge := with(all[comment.Approved], func(p *comment.Pull) { p.AppliesBeforeMerge = true })
	failedApply := outcome()
	for name, test := range map[string]struct {
		pull comment.Pull
		want comment.Statuses
	}{
		"planning": {all[comment.Planning], comment.Statuses{
			Plan: line(comment.Pending, "1 of 5 plans done"), Approval: line(comment.Pending, "waits for the plans")}},
		"refused": {all[comment.Refused], comment.Statuses{
			Plan: line(comment.Failure, "nothing is planned: the merge of 1a2b3c4 into main has conflicts"), Approval: line(comment.Pending, "nothing is planned")}},
		"failed": {all[comment.Failed], comment.Statuses{
			Plan:     line(comment.Failure, "1 of 5 plans failed: acme/prod/AwsEksCluster/apps"),
			Approval: line(comment.Pending, "1 of 3 approvals; waits: acme/prod/AwsRdsInstance/orders")}},
		"waiting": {all[comment.Waiting], comment.Statuses{
			Plan:     line(comment.Success, "5 plans: +3 ~4 -1 ±2 (1 in state only), 1 unchanged, 1 deferred"),
			Approval: line(comment.Pending, "1 of 3 approvals; waits: acme/prod/AwsRdsInstance/orders, acme/prod/AwsEksCluster/apps")}},
		"approved": {all[comment.Approved], comment.Statuses{
			Plan:     line(comment.Success, "5 plans: +3 ~4 -1 ±2 (1 in state only), 1 unchanged, 1 deferred"),
			Approval: line(comment.Success, "3 of 3 approvals")}},
		"approved, applies before the merge": {beforeMerge, comment.Statuses{
			Plan:     line(comment.Success, "5 plans: +3 ~4 -1 ±2 (1 in state only), 1 unchanged, 1 deferred"),
			Approval: line(comment.Success, "3 of 3 approvals"),
			Apply: map[string]comment.StatusLine{
				"prod": line(comment.Pending, "0 of 4 resources applied"), "dev": line(comment.Success, "nothing to apply")}}},
		"nothing": {all[comment.Nothing], comment.Statuses{
			Plan: line(comment.Success, "no changes"), Approval: line(comment.Success, "no approval is needed")}},
		"applied": {all[comment.Applied], comment.Statuses{
			Plan:     line(comment.Success, "5 plans: +5 ~4 -1 ±2 (1 in state only), 1 unchanged"),
			Approval: line(comment.Success, "1 of 3 approvals"),
			Apply: map[string]comment.StatusLine{
				"prod": line(comment.Success, "4 resources applied"), "dev": line(comment.Success, "nothing to apply")}}},
		"failed apply": {failedApply, comment.Statuses{
			Plan:     line(comment.Error, "1 of 5 plans stopped: acme/prod/TerraformStack/billing"),
			Approval: line(comment.Pending, "waits for plans that did not succeed"),
			Apply: map[string]comment.StatusLine{
				"prod": line(comment.Failure, "1 of 4 resources failed"), "dev": line(comment.Success, "nothing to apply")}}},
	} {
		if test.want.Apply == nil {
			test.want.Apply = map[string]comment.StatusLine{}
		}
		if d := cmp.Diff(test.want, comment.Status(test.pull)); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
}

func TestEnvironmentsOfTwoOrganizationsHaveStatusesOfTheirOwn(t *testing.T) {
	t.Parallel()
	p := comment.Pull{Merged: true, State: comment.Applied, Rows: []comment.Row{
		{Key: schema.ResourceKey{Org: "acme", Env: "prod", Kind: "K", Name: "a"}, State: comment.RowApplied},
		{Key: schema.ResourceKey{Org: "umbrella", Env: "prod", Kind: "K", Name: "a"}, State: comment.RowFailed},
		{Key: schema.ResourceKey{Org: "umbrella", Env: "dev", Kind: "K", Name: "a"}, State: comment.RowApplied},
	}}
	got := map[string]comment.StatusState{}
	for name, line := range comment.Status(p).Apply {
		got[name] = line.State
	}
	want := map[string]comment.StatusState{"acme/prod": comment.Success, "umbrella/prod": comment.Failure, "dev": comment.Success}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// TestTheColumnOfEnginesIsThereWhenSeveralAre has no version of an engine that failed.
func TestTheColumnOfEnginesIsThereWhenSeveralAre(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		engines []string
		foot    string
		column  bool
	}{
		{[]string{"terraform 1.11.4", "terraform 1.11.4", ""}, "<sub>terraform 1.11.4</sub>", false},
		{[]string{"terraform 1.11.4", "terraform", "terraform 1.11.4"}, "<sub>terraform 1.11.4</sub>", false},
		{[]string{"terraform", "", "terraform"}, "<sub>terraform</sub>", false},
		{[]string{"terraform 1.11.4", "pulumi", "pulumi"}, "<sub>pulumi, terraform 1.11.4</sub>", true},
		{[]string{"terraform", "tofu", "pulumi"}, "<sub>pulumi, terraform, tofu</sub>", true},
		{[]string{"tofu 1.10.1", "tofu 1.11.0", "tofu"}, "<sub>tofu 1.10.1, tofu 1.11.0</sub>", true},
	} {
		var p comment.Pull
		for i, e := range test.engines {
			p.Rows = append(p.Rows, comment.Row{Key: key("dev", "K", strconv.Itoa(i)), State: comment.RowFailed, Engine: e})
		}
		body := comment.Living(p, github).Body
		if !strings.Contains(body, test.foot) || strings.Contains(body, "| Engine |") != test.column {
			t.Errorf("%q: want the column %t and at the foot %q:\n%s", test.engines, test.column, test.foot, body)
		}
		for i, e := range test.engines {
			if line := "`acme/dev/K/" + strconv.Itoa(i) + "` | " + e + " |"; test.column && !strings.Contains(body, line) {
				t.Errorf("%q: want %q:\n%s", test.engines, line, body)
			}
		}
	}
}

func TestNoSensitiveValueIsShown(t *testing.T) {
	t.Parallel()
	p := waiting()
	p.Rows[1].Plan.Resources[8].Action = stackjob.Replace
	p.Rows[1].Plan.Resources[8].Attributes[1].Forces = true // a secret that forces a replacement
	for name, text := range map[string]string{
		"living": comment.Living(p, github).Body, "without folds": comment.Living(p, plain).Body, "needs you": comment.NeedsYou(p, github).Body, "outcome": comment.Outcome(p, github).Body,
		"difference": comment.Difference(database, stackjob.Plan{}, *p.Rows[1].Plan, github), "status": cmp.Diff(comment.Statuses{}, comment.Status(p)),
	} {
		if strings.Contains(text, canary) {
			t.Errorf("%s shows a sensitive value, or its hash:\n%s", name, text)
		}
	}
	for _, want := range []string{"`password` changes from (sensitive) to (none)", "! value: (sensitive)", "+ password: (sensitive)", "! key: (sensitive)"} {
		if text := comment.Living(p, github).Body; !strings.Contains(text, want) {
			t.Errorf("%q is not said:\n%s", want, text)
		}
	}
}
