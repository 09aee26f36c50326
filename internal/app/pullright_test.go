package app_test

import (
	"fmt"
	"testing"

	"github.com/stackreeve/stackreeve/gitsource/forge"
	"github.com/stackreeve/stackreeve/gitsource/forge/forgetest"
)

// account is an IdentityAccount with one login, the same on every forge.
func account(p forgetest.Person, rest string) string {
	return fmt.Sprintf("apiVersion: stackreeve.dev/v1\nkind: IdentityAccount\nmetadata: {name: %s}\nspec:\n  logins: [\"gitea:%s\", \"github:%s\", \"gitlab:%s\"]\n%s", p, p, p, p, rest)
}

func TestWhomThePolicyNamesMayApproveWithoutARightOnTheForge(t *testing.T) {
	t.Parallel()
	files := early("", "  approvals: {required: 1, from: [team/auditors]}\n  override: {from: [team/auditors]}\n")
	team := "apiVersion: stackreeve.dev/v1\nkind: Team\nmetadata: {name: auditors}\nspec: {members: [%s]}\n"
	files["acme/teams/crew.yaml"] = account(forgetest.Mallory, "") + "---\n" + account(forgetest.Grace, "") + "---\n" + fmt.Sprintf(team, "mallory")
	onForges(t, files, func(t *testing.T, w *pullWorld) {
		w.start()
		head := w.site.Push(t, forgetest.Ada, "change", map[string]string{
			"acme/dev/a.yaml": w.document("a", "one"),
			// That the head wants Grace among them is for after the merge.
			"acme/teams/crew.yaml": account(forgetest.Mallory, "") + "---\n" + account(forgetest.Grace, "") + "---\n" + fmt.Sprintf(team, "mallory, grace")}, false)
		n := w.site.Open(t, forgetest.Ada, "change", "Add one", false)
		w.tell(n, head)
		w.sees(n, "reeve approve dev", "0/1", "team/auditors")

		// Who may only read, and is named, says yes and no and goes past; nothing else.
		for _, verb := range []string{"plan", "apply dev", "unlock", "cancel --all", "rerun --all"} {
			w.reacts(n, w.says(forgetest.Mallory, n, "reeve "+verb), forge.Confused)
		}
		w.sees(n, "`reeve apply` needs the right to write to it")
		w.reacts(n, w.says(forgetest.Grace, n, "reeve approve dev"), forge.Confused)
		w.sees(n, "grace is not among them")
		w.status(head, "reeve/approval", forge.Pending)
		w.reacts(n, w.says(forgetest.Mallory, n, "reeve approve dev"), forge.ThumbsUp)
		w.status(head, "reeve/approval", forge.Success)
		w.sees(n, "1/1", "mallory")
		w.reacts(n, w.says(forgetest.Mallory, n, "reeve reject dev"), forge.ThumbsUp)
		w.sees(n, "rejected")
		w.reacts(n, w.says(forgetest.Ada, n, "reeve apply dev"), forge.ThumbsDown)
		w.reacts(n, w.says(forgetest.Mallory, n, "reeve approve dev"), forge.ThumbsUp)
		w.reacts(n, w.says(forgetest.Ada, n, "reeve apply dev"), forge.ThumbsUp)
		if got := w.lines("a"); got != "one" {
			t.Errorf("applied: %s", got)
		}
		w.once(n)
	})
}
