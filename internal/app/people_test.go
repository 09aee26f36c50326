package app_test

import (
	"context"
	"strings"
	"sync"
	"testing"

	"github.com/stackreeve/stackreeve/internal/api"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
)

// ops is a team of three in the organization; one line per person, so that one can leave.
func ops(members string) string {
	person := func(name, spec string) string {
		return "---\napiVersion: stackreeve.dev/v1\nkind: IdentityAccount\nmetadata: {name: " + name + "}\nspec: " + spec + "\n"
	}
	return "apiVersion: stackreeve.dev/v1\nkind: Team\nmetadata: {name: ops}\nspec: {members: [" + members + "]}\n" +
		person("ada", "{logins: [github:ada], operatingSystemUser: ada}") +
		person("grace", "{operatingSystemUser: graceh, tokenName: grace-cli}") +
		person("hank", "{tokenName: hank}")
}

// approveAs approves what waits, and returns the job as whoever did so sees it.
func (w *world) approveAs(via, name string) stackjob.Job {
	w.t.Helper()
	j := w.await(devA, stackjob.WaitingApply)
	j, err := w.app.Backend().Approve(context.Background(), api.Answer{Job: j.ID, Actor: stackjob.Actor{Name: name, Via: via}, PlanDigest: j.Plan.Digest})
	if err != nil {
		w.t.Fatal(err)
	}
	return j
}

// waitsBecause waits until the job of devA waits for an approval with this in its reason.
func (w *world) waitsBecause(text string) {
	w.t.Helper()
	w.until("it waits because "+text, func() bool {
		j := w.newest(devA)
		return j.State == stackjob.WaitingApply && strings.Contains(j.Reason.Detail, text)
	})
	if n := w.effects("a"); n != 1 {
		w.t.Fatalf("it waits, and had %d side effects", n)
	}
}

func TestAPlanWaitsForTwoPersonsOfATeam(t *testing.T) {
	t.Parallel()
	w := onOneEngine(t)
	w.begin("a")
	w.write("acme/teams/ops.yaml", ops("ada, grace, hank"), "acme/policies/only.yaml", policy("", "  approvals: {required: 2, from: [team/ops]}\n"),
		"acme/dev/a.yaml", w.stackDocument("a", "two"))
	w.commit("plans want two")
	w.waitsBecause("0 of 2 approvals; needs 2 from team/ops")
	first := w.newest(devA)

	if j := w.approveAs("token", "mallory"); j.State != stackjob.WaitingApply || !strings.Contains(j.Reason.Detail, "mallory (token) does not count") {
		t.Errorf("who does not count is told that the job is %s (%s)", j.State, j.Reason)
	}
	w.waitsBecause("0 of 2 approvals; needs 2 from team/ops; mallory (token) does not count: not among team/ops")
	w.approveAs("token", "grace-cli")
	w.waitsBecause("1 of 2 approvals (grace); needs one more from team/ops")
	w.approveAs("socket", "graceh") // the same person, by another door
	w.until("the second approval of one person is recorded", func() bool { return len(w.job(first.ID).Approvals) == 3 })
	w.waitsBecause("1 of 2 approvals (grace); needs one more from team/ops")
	lines := strings.Join(w.stack(devA).Lines, "\n")
	for _, want := range []string{"plan needs 2 approvals", "It wants 2 approvals from team/ops (ada, grace, hank)", "1 of 2 approvals (grace)"} {
		if !strings.Contains(lines, want) {
			t.Errorf("%q is not explained in:\n%s", want, lines)
		}
	}

	// Who leaves the team no longer counts, and counts again when back: nobody has to
	// approve anew, and nothing else needs to happen.
	w.write("acme/teams/ops.yaml", ops("ada, hank"))
	w.commit("Grace leaves")
	w.waitsBecause("0 of 2 approvals; needs 2 from team/ops; mallory (token) does not count: not among team/ops; grace-cli (token) does not count: not among team/ops")
	w.write("acme/teams/ops.yaml", ops("grace, ada, hank"))
	w.commit("Grace is back")
	w.waitsBecause("1 of 2 approvals (grace); needs one more from team/ops")

	w.approveAs("socket", "ada")
	j := w.await(devA, stackjob.Succeeded)
	if j.ID != first.ID || j.Plan.Digest != first.Plan.Digest || w.effects("a") != 2 {
		t.Errorf("job %s instead of %s, %d side effects", j.ID, first.ID, w.effects("a"))
	}

	// The policy as the API tells it.
	policies, err := w.app.Backend().Policies(context.Background(), api.Filter{})
	if err != nil || len(policies) != 1 || policies[0].Approvals == nil || policies[0].Approvals.Required != 2 {
		t.Errorf("policies %+v, %v", policies, err)
	}
}

// TestTwoPersonsWhoApproveAtOnceAreBothHeard lets both say yes in the same moment, many
// times: neither yes is lost, and no plan is left waiting that has both.
func TestTwoPersonsWhoApproveAtOnceAreBothHeard(t *testing.T) {
	t.Parallel()
	w := onOneEngine(t)
	w.begin()
	w.write("acme/teams/ops.yaml", ops("ada, grace, hank"), "acme/policies/only.yaml", policy("", "  approvals: {required: 2, from: [team/ops]}\n"))
	keys := []string{"a", "b", "c", "d", "e", "f"}
	for _, n := range keys {
		w.write("acme/dev/"+n+".yaml", w.stackDocument(n, "one"))
	}
	w.commit("six plans")
	var all sync.WaitGroup
	for _, n := range keys {
		j := w.await("acme/dev/TerraformStack/"+n, stackjob.WaitingApply)
		for _, who := range []stackjob.Actor{{Name: "hank", Via: "token"}, {Name: "ada", Via: "socket"}} {
			all.Go(func() {
				if _, err := w.app.Backend().Approve(context.Background(), api.Answer{Job: j.ID, Actor: who, PlanDigest: j.Plan.Digest}); err != nil {
					t.Errorf("%s for %s: %v", who.Name, n, err)
				}
			})
		}
	}
	all.Wait()
	for _, n := range keys {
		if j := w.await("acme/dev/TerraformStack/"+n, stackjob.Succeeded); len(j.Approvals) != 2 || w.effects(n) != 1 {
			t.Errorf("%s has %d approvals and %d side effects", n, len(j.Approvals), w.effects(n))
		}
	}
}

func TestAStartWaitsForThePersonsOfThePolicy(t *testing.T) {
	t.Parallel()
	w := onOneEngine(t)
	w.begin()
	w.write("acme/teams/ops.yaml", ops("hank"), "acme/policies/only.yaml", policy("isManual: true", "  approvals: {required: 0, from: [team/ops]}\n"),
		"acme/dev/a.yaml", w.stackDocument("a", "one"))
	w.commit("a")
	j := w.await(devA, stackjob.WaitingStart)
	w.approve(j) // Ada is not in the team
	w.until("it waits for its start again, and says why", func() bool {
		j := w.newest(devA)
		return j.State == stackjob.WaitingStart && strings.Contains(j.Reason.Detail, "ada (socket) does not count: not among team/ops")
	})
	if j := w.job(j.ID); len(j.Operations) != 0 || w.effects("a") != 0 {
		t.Errorf("something ran: %+v", j.Operations)
	}
	if _, err := w.app.Backend().Approve(context.Background(), api.Answer{Job: j.ID, Actor: stackjob.Actor{Name: "hank", Via: "token"}}); err != nil {
		t.Fatal(err)
	}
	if j := w.await(devA, stackjob.Succeeded); w.effects("a") != 1 {
		t.Errorf("%s, %d side effects", j.State, w.effects("a"))
	}
}
