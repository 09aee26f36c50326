package app_test

import (
	"fmt"
	"testing"

	"github.com/stackreeve/stackreeve/gitsource/forge"
	"github.com/stackreeve/stackreeve/gitsource/forge/forgetest"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
)

// number is what the forge numbers a person's account with.
func (w *pullWorld) number(p forgetest.Person) string {
	w.t.Helper()
	is, err := w.site.Repository(w.t).(forge.Accounts).Account(w.t.Context(), string(p))
	if err != nil {
		w.t.Fatal(err)
	}
	return is.ID
}

// auditors is a team of one login with the number of its account.
func (w *pullWorld) auditors(login, number string) string {
	return fmt.Sprintf("apiVersion: stackreeve.dev/v1\nkind: Team\nmetadata: {name: auditors}\nspec: {members: [\"%s:%s#%s\"]}\n", w.site.World().Kind(), login, number)
}

func TestALoginWithANumberIsThatAccountAndNoOther(t *testing.T) {
	t.Parallel()
	files := early("", "  approvals: {required: 1, from: [team/auditors]}\n")
	files["acme/teams/crew.yaml"] = account(forgetest.Grace, "")
	files["acme/teams/auditors.yaml"] = "apiVersion: stackreeve.dev/v1\nkind: Team\nmetadata: {name: auditors}\nspec: {members: [grace]}\n"
	onForges(t, files, func(t *testing.T, w *pullWorld) {
		// The account that had Grace's name when the number was written is another one.
		w.site.Push(t, forgetest.Ada, "main", map[string]string{"acme/teams/auditors.yaml": w.auditors("grace", "987654321")}, false)
		w.start()
		n, head := w.proposes("Add one", map[string]string{"acme/dev/a.yaml": w.document("a", "one")})
		w.sees(n, "reeve approve dev", "0/1")
		w.reacts(n, w.says(forgetest.Grace, n, "reeve approve dev"), forge.Confused)
		w.sees(n, "the login grace is another account (`#"+w.number(forgetest.Grace)+"`) than the one that IdentityAccount grace names", "grace#987654321")
		w.status(head, "reeve/approval", forge.Pending)

		// Under whatever name it was written, the number is the account.
		base := w.site.Push(t, forgetest.Ada, "main", map[string]string{"acme/teams/crew.yaml": "", "acme/teams/auditors.yaml": w.auditors("formerly", w.number(forgetest.Grace))}, false)
		w.compares(base)
		w.sees(n, "reeve approve dev", "0/1")
		w.reacts(n, w.says(forgetest.Grace, n, "reeve approve dev"), forge.ThumbsUp)
		w.status(head, "reeve/approval", forge.Success)
		w.site.Merge(t, forgetest.Ada, n)
		w.served.until("it is applied", func() bool { return w.lines("a") == "one" })
		for _, j := range w.served.jobs(devA) {
			for _, a := range j.Approvals {
				if want := (stackjob.Actor{Name: "grace", Via: string(w.site.World().Kind()), ID: w.number(forgetest.Grace)}); a.Actor != want {
					t.Errorf("approved by %+v, want %+v", a.Actor, want)
				}
			}
		}
		w.rests()
	})
}
