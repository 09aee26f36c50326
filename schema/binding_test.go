package schema_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stackreeve/stackreeve/schema"
	"github.com/stackreeve/stackreeve/schema/diag"
	"github.com/stackreeve/stackreeve/schema/schematest"
)

// kindWith is a component of kind Thing with these modules.
func kindWith(modules string) string {
	return "apiVersion: stackreeve.dev/v1\nkind: DeploymentComponent\nmetadata: {name: thing}\nspec: {apiVersion: test.planton.dev/v1, kind: Thing, modules: " + modules + "}\n"
}

func iacModule(provisioner, place string) string {
	return fmt.Sprintf("---\napiVersion: stackreeve.dev/v1\nkind: IacModule\nmetadata: {name: m-%s}\nspec: {kind: Thing, provisioner: %s, %s}\n", provisioner, provisioner, place)
}

func TestModuleAndProvisionerOfACatalogueKind(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		component, modules, platform, org, env, meta string
		want                                         string
	}{
		"Terraform's module serves OpenTofu":          {component: "{terraform: /m/tf}", meta: "tofu", want: "tofu m/tf"},
		"OpenTofu's module serves Terraform":          {component: "{tofu: /m/tofu}", meta: "terraform", want: "terraform m/tofu"},
		"nothing said":                                {component: "{terraform: /m/tf}", want: " m/tf"},
		"nothing said and two modules":                {component: "{terraform: /m/tf, tofu: /m/tofu}", want: "tofu m/tofu"},
		"only Pulumi":                                 {component: "{pulumi: /m/pulumi}", want: "pulumi m/pulumi"},
		"the engine's own module first":               {component: "{terraform: /m/tf, tofu: /m/tofu}", meta: "terraform", want: "terraform m/tf"},
		"the organization's default":                  {component: "{terraform: /m/tf}", org: "tofu", want: "tofu m/tf"},
		"the environment before the organization":     {component: "{terraform: /m/tf}", org: "tofu", env: "terraform", want: "terraform m/tf"},
		"the resource before the environment":         {component: "{terraform: /m/tf, pulumi: /m/pulumi}", env: "terraform", meta: "Pulumi", want: "pulumi m/pulumi"},
		"an IacModule before the component":           {component: "{terraform: /m/tf}", modules: iacModule("terraform", "path: /m/own"), want: " m/own"},
		"the organization's IacModule first":          {component: "{terraform: /m/tf}", modules: iacModule("terraform", "path: /m/own"), platform: iacModule("terraform", "path: /m/tofu"), want: " m/own"},
		"the platform's IacModule":                    {component: "{terraform: /m/tf}", platform: iacModule("terraform", "path: /m/tofu"), want: " m/tofu"},
		"an IacModule in Git":                         {component: "{terraform: /m/tf}", modules: iacModule("terraform", "git: {url: 'https://example.com/r.git', ref: v1, path: a/b}"), want: " https://example.com/r.git//a/b?ref=v1"},
		"an IacModule as Planton writes it":           {component: "{terraform: /m/tf}", modules: iacModule("terraform", "git_repo: {clone_url: 'git@example.com:o/r.git', branch: main, commit_sha: abc, project_dir: iac/tf}"), want: " git@example.com:o/r.git//iac/tf?ref=abc"},
		"paths from the organization":                 {component: "{terraform: modules/local}", want: " acme/modules/local"},
		"paths from the document":                     {component: "{terraform: {path: ../modules/local}}", want: " acme/modules/local"},
		"a module in Git as one string":               {component: "{terraform: 'git::ssh://git@example.com/r.git//sub/dir?ref=v2'}", want: " ssh://git@example.com/r.git//sub/dir?ref=v2"},
		"a module in Git at its root, default branch": {component: "{terraform: 'https://example.com/r.git'}", want: " https://example.com/r.git"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			files := map[string]string{
				"acme/components/thing.yaml": kindWith(c.component), "acme/modules/thing.yaml": c.modules, "platform.yaml": c.platform,
				"acme/organization.yaml":    "apiVersion: stackreeve.dev/v1\nkind: Organization\n",
				"acme/dev/environment.yaml": "apiVersion: stackreeve.dev/v1\nkind: Environment\n",
				"acme/dev/t.yaml":           "apiVersion: test.planton.dev/v1\nkind: Thing\nmetadata: {name: t}\n",
				"m/tf/main.tf":              "", "m/tofu/main.tofu": "", "m/own/main.tf.json": "", "m/pulumi/Pulumi.yaml": "", "acme/modules/local/main.tf": "",
			}
			if c.org != "" {
				files["acme/organization.yaml"] += "spec: {provisioner: " + c.org + "}\n"
			}
			if c.env != "" {
				files["acme/dev/environment.yaml"] += "spec: {provisioner: " + c.env + "}\n"
			}
			if c.meta != "" {
				files["acme/dev/t.yaml"] = "apiVersion: test.planton.dev/v1\nkind: Thing\nmetadata: {name: t, annotations: {planton.dev/provisioner: " + c.meta + "}, labels: {planton.dev/provisioner: unread}}\n"
			}
			r := schematest.Load(t, files).Resources()[0]
			if got := string(r.Provisioner) + " " + r.Module.String(); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestExecutionKeysOfEveryGenerationCount(t *testing.T) {
	t.Parallel()
	type want struct {
		provisioner schema.Provisioner
		prevent     bool
		backend     schema.Backend
	}
	for meta, want := range map[string]want{
		"labels: {project-planton.org/provisioner: terraform}":                                                                  {provisioner: "terraform"},
		"labels: {openmcf.org/provisioner: tofu}, annotations: {openmcf.org/provisioner: Terraform}":                            {provisioner: "terraform"},
		"annotations: {prevent-destroy: true}":                                                                                  {prevent: true},
		"annotations: {any.example.com/prevent-destroy: 'yes', other/prevent-destroy: no}":                                      {prevent: true},
		"annotations: {planton.dev/prevent-destroy: 'false'}":                                                                   {},
		"labels: {terraform.planton.dev/backend.type: gcs, terraform.planton.dev/backend.bucket: b}":                            {backend: schema.Backend{Type: "gcs", Config: map[string]string{"bucket": "b", "prefix": "acme/dev/TerraformStack/s"}}},
		"labels: {tofu.openmcf.org/backend.type: azurerm, tofu.openmcf.org/backend.bucket: c, tofu.openmcf.org/backend.key: k}": {backend: schema.Backend{Type: "azurerm", Config: map[string]string{"container_name": "c", "key": "k"}}},
		"labels: {terraform.planton.dev/backend.type: S3, terraform.planton.dev/backend.bucket: b, terraform.planton.dev/backend.region: eu, terraform.planton.dev/backend.object: o}": {
			backend: schema.Backend{Type: "s3", Config: map[string]string{"bucket": "b", "region": "eu", "key": "o"}}},
		"labels: {planton.dev/provisioner: terraform, terraform.planton.dev/backend.type: local, tofu.planton.dev/backend.type: pg}": {provisioner: "terraform", backend: schema.Backend{Type: "local"}},
		"labels: {terraform.planton.dev/backend.type: local, tofu.planton.dev/backend.type: pg}":                                     {backend: schema.Backend{Type: "pg"}},
		"annotations: {terraform.planton.dev/backend.type: s3, terraform.planton.dev/backend.bucket: b, terraform.planton.dev/backend.region: auto, terraform.planton.dev/backend.endpoint: 'https://r2'}": {
			backend: schema.Backend{Type: "s3", Config: map[string]string{"bucket": "b", "region": "auto", "endpoint": "https://r2", "key": "acme/dev/TerraformStack/s", "use_path_style": "true",
				"skip_credentials_validation": "true", "skip_region_validation": "true", "skip_requesting_account_id": "true", "skip_metadata_api_check": "true", "skip_s3_checksum": "true"}}},
	} {
		t.Run(meta, func(t *testing.T) {
			t.Parallel()
			r := schematest.Load(t, map[string]string{
				"m/main.tf":       "",
				"acme/dev/s.yaml": "apiVersion: stackreeve.dev/v1\nkind: TerraformStack\nmetadata: {name: s, " + meta + "}\nspec: {module: /m}\n",
			}).Resources()[0]
			if diff := cmp.Diff(want, schemaWant(r, want), cmp.AllowUnexported(want)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// schemaWant fills a value of the type of w from a resource.
func schemaWant[W ~struct {
	provisioner schema.Provisioner
	prevent     bool
	backend     schema.Backend
}](r *schema.Resource, _ W) W {
	return W{r.Provisioner, r.PreventDestroy, r.Backend}
}

func TestProtectedEnvironmentGuardsItsResources(t *testing.T) {
	t.Parallel()
	tree := schematest.Load(t, map[string]string{
		"m/main.tf":                  "",
		"acme/prod/environment.yaml": "apiVersion: stackreeve.dev/v1\nkind: Environment\nspec: {protected: true, promotionOrder: 3}\n",
		"acme/prod/s.yaml":           schematest.Stack("s", "/m"),
		"acme/dev/s.yaml":            schematest.Stack("s", "/m", "preventDestroy: true", "backend: {type: http, config: {address: 'https://x'}}", "varFiles: [a.tfvars, ./../shared.tfvars]") + "---\n" + schematest.Stack("t", "."),
		"acme/dev/main.tf":           "",
	})
	var got []string
	for _, r := range tree.Resources() {
		got = append(got, strings.TrimSpace(fmt.Sprintln(r.Key, r.PreventDestroy, r.Module.Path, r.Backend, r.VarFiles)))
	}
	want := []string{"acme/dev/TerraformStack/s true m {http map[address:https://x]} [a.tfvars ../shared.tfvars]",
		"acme/dev/TerraformStack/t false acme/dev { map[]} []", "acme/prod/TerraformStack/s true m { map[]} []"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestPlantonManifestsLoadAsTheyAre(t *testing.T) {
	t.Parallel()
	files := map[string]string{
		"m/main.tf":                    "",
		"acme/organization.yaml":       "apiVersion: resource-manager.planton.cloud/v1\nkind: Organization\nmetadata: {name: Acme Inc, id: org_1, version: {message: x}}\nspec: {description: d, logo_url: u}\n",
		"acme/dev/environment.yaml":    "apiVersion: resource-manager.planton.ai/v1\nkind: Environment\nmetadata: {name: Development, org: acme}\nspec: {description: d}\n",
		"acme/components/aws-vpc.yaml": "apiVersion: infra-hub.planton.ai/v1\nkind: DeploymentComponent\nmetadata: {name: vpc}\nspec: {apiVersion: aws.planton.dev/v1, kind: AwsVpc, modules: {tofu: /m}}\n",
	}
	for i, group := range []string{"aws.project-planton.org/v1", "aws.openmcf.org/v1", "aws.planton.dev/v1", "aws.planton.dev/v1alpha1", "infra-hub.planton.cloud/v1"} {
		files[fmt.Sprintf("acme/dev/%d.yaml", i)] = fmt.Sprintf("apiVersion: %s\nkind: AwsVpc\nmetadata:\n  name: vpc-%d\n  org: acme\n  env: dev\n  group: net\n  relationships: [{kind: AwsVpc, name: vpc-0, type: runs_on}]\nspec: {}\n", group, i)
	}
	files["acme/dev/0.yaml"] = "apiVersion: aws.planton.dev/v1\nkind: AwsVpc\nmetadata: {name: vpc-0}\nspec: {}\n"
	tree := schematest.Load(t, files)
	if len(tree.Diagnostics()) > 0 || len(tree.Resources()) != 5 {
		t.Errorf("%d resources, findings: %v", len(tree.Resources()), tree.Diagnostics())
	}
	if o := tree.Organizations()[0]; o.Slug != "acme" || o.Metadata.Name != "Acme Inc" || o.Spec.LogoURL != "u" {
		t.Errorf("organization %+v", o)
	}
	if e, ok := tree.Environment("acme", "dev"); !ok || e.Metadata.Name != "Development" {
		t.Errorf("environment %+v", e)
	}
	if n := len(tree.Graph("acme").Consumers(schema.ResourceKey{Org: "acme", Env: "dev", Kind: "AwsVpc", Name: "vpc-0"})); n != 4 {
		t.Errorf("%d resources need vpc-0", n)
	}
}

func policyText(selector, controls string) string {
	return "apiVersion: infra-hub.planton.ai/v1\nkind: FlowControlPolicy\nmetadata: {name: p}\nspec:\n  selector: " + selector + "\n  flowControl: " + controls + "\n"
}

func TestPoliciesLoadInBothSpellings(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]schema.Policy{
		policyText("{kind: platform, id: planton_cloud}", "{isManual: true}"): {Selector: schema.Selector{Level: schema.SelectPlatform, ID: "*"},
			Controls: schema.Controls{IsManual: true, PreviewBeforeUpdateOrDestroy: true}, Prune: schema.PruneFollow},
		policyText("{kind: aws_rds}", "{previewBeforeUpdate: false, pauseBetweenPreviewAndUpdate: true}"): {Selector: schema.Selector{Level: schema.SelectResource, Kind: "AwsRds", ID: "*"},
			Controls: schema.Controls{PauseBetweenPreviewAndUpdateOrDestroy: true}, Prune: schema.PruneFollow},
		strings.Replace(policyText("{kind: AwsEksCluster, id: 'prod-*'}", "{pause_between_preview_and_update_or_destroy: true, skip_refresh: true}"), "flowControl", "flow_control", 1) + "  prune: forbid\n": {
			Selector: schema.Selector{Level: schema.SelectResource, Kind: "AwsEksCluster", ID: "prod-*"},
			Controls: schema.Controls{PauseBetweenPreviewAndUpdateOrDestroy: true, SkipRefresh: true, PreviewBeforeUpdateOrDestroy: true}, Prune: schema.PruneForbid},
		policyText("{kind: environment, id: ci-temp-*}", "{disableOnLifecycleEvents: true}"): {Selector: schema.Selector{Level: schema.SelectEnvironment, ID: "ci-temp-*"},
			Controls: schema.Controls{DisableOnLifecycleEvents: true, PreviewBeforeUpdateOrDestroy: true}, Prune: schema.PruneFollow},
	} {
		got := *schematest.Load(t, map[string]string{"platform.yaml": text}).Policies()[0]
		got.Document = schema.Document{}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", text, diff)
		}
	}
}

func TestTheMoreSpecificPolicyIsGreater(t *testing.T) {
	t.Parallel()
	resource := schema.ResourceKey{Org: "acme", Env: "prod", Kind: "AwsVpc", Name: "main-net"}
	sel := func(l schema.SelectorLevel, kind, id string) schema.Selector {
		return schema.Selector{Level: l, Kind: kind, ID: id}
	}
	// From the least specific to the most.
	order := []schema.Policy{
		{Selector: sel(schema.SelectPlatform, "", "*")},
		{Selector: sel(schema.SelectOrganization, "", "*")},
		{Selector: sel(schema.SelectOrganization, "", "ac*")},
		{Selector: sel(schema.SelectOrganization, "", "acme")},
		{Org: "acme", Selector: sel(schema.SelectOrganization, "", "acme")},
		{Selector: sel(schema.SelectEnvironment, "", "*")},
		{Selector: sel(schema.SelectEnvironment, "", "p*")},
		{Selector: sel(schema.SelectEnvironment, "", "pro?")},
		{Selector: sel(schema.SelectEnvironment, "", "prod")},
		{Org: "acme", Env: "prod", Selector: sel(schema.SelectEnvironment, "", "prod")},
		{Org: "acme", Env: "prod", Selector: sel(schema.SelectResource, "AwsVpc", "*")},
		{Selector: sel(schema.SelectResource, "AwsVpc", "main-*")},
		{Org: "acme", Selector: sel(schema.SelectResource, "AwsVpc", "main-*")},
		{Selector: sel(schema.SelectResource, "AwsVpc", "main-net")},
	}
	for i := range order {
		if !order[i].Matches(resource) {
			t.Errorf("policy %d does not match", i)
		}
		if i > 0 && order[i-1].Specificity().Compare(order[i].Specificity()) >= 0 {
			t.Errorf("policy %d is not more specific than the one before", i)
		}
	}
	for i, p := range []schema.Policy{
		{Org: "other", Selector: sel(schema.SelectPlatform, "", "*")},
		{Org: "acme", Env: "dev", Selector: sel(schema.SelectResource, "AwsVpc", "*")},
		{Selector: sel(schema.SelectResource, "AwsRds", "*")},
		{Selector: sel(schema.SelectEnvironment, "", "dev")},
		{Selector: sel(schema.SelectResource, "AwsVpc", "main")},
		{Selector: schema.Selector{}},
	} {
		if p.Matches(resource) {
			t.Errorf("policy %d matches", i)
		}
	}
}

func TestFrozenNamesTheFirstErrorOfTheFolder(t *testing.T) {
	t.Parallel()
	files := map[string]string{"m/main.tf": "", "acme/dev/s.yaml": schematest.Stack("s", "/m"), "acme/prod/s.yaml": schematest.Stack("s", "/m"), "other/dev/s.yaml": schematest.Stack("s", "/m")}
	for broken, want := range map[string]string{
		"acme/dev/x.yaml": "acme/dev", "acme/policies/x.yaml": "acme/dev acme/prod", "acme/x.yaml": "acme/dev acme/prod",
		"platform.yaml": "acme/dev acme/prod other/dev", "policies/x.yaml": "acme/dev acme/prod other/dev", "acme/charts/x.yaml": "", ".github/x.yaml": "",
	} {
		with := map[string]string{broken: "a: ["}
		for p, c := range files {
			with[p] = c
		}
		tree := schematest.LoadAny(t, with)
		var frozen []string
		for _, e := range tree.Environments() {
			if d, ok := tree.Frozen(e.Org, e.Slug); ok {
				frozen = append(frozen, e.Org+"/"+e.Slug)
				if d.Code != diag.YAMLSyntax || d.Pos.File != broken {
					t.Errorf("%s is frozen by %s", e.Slug, d.Pos)
				}
			}
		}
		if got := strings.Join(frozen, " "); got != want {
			t.Errorf("an error in %s freezes %q, want %q", broken, got, want)
		}
	}
}
