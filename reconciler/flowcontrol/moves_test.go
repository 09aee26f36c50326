package flowcontrol_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stackreeve/stackreeve/reconciler/flowcontrol"
	"github.com/stackreeve/stackreeve/reconciler/pull"
	"github.com/stackreeve/stackreeve/schema/schematest"
)

func TestMovesTellWhichPoliciesAreOthers(t *testing.T) {
	t.Parallel()
	const policy = "apiVersion: stackreeve.dev/v1\nkind: FlowControlPolicy\nmetadata: {name: p}\nspec:\n  selector: {kind: environment, id: prod}\n" +
		"  flowControl: {}\n  approvals: {required: 2, from: [team/platform]}\n"
	base := map[string]string{"acme/teams/crew.yaml": crew, "acme/policies/p.yaml": policy, "acme/prod/s.yaml": schematest.Stack("s", "/m"), "m/main.tf": ""}
	move := func(how string) []pull.PolicyMove {
		return []pull.PolicyMove{{Policy: "acme/p", File: "acme/policies/p.yaml", How: how}}
	}
	for name, test := range map[string]struct {
		file, from, to string
		want           []pull.PolicyMove
	}{
		"nothing":             {},
		"only how it reads":   {"acme/policies/p.yaml", "apiVersion", "# who looks at prod\n\napiVersion", nil},
		"how many":            {"acme/policies/p.yaml", "required: 2", "required: 1", move("is changed")},
		"the author":          {"acme/policies/p.yaml", "required: 2", "authorMayApprove: true, required: 2", move("is changed")},
		"for what":            {"acme/policies/p.yaml", "id: prod", "id: dev", move("is changed")},
		"who is in a team":    {"acme/teams/crew.yaml", "github:linus", "github:mallory", move("means other persons")},
		"who somebody is":     {"acme/teams/crew.yaml", "githubUsername: Grace", "githubUsername: mallory", move("means other persons")},
		"another one":         {"acme/prod/p.yaml", "", strings.Replace(policy, "acme/", "", 1), []pull.PolicyMove{{Policy: "acme/prod/p", File: "acme/prod/p.yaml", How: "is new"}}},
		"the only one goes":   {"acme/policies/p.yaml", policy, "", move("is removed")},
		"only a resource":     {"acme/prod/s.yaml", "name: s", "name: t", nil},
		"a team nobody means": {"acme/teams/other.yaml", "", "apiVersion: stackreeve.dev/v1\nkind: Team\nmetadata: {name: other}\nspec: {members: [ada]}\n", nil},
	} {
		after := map[string]string{}
		for file, text := range base {
			after[file] = text
		}
		if test.file != "" {
			after[test.file] = strings.Replace(after[test.file], test.from, test.to, 1)
		}
		got := flowcontrol.Moves(schematest.Load(t, base).Policies(), schematest.Load(t, after).Policies())
		if d := cmp.Diff(test.want, got); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
}
