package app_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stackreeve/stackreeve/examples"
	"github.com/stackreeve/stackreeve/gitsource/forge"
	"github.com/stackreeve/stackreeve/gitsource/forge/forgetest"
	"github.com/stackreeve/stackreeve/internal/tool/tooltest"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
)

// copyExample makes the world's repository a copy of an example.
func (w *world) copyExample(example fs.FS) {
	w.t.Helper()
	if err := os.CopyFS(w.repo, example); err != nil {
		w.t.Fatal(err)
	}
	w.commit("the example")
}

func TestQuickstartIsAppliedInDevAndStagingAndApprovedStepByStepInProd(t *testing.T) {
	t.Parallel()
	onEveryEngine(t, func(t *testing.T, w *world) {
		w.copyExample(examples.Quickstart())
		w.start()
		stacks := []string{"TerraformStack/network", "GreetingService/hello", "GreetingService/bonjour", "GreetingService/lobby"}
		for _, env := range []string{"dev", "staging"} {
			for _, s := range stacks {
				j := w.await("acme/"+env+"/"+s, stackjob.Succeeded)
				if len(j.Approvals) != 0 || j.Reason.Code != "" {
					t.Errorf("%s was approved by somebody, or has a reason left: %+v %s", j.Desired.Key, j.Approvals, j.Reason)
				}
			}
		}
		network := w.await("acme/prod/TerraformStack/network", stackjob.WaitingApply)
		if network.Reason.Code != stackjob.ReasonNeedsApproval {
			t.Errorf("prod's network: %s", network.Reason)
		}
		// Each approval frees what needs it: first the network, then the two that
		// need only it, then the one that needs both.
		const hello, bonjour, lobby = "acme/prod/GreetingService/hello", "acme/prod/GreetingService/bonjour", "acme/prod/GreetingService/lobby"
		w.approve(network)
		first, second := w.await(hello, stackjob.WaitingApply), w.await(bonjour, stackjob.WaitingApply)
		w.approve(first)
		w.await(hello, stackjob.Succeeded)
		if j := w.newest(lobby); j.State != stackjob.Queued || len(j.Operations) != 0 {
			t.Errorf("lobby is %s before all that it needs is there, with operations %v", j.State, j.Operations)
		}
		w.approve(second)
		w.approve(w.await(lobby, stackjob.WaitingApply))
		for _, s := range stacks {
			j := w.await("acme/prod/"+s, stackjob.Succeeded)
			if len(j.Approvals) != 1 || j.Approvals[0].Actor != ada {
				t.Errorf("%s: approvals %+v", s, j.Approvals)
			}
		}
		for _, r := range []string{"dev", "staging", "prod"} {
			e := w.stack("acme/" + r + "/GreetingService/lobby")
			if e.Resource.Status != "applied" || len(e.Producers) != 3 {
				t.Errorf("%s lobby is %s and needs %v", r, e.Resource.Status, e.Producers)
			}
		}
		before := len(w.jobs(""))
		w.commit("nothing")
		w.quiet()
		if after := len(w.jobs("")); after != before {
			t.Errorf("an empty commit made %d jobs", after-before)
		}
	})
}

func TestTheExampleOfPullRequestsIsAppliedAsItsReadmeSays(t *testing.T) {
	t.Parallel()
	example := examples.PullRequests()
	files := map[string]string{}
	err := fs.WalkDir(example, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := fs.ReadFile(example, name)
		files[name] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	onOneForge(t, files, func(t *testing.T, w *pullWorld) {
		w.start()
		w.served.await("acme/dev/TerraformStack/shop", stackjob.Succeeded)
		w.served.await("acme/prod/TerraformStack/network", stackjob.WaitingApply)
		n, head := w.proposes("Two shops in dev, another range in prod", map[string]string{
			"acme/dev/shop.yaml":     strings.Replace(files["acme/dev/shop.yaml"], "replicas: 1", "replicas: 2", 1),
			"acme/prod/network.yaml": strings.Replace(files["acme/prod/network.yaml"], "10.2.0.0", "10.3.0.0", 1)})
		w.shows(n, "acme/dev/TerraformStack/shop", "acme/prod/TerraformStack/network", "reeve apply dev", "team/platform")

		w.reacts(n, w.says(forgetest.Ada, n, "reeve apply dev"), forge.ThumbsUp)
		w.status(head, "reeve/apply: dev", forge.Success)
		w.reacts(n, w.says(forgetest.Ada, n, "reeve approve prod"), forge.Confused)
		w.reacts(n, w.says(forgetest.Grace, n, "reeve approve prod"), forge.ThumbsUp)
		w.site.Merge(t, forgetest.Ada, n)
		w.served.await("acme/prod/TerraformStack/network", stackjob.Succeeded)
		w.served.await("acme/prod/TerraformStack/shop", stackjob.WaitingApply)
		w.sees(n, "/waits-", "acme/prod/TerraformStack/shop")
		w.reacts(n, w.says(forgetest.Grace, n, "reeve approve prod"), forge.ThumbsUp)
		w.served.await("acme/prod/TerraformStack/shop", stackjob.Succeeded)
		w.status(head, "reeve/apply: prod", forge.Success)
		w.once(n)
	})
}

func TestTheExampleOfPulumiIsAppliedAsItsReadmeSays(t *testing.T) {
	t.Parallel()
	onEveryEngine(t, func(t *testing.T, w *world) {
		e, _ := tooltest.Pulumi(t)
		w.engines = []tooltest.Engine{e}
		w.copyExample(examples.Pulumi())
		w.start()
		const dev, prod, secret = "acme/dev/PulumiStack/site", "acme/prod/PulumiStack/site", "not-so-secret-in-dev"
		w.await(dev, stackjob.Succeeded)
		j := w.await(prod, stackjob.WaitingApply)
		if j.Plan.Counts != (stackjob.Counts{Create: 2}) || strings.Contains(j.Plan.Text, secret) {
			t.Errorf("prod's plan: %s\n%s", j.Plan.Counts, j.Plan.Text)
		}
		w.approve(j)
		w.await(prod, stackjob.Succeeded)
		for _, stack := range []string{dev, prod} {
			for _, o := range w.stack(stack).Observed.Outputs {
				if o.Sensitive != (o.Name == "apiKey") {
					t.Errorf("%s: output %+v", stack, o)
				}
			}
		}
		front, back := w.await("acme/dev/Notice/front-door", stackjob.Succeeded), w.await("acme/dev/Notice/back-door", stackjob.Succeeded)
		if front.Plan.Engine != e.String() || back.Plan.Engine != w.engine.String() {
			t.Errorf("run by %s and %s", front.Plan.Engine, back.Plan.Engine)
		}
		notice := w.outputs("acme/dev/Notice/front-door")
		if diff := cmp.Diff(notice, w.outputs("acme/dev/Notice/back-door")); diff != "" {
			t.Errorf("outputs by %s (-) and %s (+):\n%s", e, w.engine, diff)
		}
		if len(notice) != 3 || string(notice["text"].Value) != `"Back at noon."` || !notice["signature"].Sensitive {
			t.Errorf("outputs = %+v", notice)
		}
		before := len(w.jobs(""))
		w.commit("nothing")
		w.quiet()
		if after := len(w.jobs("")); after != before {
			t.Errorf("an empty commit made %d jobs", after-before)
		}
		if out := w.git("status", "--porcelain", "--ignored"); out != "" {
			t.Errorf("the repository holds what was not committed:\n%s", out)
		}
		w.stop()
		for _, file := range filesContaining(t, filepath.Join(w.root, "data"), secret) {
			if !strings.Contains(file, "/mirrors/") && !strings.Contains(file, "/code/") { // the repository itself
				t.Errorf("the secret is in clear in %s", file)
			}
		}
	})
}

func TestAdoptedCodeIsAppliedAfterApproval(t *testing.T) {
	t.Parallel()
	onEveryEngine(t, func(t *testing.T, w *world) {
		w.copyExample(examples.Adopt())
		w.start()
		const website = "acme/prod/TerraformStack/website"
		j := w.await(website, stackjob.WaitingApply)
		if len(w.jobs("")) != 1 || j.Plan.Counts.Create == 0 || j.Plan.Counts.Delete != 0 {
			t.Fatalf("the plan: %s; jobs: %s", j.Plan.Counts, w.describe())
		}
		w.approve(j)
		j = w.await(website, stackjob.Succeeded)
		e := w.stack(website)
		if e.Resource.Status != "applied" || e.Observed == nil || !e.Observed.Complete || len(e.Observed.Outputs) == 0 {
			t.Errorf("after the apply: %s, %+v", e.Resource.Status, e.Observed)
		}
		// The code is planned where it stands, and nothing is written beside it.
		if out := w.git("status", "--porcelain", "--ignored"); out != "" {
			t.Errorf("the repository holds what was not committed:\n%s", out)
		}
	})
}
