package flowcontrol_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/stackreeve/stackreeve/reconciler/flowcontrol"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/schema"
	"github.com/stackreeve/stackreeve/schema/diag"
	"github.com/stackreeve/stackreeve/schema/schematest"
)

var key = schema.ResourceKey{Org: "acme", Env: "prod", Kind: "AwsRdsInstance", Name: "orders-main"}

func policy(folder, name string, level schema.SelectorLevel, kindAndID ...string) *schema.Policy {
	org, env, _ := strings.Cut(folder, "/")
	p := &schema.Policy{Org: org, Env: env, Selector: schema.Selector{Level: level, ID: "*"}}
	p.Metadata = schema.Metadata{Name: name, Slug: name}
	p.Pos = diag.Position{File: "p/" + name + ".yaml", Line: 1}
	if len(kindAndID) == 2 {
		p.Selector.Kind, kindAndID = kindAndID[0], kindAndID[1:]
	}
	if len(kindAndID) == 1 {
		p.Selector.ID = kindAndID[0]
	}
	return p
}

// TestTheMoreSpecificPolicyWins lists policies from the least to the most specific:
// each must win against all before it, in any order.
func TestTheMoreSpecificPolicyWins(t *testing.T) {
	t.Parallel()
	ladder := []*schema.Policy{
		policy("", "whole-platform", schema.SelectPlatform),
		policy("", "any-org", schema.SelectOrganization, "*"),
		policy("acme", "any-org-near", schema.SelectOrganization, "*"),
		policy("", "a-org", schema.SelectOrganization, "a*"),
		policy("", "acm-org", schema.SelectOrganization, "acm*"),
		policy("", "acme-org", schema.SelectOrganization, "acme"),
		policy("acme", "acme-org-near", schema.SelectOrganization, "acme"),
		policy("", "any-env", schema.SelectEnvironment, "*"),
		policy("acme", "any-env-org", schema.SelectEnvironment, "*"),
		policy("acme/prod", "any-env-near", schema.SelectEnvironment, "*"),
		policy("", "pr-env", schema.SelectEnvironment, "pr*"),
		policy("", "prod-env", schema.SelectEnvironment, "prod"),
		policy("acme", "prod-env-org", schema.SelectEnvironment, "prod"),
		policy("", "any-rds", schema.SelectResource, "AwsRdsInstance", "*"),
		policy("acme/prod", "any-rds-near", schema.SelectResource, "AwsRdsInstance", "*"),
		policy("", "orders-rds", schema.SelectResource, "AwsRdsInstance", "orders-*"),
		policy("", "this-rds", schema.SelectResource, "AwsRdsInstance", "orders-main"),
		policy("acme/prod", "this-rds-near", schema.SelectResource, "AwsRdsInstance", "orders-main"),
	}
	for n := 1; n <= len(ladder); n++ {
		for _, order := range [][]*schema.Policy{ladder[:n], reversed(ladder[:n])} {
			got := flowcontrol.Choose(order, key)
			if want := flowcontrol.Name(ladder[n-1]); got.Name != want {
				t.Errorf("of the first %d policies %s is in force, want %s; visited:\n%s", n, got.Name, want, strings.Join(got.Visited, "\n"))
			}
		}
	}
}

func reversed(in []*schema.Policy) []*schema.Policy {
	var out []*schema.Policy
	for i := len(in) - 1; i >= 0; i-- {
		out = append(out, in[i])
	}
	return out
}

func TestAPolicyReachesOnlyWhatItsFolderHoldsAndItsSelectorNames(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		p    *schema.Policy
		want bool
	}{
		{"another organization's folder", policy("globex", "p", schema.SelectEnvironment, "prod"), false},
		{"another environment's folder", policy("acme/dev", "p", schema.SelectResource, "AwsRdsInstance", "*"), false},
		{"another environment", policy("acme", "p", schema.SelectEnvironment, "dev"), false},
		{"another kind", policy("acme", "p", schema.SelectResource, "AwsVpc", "*"), false},
		{"another name", policy("acme", "p", schema.SelectResource, "AwsRdsInstance", "billing-*"), false},
		{"a glob in the middle", policy("acme", "p", schema.SelectResource, "AwsRdsInstance", "*-main"), true},
		{"one unknown character", policy("acme", "p", schema.SelectEnvironment, "pro?"), true},
		{"a set of characters", policy("acme", "p", schema.SelectEnvironment, "[op]rod"), true},
		{"alternatives", policy("acme", "p", schema.SelectEnvironment, "{stage,prod}"), true},
		{"a broken glob", policy("acme", "p", schema.SelectEnvironment, "[prod"), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := flowcontrol.Choose([]*schema.Policy{tt.p}, key)
			if (got.Name != flowcontrol.BuiltInName) != tt.want {
				t.Errorf("in force: %s; visited %q", got.Name, got.Visited)
			}
		})
	}
}

func TestWithoutAPolicyEveryPlanThatChangesSomethingWaits(t *testing.T) {
	t.Parallel()
	got := flowcontrol.Choose(nil, key)
	if diff := cmp.Diff(flowcontrol.BuiltIn(), got); diff != "" {
		t.Error(diff)
	}
	v := flowcontrol.AtApply(stackjob.Job{Action: stackjob.Apply}, changing, got)
	if v.Decision != stackjob.Wait || v.Reason.Code != stackjob.ReasonNeedsApproval || v.Policy.Name != flowcontrol.BuiltInName {
		t.Errorf("verdict = %+v", v)
	}
	// It waits because there is something to do, and the reason says what.
	v = flowcontrol.AtApply(stackjob.Job{Action: stackjob.Apply}, stackjob.Plan{Digest: digest, HasChanges: true, OutputsChanged: 1}, got)
	if want := flowcontrol.BuiltInName + ": outputs only"; v.Decision != stackjob.Wait || v.Reason.Detail != want {
		t.Errorf("verdict = %+v, want %q", v, want)
	}
}

func TestTheChoiceIsUsedWholeAndTellsHowItWasMade(t *testing.T) {
	t.Parallel()
	tree := schematest.Load(t, map[string]string{
		"platform.yaml": policyDocument("platform-default", "{kind: platform}", "isManual: true, skipRefresh: true"),
		"acme/policies/p.yaml": policyDocument("prod-approval", "{kind: environment, id: prod}", "pauseBetweenPreviewAndUpdateOrDestroy: true") + "---\n" +
			policyDocument("all-envs", "{kind: environment, id: '*'}", "skipRefresh: true") + "---\n" +
			policyDocument("dev-free", "{kind: environment, id: dev}", "skipRefresh: true"),
		"acme/prod/p.yaml": policyDocument("near", "{kind: environment, id: prod}", "disableOnLifecycleEvents: true"),
		"acme/dev/p.yaml":  policyDocument("elsewhere", "{kind: environment, id: dev}", "isManual: true"),
	})
	got := flowcontrol.Choose(tree.Policies(), key)
	want := stackjob.PolicyChoice{
		Name: "acme/prod/near", File: "acme/prod/p.yaml", Line: 1, Prune: schema.PruneFollow,
		Controls: schema.Controls{DisableOnLifecycleEvents: true, PreviewBeforeUpdateOrDestroy: true},
		Visited: []string{
			`acme/prod/near (environment "prod"): in force`,
			`acme/prod-approval (environment "prod"): lost: acme/prod/near stands in a nearer folder`,
			`acme/all-envs (environment "*"): lost: acme/prod/near names it more exactly ("prod")`,
			`platform/platform-default (platform): lost: acme/prod/near is for a more specific level (environment)`,
			`acme/dev-free (environment "dev"): does not match`,
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func policyDocument(name, selector, controls string) string {
	return fmt.Sprintf("apiVersion: stackreeve.dev/v1\nkind: FlowControlPolicy\nmetadata: {name: %s}\nspec:\n  selector: %s\n  flowControl: {%s}\n", name, selector, controls)
}

func TestVisitedStaysShort(t *testing.T) {
	t.Parallel()
	var many []*schema.Policy
	for i := range 500 {
		many = append(many, policy("acme", fmt.Sprintf("p%03d", i), schema.SelectEnvironment, fmt.Sprintf("env-%d", i)))
	}
	got := flowcontrol.Choose(many, key)
	if len(got.Visited) != 21 || got.Visited[20] != "and 480 more" {
		t.Errorf("%d lines, the last %q", len(got.Visited), got.Visited[len(got.Visited)-1])
	}
}

// TestTheOrderOfPoliciesDoesNotMatter holds even for policies that tie.
func TestTheOrderOfPoliciesDoesNotMatter(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 8).Draw(t, "policies")
		var list []*schema.Policy
		for i := range n {
			folder := rapid.SampledFrom([]string{"", "acme", "acme/prod", "globex", "acme/dev"}).Draw(t, "folder")
			level := rapid.SampledFrom([]schema.SelectorLevel{schema.SelectPlatform, schema.SelectOrganization, schema.SelectEnvironment}).Draw(t, "level")
			id := rapid.SampledFrom([]string{"*", "acme", "prod", "p*", "pr*", "dev"}).Draw(t, "id")
			p := policy(folder, fmt.Sprintf("p%d", i), level, id)
			p.Controls.IsManual = i%2 == 0
			list = append(list, p)
		}
		want := flowcontrol.Choose(list, key)
		got := flowcontrol.Choose(rapid.Permutation(list).Draw(t, "order"), key)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatal(diff)
		}
		if want.Name == flowcontrol.BuiltInName {
			return
		}
		for _, p := range list { // whole: the controls are one policy's, untouched
			if flowcontrol.Name(p) == want.Name && p.Controls != want.Controls {
				t.Fatalf("controls of %s were changed: %+v, was %+v", want.Name, want.Controls, p.Controls)
			}
		}
	})
}
