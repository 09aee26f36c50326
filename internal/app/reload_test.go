package app_test

import (
	"context"
	"os"
	"strings"
	"testing"

	"github.com/stackreeve/stackreeve/internal/api"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
)

// told waits until the daemon's log has a text n times.
func (s *served) told(text string, n int) {
	s.w.t.Helper()
	s.until("the log says "+text, func() bool { return strings.Count(s.w.log.String(), text) >= n })
}

const inForce, notInForce = "the changed configuration is in force", "the changed configuration was refused; the old one stays in force"

func TestAReloadLosesNoJobAndABadOneChangesNothing(t *testing.T) {
	t.Parallel()
	w := onOneEngine(t)
	w.write("modules/slow/main.tf", slow, "modules/counter/main.tf", counter, "acme/policies/at-once.yaml", atOnce, "acme/dev/a.yaml", w.slowStack())
	w.commit("slow")
	s := w.serve(settings{})
	s.until("the side effect began", func() bool { return w.effects("a") == 1 })
	running := s.jobs(devA)[0].ID

	s.writeFile("dataDir: [\n")
	s.told(notInForce, 1)
	s.writeSettings(settings{Rest: "brake: {count: many}\n"})
	s.told(notInForce, 2)
	s.writeSettings(settings{Rest: "tokens:\n  - {name: bot, valueFrom: {file: /does/not/exist}}\n"})
	s.told(notInForce, 3)
	if strings.Contains(w.log.String(), inForce) {
		t.Error("a bad configuration was put in force")
	}

	// The repository's settings change, and limits; what needs a restart says so.
	s.writeSettings(settings{Repositories: strings.ReplaceAll(w.repository("config", w.repo), "1h", "30m"),
		Jobs: "  parallel: 7\n  timeouts: {apply: 1h}\n", Rest: "brake: {count: 3}\nlog: {level: warn}\n"})
	s.told(inForce, 1)
	if log := w.log.String(); !strings.Contains(log, "jobs.parallel") || !strings.Contains(log, "log.level") {
		t.Error("the log does not say what needs a restart")
	}
	if s.compare("config"); len(s.jobs(devA)) != 1 {
		t.Errorf("%d jobs", len(s.jobs(devA)))
	}
	w.letGo()
	if j := s.await(devA, stackjob.Succeeded); j.ID != running || j.Attempt != 1 || w.effects("a") != 1 {
		t.Errorf("job %s instead of %s, %d attempts, %d side effects", j.ID, running, j.Attempt, w.effects("a"))
	}
	w.write("acme/dev/b.yaml", w.stackDocument("b", "one"))
	w.commit("another one")
	s.compare("config")
	s.await(devB, stackjob.Succeeded)
}

func TestARepositoryThatIsRemovedFromTheConfigurationLosesNothing(t *testing.T) {
	t.Parallel()
	w, other := onOneEngine(t), onOneEngine(t)
	w.write("modules/counter/main.tf", counter, "acme/policies/pause.yaml", pause, "acme/dev/a.yaml", w.stackDocument("a", "one"))
	w.commit("one")
	other.write("modules/counter/main.tf", counter, "omega/policies/at-once.yaml", strings.ReplaceAll(atOnce, "id: acme", "id: omega"),
		"omega/dev/c.yaml", w.stackDocument("c", "one"))
	other.commit("of another organization")
	const omegaC = "omega/dev/TerraformStack/c"
	both := settings{Repositories: w.repository("config", w.repo) + w.repository("other", other.repo)}
	s := w.serve(settings{})
	waiting := s.await(devA, stackjob.WaitingApply)

	s.writeSettings(both)
	s.told(inForce, 1)
	s.await(omegaC, stackjob.Succeeded)

	s.writeSettings(settings{})
	s.told(inForce, 2)
	if list, err := s.Repositories(context.Background()); err != nil || len(list) != 1 || list[0].Name != "config" {
		t.Fatalf("followed are %+v, %v", list, err)
	}
	s.compare("config")
	list, err := s.Resources(context.Background(), api.Filter{Org: "omega"})
	if err != nil || len(list) != 1 || list[0].Status != "applied" || len(s.jobs(omegaC)) != 1 {
		t.Errorf("of the one that is not followed is told %+v, %v, with %d jobs", list, err, len(s.jobs(omegaC)))
	}

	// Back again: nothing has changed. Then the first one goes, while its plan waits.
	s.writeSettings(both)
	s.told(inForce, 3)
	s.compare("other")
	if n := len(s.jobs(omegaC)); n != 1 {
		t.Errorf("%d jobs after it is followed again", n)
	}
	s.writeSettings(settings{Repositories: w.repository("other", other.repo)})
	s.told(inForce, 4)
	s.compare("other")
	if j := s.jobs(devA)[0]; j.ID != waiting.ID || j.State != stackjob.WaitingApply {
		t.Errorf("the job that waits is %s (%s)", j.State, j.Reason)
	}
	s.writeSettings(both)
	s.told(inForce, 5)
	s.compare("config")
	if _, err := s.Approve(context.Background(), api.Answer{Job: waiting.ID, PlanDigest: waiting.Plan.Digest}); err != nil {
		t.Fatal(err)
	}
	if j := s.await(devA, stackjob.Succeeded); j.ID != waiting.ID || w.effects("a") != 1 {
		t.Errorf("job %s instead of %s, %d side effects", j.ID, waiting.ID, w.effects("a"))
	}
}

func TestAShorterExpiryHoldsForWhatWaitsAlready(t *testing.T) {
	t.Parallel()
	w := onOneEngine(t)
	w.write("modules/counter/main.tf", counter, "acme/policies/pause.yaml", pause, "acme/dev/a.yaml", w.stackDocument("a", "one"))
	w.commit("one")
	s := w.serve(settings{})
	s.await(devA, stackjob.WaitingApply)
	s.writeSettings(settings{Jobs: "  approvalExpiry: 1s\n"})
	s.await(devA, stackjob.Expired)
}

func TestARefusedRepositoryChangesNoOther(t *testing.T) {
	t.Parallel()
	w, other := onOneEngine(t), onOneEngine(t)
	w.write("modules/counter/main.tf", counter)
	w.commit("one")
	other.write("modules/counter/main.tf", counter)
	other.commit("one")
	s := w.serve(settings{})
	if err := os.Mkdir(w.root+"/gone", 0o755); err != nil {
		t.Fatal(err)
	}
	s.writeSettings(settings{Repositories: w.repository("other", other.repo) + w.repository("gone", w.root+"/gone/away")})
	s.told(notInForce, 1)
	if list, err := s.Repositories(context.Background()); err != nil || len(list) != 1 || list[0].Name != "config" {
		t.Errorf("followed are %+v, %v", list, err)
	}
}

// compare has the daemon poll a repository and returns when it has compared.
func (s *served) compare(repository string) {
	s.w.t.Helper()
	if _, err := s.Poll(context.Background(), repository, stackjob.Actor{}); err != nil {
		s.w.t.Fatal(err)
	}
}
