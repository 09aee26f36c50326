package schema

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestPathSaysWhatAFileIs(t *testing.T) {
	t.Parallel()
	env := scope{"acme", "dev"}
	for p, want := range map[string]layout{
		"acme/dev/a.yaml":             {scope: env, role: documents},
		"acme/dev/x/y/z.yml":          {scope: env, role: documents},
		"acme/dev/a.json":             {},
		"acme/dev/A.YAML":             {scope: env, role: documents},
		"Platform.yml":                {role: documents},
		"acme/dev/.hidden.yaml":       {},
		"acme/.x/a.yaml":              {},
		".github/workflows/a.yml":     {},
		"acme/a.yaml":                 {scope: scope{org: "acme"}, role: documents},
		"acme/policies/a.yaml":        {scope: scope{org: "acme"}, role: documents},
		"acme/policies/dev/a.yaml":    {scope: scope{org: "acme"}, role: documents},
		"acme/modules/m/a.yaml":       {scope: scope{org: "acme"}, role: mixed},
		"acme/charts/c/Chart.yaml":    {scope: scope{org: "acme"}, role: ignored},
		"acme/services/a.yaml":        {scope: scope{org: "acme"}, role: ignored},
		"acme/templates/a.yaml":       {scope: scope{org: "acme"}, role: ignored},
		"platform.yaml":               {role: documents},
		"platform.yml":                {role: documents},
		"other.yaml":                  {role: stray},
		"Pulumi.yaml":                 {},
		"Pulumi.dev.yaml":             {},
		"acme/Pulumi.yaml":            {scope: scope{org: "acme"}, role: documents},
		"policies/a.yaml":             {role: documents},
		"modules/a.yaml":              {role: mixed},
		"charts/a.yaml":               {role: ignored},
		"Acme Corp/dev/a.yaml":        {scope: scope{"acme-corp", "dev"}, role: documents, badFolder: "Acme Corp"},
		"acme/Dev/a.yaml":             {scope: env, role: documents, badFolder: "acme/Dev"},
		"acme/Policies/a.yaml":        {scope: scope{org: "acme"}, role: documents, badFolder: "acme/Policies"},
		"Policies/a.yaml":             {role: documents, badFolder: "Policies"},
		"acme/__/a.yaml":              {role: stray},
		"__/a.yaml":                   {role: stray},
		"acme/dev/policies/a.yaml":    {scope: env, role: documents},
		"acme/dev/modules/x/vpc.yaml": {scope: env, role: documents},
	} {
		if diff := cmp.Diff(want, layoutOf(p), cmp.AllowUnexported(layout{}, scope{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", p, diff)
		}
	}
}

func TestCodeFolderNeverHoldsAWholeEnvironment(t *testing.T) {
	t.Parallel()
	folders := map[string]*codeFolder{}
	for _, f := range []string{".", "acme", "acme/dev", "acme/policies", "acme/dev/vpc", "acme/modules/m", "modules", "modules/n", "other/x/y/z"} {
		folders[f] = &codeFolder{terraform: 1}
	}
	for p, want := range map[string]string{
		"a.yaml": "", "acme/a.yaml": "", "acme/dev/a.yaml": "", "acme/dev/sub/a.yaml": "", "acme/policies/a.yaml": "", "modules/a.yaml": "",
		"acme/dev/vpc/a.yaml": "acme/dev/vpc", "acme/dev/vpc/x/y/a.yaml": "acme/dev/vpc", "acme/modules/m/a.yaml": "acme/modules/m",
		"modules/n/a.yaml": "modules/n", "other/x/y/a.yaml": "", "other/x/y/z/a.yaml": "other/x/y/z",
	} {
		if got := codeFolderOf(p, folders); got != want {
			t.Errorf("%s lies in %q, want %q", p, got, want)
		}
	}
}

func TestNamesChangeTheirSpelling(t *testing.T) {
	t.Parallel()
	for camel, snake := range map[string]string{"cidrBlock": "cidr_block", "vpcId": "vpc_id", "a": "a", "ipV4": "ip_v4", "x2y": "x2y"} {
		if got := snakeCase(camel); got != snake {
			t.Errorf("%s is %s in snake case, want %s", camel, got, snake)
		}
		if got := camelCase(snake); got != camel {
			t.Errorf("%s is %s in camel case, want %s", snake, got, camel)
		}
	}
	for kind, want := range map[string]string{"aws_rds": "AwsRds", "AwsRds": "AwsRds", "postgres_kubernetes": "PostgresKubernetes", "": ""} {
		if got := pascalCase(kind); got != want {
			t.Errorf("%s is %s in Pascal case, want %s", kind, got, want)
		}
	}
	for _, line := range []string{"tokenId: x", "  db_password: x", `{"apiKey": "x"}`, "PRIVATE-KEY = x", "awsSecretAccessKey: |"} {
		if !secretLooking.MatchString(line) {
			t.Errorf("%s does not look like a secret", line)
		}
	}
	for _, line := range []string{"tokens:", "passwords are long", "name: secret"} {
		if secretLooking.MatchString(line) {
			t.Errorf("%s looks like a secret", line)
		}
	}
}
