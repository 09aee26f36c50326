package schema_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stackreeve/stackreeve/schema"
)

func TestAPolicyReachesEnvironmentsInWhichItCouldSelectSomething(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		policy schema.Policy
		want   []string
	}{
		"the platform":                 {schema.Policy{Selector: schema.Selector{Level: schema.SelectPlatform}}, []string{"acme/dev", "acme/prod", "other/prod"}},
		"its organization":             {schema.Policy{Selector: schema.Selector{Level: schema.SelectOrganization, ID: "a*"}}, []string{"acme/dev", "acme/prod"}},
		"environments of a name":       {schema.Policy{Selector: schema.Selector{Level: schema.SelectEnvironment, ID: "prod"}}, []string{"acme/prod", "other/prod"}},
		"a kind":                       {schema.Policy{Selector: schema.Selector{Level: schema.SelectResource, Kind: "AwsVpc", ID: "none-yet"}}, []string{"acme/dev", "acme/prod", "other/prod"}},
		"a kind, in its own folder":    {schema.Policy{Org: "acme", Env: "prod", Selector: schema.Selector{Level: schema.SelectResource, Kind: "AwsVpc"}}, []string{"acme/prod"}},
		"all, in its own folder":       {schema.Policy{Org: "acme", Selector: schema.Selector{Level: schema.SelectPlatform}}, []string{"acme/dev", "acme/prod"}},
		"a name outside of its folder": {schema.Policy{Org: "acme", Env: "dev", Selector: schema.Selector{Level: schema.SelectEnvironment, ID: "prod"}}, nil},
	} {
		var got []string
		for _, e := range [][2]string{{"acme", "dev"}, {"acme", "prod"}, {"other", "prod"}} {
			if test.policy.Reaches(e[0], e[1]) {
				got = append(got, e[0]+"/"+e[1])
			}
		}
		if d := cmp.Diff(test.want, got); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
}
