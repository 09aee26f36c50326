package examples_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/stackreeve/stackreeve/examples"
	"github.com/stackreeve/stackreeve/internal/tool/tooltest"
	"github.com/stackreeve/stackreeve/schema"
)

// load returns an example's tree, which has nothing wrong with it.
func load(t *testing.T, repository fs.FS) *schema.Tree {
	t.Helper()
	tree, err := schema.LoadFS(t.Context(), repository)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range tree.Diagnostics() {
		t.Errorf("%+v", d)
	}
	if t.Failed() {
		t.FailNow()
	}
	return tree
}

func TestQuickstartIsWhatItsReadmeSays(t *testing.T) {
	t.Parallel()
	tree := load(t, examples.Quickstart())

	var environments []string
	for _, e := range tree.Environments() {
		environments = append(environments, fmt.Sprintf("%d %s/%s protected=%t", e.Spec.PromotionOrder, e.Org, e.Slug, e.Spec.Protected))
	}
	if diff := cmp.Diff([]string{"1 acme/dev protected=false", "3 acme/prod protected=true", "2 acme/staging protected=false"}, environments); diff != "" {
		t.Errorf("environments (-want +got):\n%s", diff)
	}

	producers := map[string][]string{}
	for _, key := range tree.Graph("acme").Nodes() {
		producers[key.String()] = nil
		for _, p := range tree.Graph("acme").Producers(key) {
			producers[key.String()] = append(producers[key.String()], p.String())
		}
	}
	want := map[string][]string{}
	for _, env := range []string{"dev", "staging", "prod"} {
		key := func(kind, name string) string {
			return schema.ResourceKey{Org: "acme", Env: env, Kind: kind, Name: name}.String()
		}
		network, hello, bonjour := key("TerraformStack", "network"), key("GreetingService", "hello"), key("GreetingService", "bonjour")
		want[network] = nil
		want[hello] = []string{network}
		want[bonjour] = []string{network}
		want[key("GreetingService", "lobby")] = []string{bonjour, hello, network}
	}
	if diff := cmp.Diff(want, producers); diff != "" {
		t.Errorf("who needs whom (-want +got):\n%s", diff)
	}

	policies := map[string]string{}
	for _, p := range tree.Policies() {
		policies[p.Metadata.Name] = fmt.Sprintf("%s %s pause=%t prune=%s", p.Selector.Level, p.Selector.ID,
			p.Controls.PauseBetweenPreviewAndUpdateOrDestroy, p.Prune)
	}
	if diff := cmp.Diff(map[string]string{
		"apply-at-once":        "organization acme pause=false prune=follow",
		"look-before-prod":     "environment prod pause=true prune=follow",
		"look-before-removing": "environment staging pause=false prune=approve",
	}, policies); diff != "" {
		t.Errorf("policies (-want +got):\n%s", diff)
	}
}

// edit returns a repository in which one text of one file is another.
func edit(t *testing.T, repository fs.FS, file, from, to string) fs.FS {
	t.Helper()
	edited := fstest.MapFS{}
	err := fs.WalkDir(repository, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := fs.ReadFile(repository, path)
		if path == file {
			if !strings.Contains(string(text), from) {
				t.Errorf("%s has no %q", path, from)
			}
			text = []byte(strings.Replace(string(text), from, to, 1))
		}
		edited[path] = &fstest.MapFile{Data: text}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return edited
}

// The mistakes that the quickstart's README tells people to make are found where
// they are made, and stop dev alone.
func TestMistakesInTheQuickstartAreFound(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ file, from, to, found string }{
		"a number that is a word": {"acme/dev/greetings.yaml", "replicas: 1", "replicas: many", "acme/dev/greetings.yaml"},
		"a misspelt field":        {"acme/dev/greetings.yaml", "message:", "mesage:", "acme/dev/greetings.yaml"},
		"a renamed producer":      {"acme/dev/network.yaml", "name: network", "name: ground", "acme/dev/lobby.yaml"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tree, err := schema.LoadFS(t.Context(), edit(t, examples.Quickstart(), test.file, test.from, test.to))
			if err != nil {
				t.Fatal(err)
			}
			files := map[string]bool{}
			for _, d := range tree.Diagnostics() {
				files[d.Pos.File] = true
			}
			if !files[test.found] {
				t.Errorf("nothing is found in %s, but in %v", test.found, files)
			}
			frozen := map[string]bool{}
			for _, e := range tree.Environments() {
				_, frozen[e.Slug] = tree.Frozen(e.Org, e.Slug)
			}
			if diff := cmp.Diff(map[string]bool{"dev": true, "staging": false, "prod": false}, frozen); diff != "" {
				t.Errorf("frozen environments (-want +got):\n%s", diff)
			}
		})
	}
}

func TestReadmesShowWhatIsThere(t *testing.T) {
	t.Parallel()
	text := func(repository fs.FS, file string) string {
		b, err := fs.ReadFile(repository, file)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	_, document, _ := strings.Cut(text(examples.Adopt(), "acme/prod/website.yaml"), "apiVersion")
	if !strings.Contains(text(examples.Adopt(), "README.md"), "```yaml\napiVersion"+document+"```") {
		t.Error("the README of adopt shows another file than acme/prod/website.yaml")
	}
	for name, example := range map[string]fs.FS{"quickstart": examples.Quickstart(), "pull-requests": examples.PullRequests(), "pulumi": examples.Pulumi()} {
		readme := text(example, "README.md")
		err := fs.WalkDir(example, ".", func(file string, d fs.DirEntry, err error) error {
			if strings.HasSuffix(file, ".yaml") && !strings.Contains(readme, path.Base(file)) {
				t.Errorf("the README of %s does not name %s", name, file)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestPullRequestsIsWhatItsReadmeSays(t *testing.T) {
	t.Parallel()
	tree := load(t, examples.PullRequests())
	policies := map[string]string{}
	for _, p := range tree.Policies() {
		policies[p.Selector.ID] = fmt.Sprintf("before the merge: %t", p.ApplyBeforeMerge)
		if p.Approvals != nil {
			policies[p.Selector.ID] += fmt.Sprintf(", %d of %v, by review: %t, the author: %t", p.Approvals.Required, p.Approvals.From, p.Approvals.ByReview, p.Approvals.AuthorMayApprove)
		}
	}
	if diff := cmp.Diff(map[string]string{
		"dev":  "before the merge: true",
		"prod": "before the merge: false, 1 of [team/platform], by review: true, the author: false",
	}, policies); diff != "" {
		t.Errorf("policies (-want +got):\n%s", diff)
	}
}

func TestPulumiIsWhatItsReadmeSays(t *testing.T) {
	t.Parallel()
	tree := load(t, examples.Pulumi())
	runs := map[string]string{}
	for _, r := range tree.Resources() {
		runs[r.Key.String()] = fmt.Sprintf("%s by %q, stack input: %t", r.Module.Path, r.Provisioner, r.Pulumi != nil && r.Pulumi.StackInput)
	}
	if diff := cmp.Diff(map[string]string{
		"acme/dev/Notice/front-door": `modules/notice/pulumi by "pulumi", stack input: true`,
		"acme/dev/Notice/back-door":  `modules/notice/terraform by "", stack input: false`,
		"acme/dev/PulumiStack/site":  `modules/site by "pulumi", stack input: false`,
		"acme/prod/PulumiStack/site": `modules/site by "pulumi", stack input: false`,
	}, runs); diff != "" {
		t.Errorf("what runs what (-want +got):\n%s", diff)
	}
}

func TestAdoptIsOneFile(t *testing.T) {
	t.Parallel()
	tree := load(t, examples.Adopt())
	var documents []string
	err := fs.WalkDir(examples.Adopt(), ".", func(path string, _ fs.DirEntry, err error) error {
		if strings.HasSuffix(path, ".yaml") {
			documents = append(documents, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"acme/prod/website.yaml"}, documents); diff != "" {
		t.Errorf("documents (-want +got):\n%s", diff)
	}
	if n := len(tree.Resources()); n != 1 {
		t.Fatalf("%d resources, want one", n)
	}
	r := tree.Resources()[0]
	if diff := cmp.Diff(schema.ModuleSource{Path: "terraform"}, r.Module); diff != "" {
		t.Errorf("module (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"prod.tfvars"}, r.VarFiles); diff != "" {
		t.Errorf("variable files (-want +got):\n%s", diff)
	}
}

// stacks applies resources with the bare engine commands, without Stackreeve: what
// it shows is that the examples' modules and references are right.
type stacks struct {
	engine     tooltest.Engine
	config     string
	repository fs.FS
	folders    string
	outputs    map[schema.ResourceKey]map[string]json.RawMessage
}

func (s *stacks) run(t *testing.T, dir string, args ...string) []byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, s.engine.Path, args...)
	cmd.Dir = dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "TF_CLI_CONFIG_FILE=" + s.config}
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", s.engine, strings.Join(args, " "), err, out)
	}
	return out
}

// apply applies one resource and checks that a plan after it changes nothing.
func (s *stacks) apply(t *testing.T, r *schema.Resource) {
	t.Helper()
	inputs, err := schema.Resolve(r.Inputs, func(ref schema.Reference) (json.RawMessage, error) {
		ref.To.Org = r.Key.Org // references never leave the organization, and do not name it
		name, ok := strings.CutPrefix(ref.FieldPath, "status.outputs.")
		value, known := s.outputs[ref.To][name]
		if !ok || !known {
			return nil, fmt.Errorf("%s has no %s", ref.To, ref.FieldPath)
		}
		return value, nil
	})
	if err != nil {
		t.Fatalf("%s: %v", r.Key, err)
	}
	dir := filepath.Join(s.folders, strings.ReplaceAll(r.Key.String(), "/", "_"))
	module, err := fs.Sub(s.repository, r.Module.Path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(dir, module); err != nil {
		t.Fatal(err)
	}
	const inputsFile = "inputs.json"
	if err := os.WriteFile(filepath.Join(dir, inputsFile), inputs, 0o600); err != nil {
		t.Fatal(err)
	}
	var vars []string
	for _, file := range r.VarFiles {
		vars = append(vars, "-var-file="+file)
	}
	vars = append(vars, "-var-file="+inputsFile)
	s.run(t, dir, "init", "-no-color", "-input=false")
	s.run(t, dir, append([]string{"apply", "-no-color", "-input=false", "-auto-approve"}, vars...)...)
	s.run(t, dir, append([]string{"plan", "-no-color", "-input=false", "-detailed-exitcode"}, vars...)...) // 2, a failure, would be a change

	var outputs map[string]struct{ Value json.RawMessage }
	if err := json.Unmarshal(s.run(t, dir, "output", "-json"), &outputs); err != nil {
		t.Fatal(err)
	}
	s.outputs[r.Key] = map[string]json.RawMessage{}
	for name, o := range outputs {
		s.outputs[r.Key][name] = o.Value
	}
}

// applyAll applies an example in the order of its graph.
func applyAll(t *testing.T, engine tooltest.Engine, repository fs.FS) map[schema.ResourceKey]map[string]json.RawMessage {
	t.Helper()
	tree := load(t, repository)
	s := &stacks{engine: engine, config: tooltest.EmptyCLIConfig(t), repository: repository, folders: t.TempDir(),
		outputs: map[schema.ResourceKey]map[string]json.RawMessage{}}
	for _, key := range tree.Graph("acme").Nodes() {
		r, ok := tree.Resource(key)
		if !ok {
			t.Fatalf("%s is in the graph and not in the tree", key)
		}
		s.apply(t, r)
	}
	return s.outputs
}

func TestEveryStackOfTheExamplesApplies(t *testing.T) {
	t.Parallel()
	for _, engine := range tooltest.Engines(t) {
		t.Run(engine.Name+"/quickstart", func(t *testing.T) {
			t.Parallel()
			outputs := applyAll(t, engine, examples.Quickstart())
			if len(outputs) != 12 {
				t.Errorf("%d stacks were applied, want 12", len(outputs))
			}
			for env, replicas := range map[string]string{"dev": "1", "staging": "1", "prod": "3"} {
				hello := outputs[schema.ResourceKey{Org: "acme", Env: env, Kind: "GreetingService", Name: "hello"}]
				want := map[string]json.RawMessage{
					"endpoint": json.RawMessage(`"http://hello.` + env + `.acme.example:8080"`),
					"replicas": json.RawMessage(replicas),
				}
				if diff := cmp.Diff(want, hello); diff != "" {
					t.Errorf("outputs of hello in %s (-want +got):\n%s", env, diff)
				}
			}
		})
		t.Run(engine.Name+"/pull-requests", func(t *testing.T) {
			t.Parallel()
			if outputs := applyAll(t, engine, examples.PullRequests()); len(outputs) != 4 {
				t.Errorf("%d stacks were applied, want 4", len(outputs))
			}
		})
		t.Run(engine.Name+"/adopt", func(t *testing.T) {
			t.Parallel()
			outputs := applyAll(t, engine, examples.Adopt())
			website := outputs[schema.ResourceKey{Org: "acme", Env: "prod", Kind: "TerraformStack", Name: "website"}]
			if got, want := string(website["label"]), `"web/website"`; got != want {
				t.Errorf("label is %s, want %s", got, want)
			}
		})
	}
}
