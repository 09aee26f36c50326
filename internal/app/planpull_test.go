package app_test

import (
	"errors"
	"log/slog"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stackreeve/stackreeve/gitsource/forge"
	"github.com/stackreeve/stackreeve/gitsource/forge/forgetest"
	"github.com/stackreeve/stackreeve/internal/api"
	"github.com/stackreeve/stackreeve/internal/app"
	"github.com/stackreeve/stackreeve/internal/config"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
)

// planPull plans a pull request beside the daemon.
func (w *pullWorld) planPull(o app.PlanPullOptions) (app.PulledPlan, error) {
	w.t.Helper()
	cfg, found, err := config.Load(config.Options{Path: w.served.file, Environ: os.Environ(), Purpose: config.ForClient})
	if err != nil || found.HasErrors() {
		w.t.Fatal(err, found)
	}
	exe, err := os.Executable()
	if err != nil {
		w.t.Fatal(err)
	}
	o.Config, o.Executable, o.Environ, o.Log = cfg, []string{exe, "run-job"}, os.Environ(), slog.New(slog.NewTextHandler(w.log, nil))
	return app.PlanPull(w.t.Context(), o)
}

// page is below the page of pull request 1.
func (w *pullWorld) page(below string) string {
	return w.site.URL() + map[forge.Kind]string{forge.Gitea: "/pulls/1", forge.GitHub: "/pull/1", forge.GitLab: "/-/merge_requests/1"}[w.site.World().Kind()] + below
}

func TestWhatADryRunShowsIsWhatTheDaemonPosted(t *testing.T) {
	t.Parallel()
	onOneForge(t, nil, func(t *testing.T, w *pullWorld) {
		w.start()
		n, head := w.proposes("Add two", map[string]string{
			"acme/dev/a.yaml": w.document("a", "one"), "acme/dev/b.yaml": w.consumer("b", "a")})
		w.sees(n, "acme/dev/TerraformStack/b", "reeve approve dev")
		w.status(head, "reeve/approval", forge.Pending)
		w.reacts(n, w.says(forgetest.Grace, n, "reeve approve dev"), forge.ThumbsUp)
		w.status(head, "reeve/plan", forge.Success)
		posted := w.sees(n, "reeve", "✅")

		before := len(w.site.Comments(t, n))
		dry, err := w.planPull(app.PlanPullOptions{Pull: "1"})
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(posted, dry.Comment); d != "" {
			t.Errorf("the comment (-posted +shown):\n%s", d)
		}
		if dry.Head != head || dry.Number != n || dry.Title != "Add two" || len(dry.Resources) != 2 || dry.Resources[1].Deferred == nil || dry.Refused != nil {
			t.Errorf("%+v", dry)
		}
		// A plan that is made here is the same plan.
		fresh, err := w.planPull(app.PlanPullOptions{Pull: w.page("/files"), Fresh: true})
		if err != nil {
			t.Fatal(err)
		}
		if a, b := dry.Resources[0].Job, fresh.Resources[0].Job; a.ID == b.ID || a.Plan.Digest != b.Plan.Digest {
			t.Errorf("jobs %s and %s, plans %s and %s", a.ID, b.ID, a.Plan.Digest, b.Plan.Digest)
		}
		if got := w.lines("a"); got != "" || len(w.site.Comments(t, n)) != before {
			t.Errorf("a dry run had an effect: %q, %d comments", got, len(w.site.Comments(t, n))-before)
		}
		list, err := w.served.Pulls(t.Context(), api.PullFilter{})
		if err != nil || len(list) != 1 {
			t.Fatal(list, err)
		}
		list[0].UpdatedAt = list[0].UpdatedAt.UTC()
		want := api.PullStatus{Repository: "config", Number: n, Title: "Add two", URL: list[0].URL, Author: "ada", State: "approved", Head: head, Base: dry.Base,
			Resources: 2, Changes: stackjob.Counts{Create: 1}, Brief: "+1 ~0 -0 ±0", UpdatedAt: list[0].UpdatedAt,
			WaitsFor: []api.PullBlock{{What: "deferred until acme/dev/TerraformStack/a is applied: acme/dev/TerraformStack/b", Who: "nobody: it is planned, shown and gated then"}}}
		if d := cmp.Diff(want, list[0]); d != "" {
			t.Errorf("the pull request (-want +got):\n%s", d)
		}
		if other, err := w.served.Pulls(t.Context(), api.PullFilter{Repository: "other", All: true}); err != nil || len(other) != 0 {
			t.Error(other, err)
		}
	})
}

func TestTheCodeOfAStrangerDoesNotRunHereByItself(t *testing.T) {
	t.Parallel()
	onOneForge(t, nil, func(t *testing.T, w *pullWorld) {
		w.start()
		w.site.PushFork(t, forgetest.Mallory, "change", map[string]string{"acme/dev/a.yaml": w.document("a", "one")})
		n := w.site.Open(t, forgetest.Mallory, "change", "Take this", true)
		posted := w.sees(n, "reeve plan")
		dry, err := w.planPull(app.PlanPullOptions{Pull: "#1"})
		if err != nil || dry.Refused == nil || dry.Refused.Code != stackjob.ReasonUntrusted || len(dry.Resources) != 0 {
			t.Fatalf("%+v, %v", dry, err)
		}
		if d := cmp.Diff(posted, dry.Comment); d != "" {
			t.Errorf("the comment (-posted +shown):\n%s", d)
		}
		dry, err = w.planPull(app.PlanPullOptions{Pull: "#1", Trust: true})
		if err != nil || dry.Refused != nil || len(dry.Resources) != 1 || dry.Resources[0].Job == nil || !dry.Resources[0].Job.Plan.HasChanges {
			t.Errorf("%+v, %v", dry, err)
		}
		w.site.Close(t, forgetest.Ada, n)
		for text, want := range map[string]string{"1": "is closed", "9": "not found", "x": "neither a number nor the URL", "https://example.com/acme/x/pull/1": "no repository in the configuration is example.com/acme/x",
			w.site.URL() + "/issues/1": "not that of a pull request"} {
			if _, err := w.planPull(app.PlanPullOptions{Pull: text}); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, expected %q", text, err, want)
			}
		}
		if _, err := w.planPull(app.PlanPullOptions{Pull: "1", Repository: "other"}); !errors.Is(err, app.ErrCannotFind) {
			t.Error(err)
		}
	})
}
