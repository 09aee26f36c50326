package app_test

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-version"

	"github.com/stackreeve/stackreeve/gitsource/forge"
	"github.com/stackreeve/stackreeve/gitsource/forge/forgetest"
	"github.com/stackreeve/stackreeve/internal/api"
	"github.com/stackreeve/stackreeve/internal/app"
	"github.com/stackreeve/stackreeve/internal/program"
	"github.com/stackreeve/stackreeve/internal/program/programtest"
	"github.com/stackreeve/stackreeve/internal/tool/tooltest"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/schema"
	"github.com/stackreeve/stackreeve/schema/diag"
)

// putInstalled puts a real engine where `reeve engine install` does.
func (w *world) putInstalled(e tooltest.Engine) {
	w.t.Helper()
	path := program.InstalledPath(filepath.Join(w.root, "data", "engines"), schema.Provisioner(e.Name), e.Version)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		w.t.Fatal(err)
	}
	if err := os.Symlink(e.Path, path); err != nil {
		w.t.Fatal(err)
	}
}

// with adds lines to the spec of a document.
func with(document string, lines ...string) string {
	return document + "  " + strings.Join(lines, "\n  ") + "\n"
}

// twins are two engines that take each other's state, the first being the world's; false,
// and said, when only one is there.
func twins(t *testing.T) (first, other tooltest.Engine, both bool) {
	t.Helper()
	all := tooltest.Engines(t)
	if len(all) < 2 {
		t.Log("there is one engine only: that a stack goes over to another one is not run")
		return all[0], tooltest.Engine{Name: "terraform"}, false
	}
	return all[0], all[1], true
}

func TestAStackChangesItsEngineOnlyWhenItsDocumentSaysHowItsStateMoves(t *testing.T) {
	t.Parallel()
	first, other, both := twins(t)
	w := newWorld(t, first)
	w.write("modules/counter/main.tf", counter, "acme/policy.yaml", atOnce, "acme/dev/a.yaml", w.stackDocument("a", "one"))
	w.commit("one")
	if both {
		w.putInstalled(other)
	}
	w.start()
	w.await(devA, stackjob.Succeeded)

	w.write("acme/dev/a.yaml", with(w.stackDocument("a", "two"), "provisioner: "+other.Name))
	w.commit("another engine")
	changes, err := w.app.Backend().Changes(t.Context(), api.Filter{}) // what `reeve diff` shows
	if err != nil || len(changes) != 1 || changes[0].Hold.Code != stackjob.ReasonEngineMove || !strings.Contains(changes[0].Hold.Detail, first.Name+" → "+other.Name) {
		t.Fatalf("%+v, %v", changes, err)
	}
	e := w.stack(devA)
	text := strings.Join(e.Lines, "\n")
	for _, part := range []string{"its engine would change", "engineMove: state-from-" + first.Name, "Nothing of it is planned before its document says so"} {
		if !strings.Contains(text, part) {
			t.Errorf("%q is not explained:\n%s", part, text)
		}
	}
	if jobs := w.jobs(devA); len(jobs) != 1 {
		t.Errorf("%d jobs: expected that the refused change has none", len(jobs))
	}
	if _, err := w.app.Backend().Rerun(t.Context(), api.Answer{Job: w.newest(devA).ID, Actor: ada}); err == nil || !strings.Contains(err.Error(), "engineMove") {
		t.Errorf("rerun: %v", err)
	}
	if !both {
		return
	}

	w.write("acme/dev/a.yaml", with(w.stackDocument("a", "two"), "provisioner: "+other.Name, "engineMove: state-from-"+first.Name))
	w.commit("with its state")
	j := w.await(devA, stackjob.Succeeded)
	if j.Plan == nil || j.Plan.Engine != other.String() || j.Plan.Counts.Create+j.Plan.Counts.Replace != 1 || j.Plan.Counts.Delete != 0 {
		t.Errorf("the plan is of %+v", j.Plan)
	}
	// What the first engine made was known to the second: it replaced it, and made no second one.
	if n := w.effects("a"); n != 2 || w.stack(devA).Observed.Engine != other.String() {
		t.Errorf("%d effects, made with %s", n, w.stack(devA).Observed.Engine)
	}

	// And back again, which is another move. Whoever is older than who wrote the state is
	// warned: the engine itself says nothing.
	w.write("acme/dev/a.yaml", with(w.stackDocument("a", "three"), "provisioner: "+first.Name, "engineMove: state-from-"+other.Name))
	w.commit("and back")
	w.until("the move back is made", func() bool { return w.effects("a") == 3 && w.newest(devA).State == stackjob.Succeeded })
	j = w.job(w.newest(devA).ID)
	warned := slices.ContainsFunc(j.Plan.Warnings, func(s string) bool { return strings.HasPrefix(s, other.String()+" made the stack last") })
	was, is := version.Must(version.NewVersion(other.Version)).Segments(), version.Must(version.NewVersion(first.Version)).Segments()
	if older := is[0] < was[0] || is[0] == was[0] && is[1] < was[1]; warned != older || j.Plan.Engine != first.String() {
		t.Errorf("planned with %s after %s, warnings: %q", j.Plan.Engine, other, j.Plan.Warnings)
	}
}

func TestAConstraintPicksTheProgramAndSaysWhenNoneFits(t *testing.T) {
	t.Parallel()
	e := tooltest.OpenTofu(t)
	w := newWorld(t, e)
	// A newer one that no constraint allows, and that is none: it must not be run.
	newer := program.InstalledPath(filepath.Join(w.root, "data", "engines"), schema.OpenTofu, "9.9.9")
	programtest.Write(t, newer, "9.9.9")
	w.write("modules/counter/main.tf", counter, "acme/policy.yaml", atOnce,
		"acme/organization.yaml", "apiVersion: stackreeve.dev/v1\nkind: Organization\nspec: {engineVersion: '> 1.98, < 2'}\n",
		"acme/dev/a.yaml", w.stackDocument("a", "one"))
	w.commit("none fits")
	w.start()
	j := w.await(devA, stackjob.Failed)
	if j.Reason.Code != stackjob.ReasonEngineVersion || len(j.Operations) != 0 {
		t.Errorf("%s after %d operations", j.Reason, len(j.Operations))
	}
	for _, part := range []string{"no tofu satisfies `> 1.98, < 2` (acme/organization.yaml:3:23)", "tofu " + e.Version + " (" + e.Path + ")", "9.9.9 (" + newer + ")",
		"`reeve engine install 'tofu@> 1.98, < 2'`"} {
		if !strings.Contains(j.Reason.Detail, part) {
			t.Errorf("%q is not in: %s", part, j.Reason.Detail)
		}
	}

	// Another constraint is another wish: it is tried without anybody's rerun.
	w.write("acme/organization.yaml", "apiVersion: stackreeve.dev/v1\nkind: Organization\nspec: {engineVersion: '>= 1.6, < 2'}\n")
	w.commit("one fits")
	if j = w.await(devA, stackjob.Succeeded); j.Plan.Engine != e.String() {
		t.Errorf("planned with %s", j.Plan.Engine)
	}

	// Jobs ask no program for its version again.
	asked := programtest.Asked(t, newer)
	for _, text := range []string{"two", "three"} {
		w.write("acme/dev/a.yaml", w.stackDocument("a", text))
		w.commit(text)
		w.until(text+" is made", func() bool {
			return w.effects("a") > 0 && w.newest(devA).State == stackjob.Succeeded && w.effects("a") >= map[string]int{"two": 2, "three": 3}[text]
		})
	}
	if n := programtest.Asked(t, newer); asked != 1 || n != 1 {
		t.Errorf("a program was run %d times, and %d times after more jobs", asked, n)
	}

	// A constraint that moves plans nothing; the next job has it.
	w.write("acme/organization.yaml", "apiVersion: stackreeve.dev/v1\nkind: Organization\nspec: {engineVersion: '> 1.98, < 2'}\n")
	w.commit("another constraint")
	last := w.newest(devA)
	if changes, err := w.app.Backend().Changes(t.Context(), api.Filter{}); err != nil || len(changes) != 0 || last.State != stackjob.Succeeded {
		t.Errorf("%+v, %v, and the newest job is %s", changes, err, last.State)
	}
	if text := strings.Join(w.stack(devA).Lines, "\n"); !strings.Contains(text, "Its next job would fail: no tofu satisfies `> 1.98, < 2` (acme/organization.yaml:3:23); `reeve engine install 'tofu@> 1.98, < 2'` gets it") {
		t.Errorf("that its next job would fail is not explained:\n%s", text)
	}
	again, err := w.app.Backend().Rerun(t.Context(), api.Answer{Job: last.ID, Actor: ada})
	if err != nil {
		t.Fatal(err)
	}
	w.until("the rerun ends", func() bool { return w.job(again.ID).State.IsFinal() })
	if j := w.job(again.ID); j.Reason.Code != stackjob.ReasonEngineVersion {
		t.Errorf("the rerun %s: %s", j.State, j.Reason)
	}
	if text := strings.Join(w.stack(devA).Lines, "\n"); strings.Count(text, "no tofu satisfies") != 1 {
		t.Errorf("what its job said is said again:\n%s", text)
	}
}

func TestAPullRequestSaysThatAnEngineMayNotChangeUntilItSaysHow(t *testing.T) {
	t.Parallel()
	onOneForgeWith(t, dev, func(t *testing.T, w *pullWorld) {
		first, other, both := twins(t)
		if both {
			w.putInstalled(other)
		}
		w.start()
		w.settle(devA, devB)
		n, _ := w.proposes("Another engine", map[string]string{"acme/dev/a.yaml": with(w.document("a", "two"), "provisioner: "+other.Name)})
		w.shows(n, devA, "its engine would change", "state-from-"+first.Name)
		if !both {
			return
		}
		w.site.Push(t, forgetest.Ada, "change", map[string]string{"acme/dev/a.yaml": with(w.document("a", "two"), "provisioner: "+other.Name, "engineMove: state-from-"+first.Name)}, false)
		w.shows(n, devA, other.String(), "reeve approve dev")
		w.yes(n)
		w.site.Merge(t, forgetest.Ada, n)
		w.sees(n, "/outcome-", devA)
		if j := w.served.await(devA, stackjob.Succeeded); j.Plan.Engine != other.String() {
			t.Errorf("it was made with %s", j.Plan.Engine)
		}
	})
}

// organization is a document of acme that holds all its stacks to versions of an engine.
func organization(constraint string) string {
	return fmt.Sprintf("apiVersion: stackreeve.dev/v1\nkind: Organization\nspec: {engineVersion: %q}\n", constraint)
}

func TestAPullRequestTellsOfAnEngineThatIsNotThereBeforeAnyJob(t *testing.T) {
	t.Parallel()
	onOneForgeWith(t, dev, func(t *testing.T, w *pullWorld) {
		w.engine = tooltest.OpenTofu(t)
		w.start()
		w.settle(devA, devB)

		// No stack is another by a constraint: nothing is planned, and yet it is told.
		n, head := w.proposes("Hold the engine", map[string]string{"acme/organization.yaml": organization("> 1.98, < 2")})
		lack := "no tofu satisfies `> 1.98, < 2` (`acme/organization.yaml:3:23`)"
		install := "`reeve engine install 'tofu@> 1.98, < 2'`"
		body := w.shows(n, "[!WARNING]", "An engine that this asks for is not there", "`"+devA+"`, `"+devB+"`", lack, w.engine.Version, install)
		w.status(head, "reeve/plan", forge.Success)
		if plans := w.plans(); len(plans) != 0 {
			t.Errorf("plans were made: %v", plans)
		}
		if dry, err := w.planPull(app.PlanPullOptions{Pull: strconv.Itoa(n)}); err != nil || dry.Comment != body || len(dry.Engines) != 1 || len(dry.Engines[0].Of) != 2 {
			t.Errorf("a dry run: %v %+v, and the comment\n%s", err, dry.Engines, cmp.Diff(body, dry.Comment))
		}

		// Somebody installs it, and has it looked at again.
		programtest.Write(t, program.InstalledPath(filepath.Join(w.root, "data", "engines"), schema.OpenTofu, "1.99.0"), "1.99.0")
		w.reacts(n, w.says(forgetest.Ada, n, "reeve plan"), forge.ThumbsUp)
		w.served.until("the warning is gone", func() bool {
			return !slices.ContainsFunc(w.ours(n), func(body string) bool { return strings.Contains(body, "is not there") })
		})

		// A row's own plan says it, and what was planned with another version does not stand.
		w.site.Push(t, forgetest.Ada, "change", map[string]string{"acme/organization.yaml": organization(">= 1.6, < 2"), "acme/dev/a.yaml": w.document("a", "two")}, false)
		w.shows(n, devA, w.engine.String(), "reeve approve dev")
		if body := w.shows(n); strings.Contains(body, "is not there") {
			t.Errorf("the engine is there:\n%s", body)
		}
		head = w.site.Push(t, forgetest.Ada, "change", map[string]string{"acme/organization.yaml": organization("> 1.99, < 2")}, false)
		body = w.shows(n, "The plan failed", strings.ReplaceAll(lack, "1.98", "1.99"), strings.ReplaceAll(install, "1.98", "1.99"))
		w.status(head, "reeve/plan", forge.Failure)
		warning, _, _ := strings.Cut(body, "\n| ")
		if !strings.Contains(warning, "> - `"+devB+"`: no tofu satisfies") || strings.Contains(warning, "> - `"+devA) {
			t.Errorf("the warning is to name what has no plan, and that alone:\n%s", body)
		}
	})
}

func TestALocalPlanTellsOfEnginesThatAreNotThere(t *testing.T) {
	t.Parallel()
	e := tooltest.OpenTofu(t)
	w := newWorld(t, e)
	w.write("modules/counter/main.tf", counter, "modules/odd/Pulumi.yaml", "name: odd\nruntime: cobol\n", "acme/policy.yaml", atOnce,
		"acme/dev/a.yaml", w.stackDocument("a", "one"))
	w.commit("one")
	w.start()
	w.await(devA, stackjob.Succeeded)
	// One that is as it was, and one that cannot be planned before another is applied: of
	// neither a job would tell.
	pulumi := program.InstalledPath(filepath.Join(w.root, "data", "engines"), schema.Pulumi, "3.230.0")
	programtest.Write(t, pulumi, "3.230.0")
	w.write("acme/organization.yaml", "apiVersion: stackreeve.dev/v1\nkind: Organization\nspec: {engineVersion: {tofu: '> 1.98'}}\n",
		"acme/dev/b.yaml", with(w.stackDocument("b", "one"), "engineVersion: '>= 1.6'"),
		"acme/dev/p.yaml", "apiVersion: stackreeve.dev/v1\nkind: PulumiStack\nmetadata: {name: p}\nspec:\n  program: /modules/odd\n  config:\n    text: {valueFrom: {kind: TerraformStack, name: b, fieldPath: status.outputs.text}}\n")
	got := w.plan()
	if len(got.Engines) != 2 || got.Engines[0].Of[0].Name != "p" || got.Engines[1].Of[0].Name != "a" {
		t.Fatalf("%+v", got.Engines)
	}
	for i, parts := range [][]string{
		{"pulumi-language-cobol", "the runtime cobol", "beside pulumi 3.230.0 (" + pulumi + ")", "`reeve engine install pulumi`", "Pulumi.yaml"},
		{"no tofu satisfies `> 1.98` (acme/organization.yaml:3:30)", "`reeve engine install 'tofu@> 1.98'`"},
	} {
		for _, part := range parts {
			if !strings.Contains(got.Engines[i].Why, part) {
				t.Errorf("%q is not in: %s", part, got.Engines[i].Why)
			}
		}
	}
	for _, r := range got.Resources {
		if r.Key.Name == "b" && (r.Problem != nil || r.Job == nil || r.Job.Plan.Counts.Create != 1) {
			t.Errorf("b: %+v", r)
		}
	}

	// Its job says so as well, before anything runs; and whoever asks which engine it gets.
	w.commit("two")
	j := w.await("acme/dev/PulumiStack/p", stackjob.Failed)
	if j.Reason.Code != stackjob.ReasonEngineMissing || len(j.Operations) != 0 || !strings.Contains(j.Reason.Detail, "pulumi-language-cobol, the host for programs of the runtime cobol; `reeve engine install pulumi` gets") {
		t.Errorf("%s after %+v", j.Reason, j.Operations)
	}
	which, err := w.app.Backend().Engine(t.Context(), w.key("acme/dev/PulumiStack/p"))
	if err != nil || which.Path != "" || which.Problem != got.Engines[0].Why {
		t.Errorf("%+v, %v", which, err)
	}
}

// plan plans the repository as it is on disk, beside the daemon.
func (w *world) plan() app.LocalPlan {
	w.t.Helper()
	exe, err := os.Executable()
	if err != nil {
		w.t.Fatal(err)
	}
	got, err := app.Plan(w.t.Context(), app.PlanOptions{Config: w.config(), Folder: w.repo, Repository: "config", Executable: []string{exe, "run-job"},
		Environ: os.Environ(), Log: slog.New(slog.NewTextHandler(w.log, nil)), Want: func(schema.ResourceKey) bool { return true }})
	if err != nil || got.Diagnostics.HasErrors() {
		w.t.Fatalf("%v\n%s", err, diag.Text(got.Diagnostics, diag.TextOptions{}))
	}
	return got
}

func TestALocalPlanUsesWhatWasInstalled(t *testing.T) {
	t.Parallel()
	w := newWorld(t, tooltest.OpenTofu(t))
	w.write("modules/counter/main.tf", counter, "acme/dev/a.yaml", w.stackDocument("a", "one"))
	w.putInstalled(w.engine)
	is := w.engine.String()
	w.engine.Path = "" // the configuration names none
	got := w.plan()
	if len(got.Resources) != 1 || got.Resources[0].Problem != nil || got.Resources[0].Job.Plan.Engine != is {
		t.Errorf("%+v", got.Resources)
	}
}

func TestTheDoctorSaysWhichStacksGetNoEngine(t *testing.T) {
	t.Parallel()
	e := tooltest.OpenTofu(t)
	w := newWorld(t, e)
	pulumi := program.InstalledPath(filepath.Join(w.root, "data", "engines"), schema.Pulumi, "3.230.0")
	programtest.Write(t, pulumi, "3.230.0")
	var doing []string
	doctor := func() map[string]app.Check {
		out := map[string]app.Check{}
		for _, c := range app.Doctor(t.Context(), w.config(), []string{"HOME=" + w.root, "PATH="}, "", func(what string) { doing = append(doing, what) }) {
			name := c.Name
			for i := 2; out[name].Name != ""; i++ {
				name = fmt.Sprintf("%s %d", c.Name, i)
			}
			out[name] = c
		}
		return out
	}
	program := "apiVersion: stackreeve.dev/v1\nkind: PulumiStack\nmetadata: {name: %s}\nspec: {program: /modules/%s}\n"
	w.write("modules/counter/main.tf", counter, "acme/dev/a.yaml", w.stackDocument("a", "one"), "acme/dev/b.yaml", w.stackDocument("b", "one"),
		"acme/dev/c.yaml", with(w.stackDocument("c", "one"), "engineVersion: '> 1.98'"),
		"acme/dev/d.yaml", with(w.stackDocument("d", "one"), "provisioner: terraform"),
		"modules/yaml/Pulumi.yaml", "name: x\nruntime: yaml\n", "acme/dev/p.yaml", fmt.Sprintf(program, "p", "yaml"),
		"modules/cobol/Pulumi.yaml", "name: x\nruntime: cobol\n", "acme/dev/q.yaml", fmt.Sprintf(program, "q", "cobol"))
	w.commit("all")

	got := doctor()
	if c := got["engine pulumi"]; c.Health != app.Unwell || !strings.Contains(c.Detail, "no language host") || !strings.Contains(c.Fix, "reeve engine install pulumi") {
		t.Errorf("Pulumi without a host: %+v", c)
	}
	if diff := cmp.Diff([]string{"asking " + e.Path + " for its version, as tofu", "asking " + pulumi + " for its version, as pulumi",
		"looking for the daemon", "reading the repository config"}, doing); diff != "" {
		t.Errorf("said of what takes long (-want +got):\n%s", diff)
	}
	programtest.Write(t, filepath.Join(filepath.Dir(pulumi), "pulumi-language-yaml"), "3.230.0")
	got = doctor()
	if c := got["engine pulumi"]; c.Health != app.Well || c.Detail != "3.230.0 ("+pulumi+"); languages: yaml" {
		t.Errorf("Pulumi: %+v", c)
	}
	if c := got["engines of config"]; c.Health != app.Well || c.Detail != "pulumi 3.230.0 for 1 stack, "+e.String()+" for 2 stacks" {
		t.Errorf("%+v", c)
	}
	var missing []string
	for i := 2; got[fmt.Sprintf("engines of config %d", i)].Name != ""; i++ {
		c := got[fmt.Sprintf("engines of config %d", i)]
		if c.Health != app.Missing {
			t.Errorf("%+v", c)
		}
		missing = append(missing, c.Detail+" ! "+c.Fix)
	}
	for _, part := range []string{
		"acme/dev/PulumiStack/q: pulumi-language-cobol, the host for programs of the runtime cobol", "if cobol is a mistake, correct runtime in Pulumi.yaml",
		"acme/dev/TerraformStack/c: no tofu satisfies `> 1.98` (acme/dev/c.yaml:", "! `reeve engine install 'tofu@> 1.98'` gets it",
		"acme/dev/TerraformStack/d: terraform is not installed; there is only " + e.String(), "! `reeve engine install terraform` gets it",
	} {
		if !strings.Contains(strings.Join(missing, "\n"), part) {
			t.Errorf("%q is not in:\n%s", part, strings.Join(missing, "\n"))
		}
	}
	if len(missing) != 3 {
		t.Errorf("%q", missing)
	}
}

// TestAComponentThatNamesPulumiMovesNoStackByItself has the catalogue name another engine for
// a kind whose stacks are there: each of them would be made a second time.
func TestAComponentThatNamesPulumiMovesNoStackByItself(t *testing.T) {
	t.Parallel()
	const net = "acme/dev/Net/net"
	component := func(provisioner string) string {
		return "apiVersion: stackreeve.dev/v1\nkind: DeploymentComponent\nmetadata: {name: net}\nspec:\n  apiVersion: example.dev/v1\n  kind: Net\n  provisioner: " + provisioner +
			"\n  modules: {tofu: /modules/net, pulumi: /modules/pu}\n"
	}
	files := func(w *world) map[string]string {
		w.engine = tooltest.OpenTofu(t)
		return map[string]string{
			"modules/net/main.tf":    "variable \"metadata\" {}\nvariable \"spec\" {}\nresource \"terraform_data\" \"this\" { input = var.metadata.name }\n",
			"modules/pu/Pulumi.yaml": "name: pu\nruntime: yaml\n",
			"acme/net.yaml":          component("tofu"),
			"acme/dev/net.yaml":      "apiVersion: example.dev/v1\nkind: Net\nmetadata: {name: net}\nspec: {}\n",
		}
	}
	onOneForgeWith(t, files, func(t *testing.T, w *pullWorld) {
		w.start()
		w.settle(net)
		if j := w.served.await(net, stackjob.Succeeded); j.Plan.Engine != w.engine.String() {
			t.Errorf("it was made with %s", j.Plan.Engine)
		}
		n, head := w.proposes("Pulumi for all", map[string]string{"acme/net.yaml": component("pulumi")})
		w.shows(n, net, "its engine would change", "tofu → pulumi", "no state can be moved between them", "imported-from-tofu")
		w.status(head, "reeve/plan", forge.Failure)
		if plans := w.plans(); len(plans) != 0 {
			t.Errorf("plans were made: %v", plans)
		}
		w.once(n)
	})
}
