package app_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stackreeve/stackreeve/gitsource/forge"
	"github.com/stackreeve/stackreeve/internal/app"
	"github.com/stackreeve/stackreeve/schema/schematest"
)

func TestTheLoginsOfDocumentsAreToldWithTheirNumbers(t *testing.T) {
	t.Parallel()
	connected(t, func(t *testing.T, c *connection) {
		kind := string(c.site.World().Kind())
		number := func(login string) string {
			is, err := c.site.Repository(t).(forge.Accounts).Account(t.Context(), login)
			if err != nil {
				t.Fatal(err)
			}
			return is.ID
		}
		tree := schematest.LoadAny(t, map[string]string{
			"acme/teams/crew.yaml": fmt.Sprintf("apiVersion: stackreeve.dev/v1\nkind: IdentityAccount\nmetadata: {name: ada}\nspec: {logins: ['%[1]s:ada'], tokenName: ada}\n---\n"+
				"apiVersion: stackreeve.dev/v1\nkind: Team\nmetadata: {name: crew}\nspec: {members: [ada, '%[1]s:Grace', '%[1]s:mallory#987654321', '%[1]s:nobody-of-that-name', '%[1]s:nobody-any-more#5']}\n", kind),
			"globex/teams/crew.yaml": fmt.Sprintf("apiVersion: stackreeve.dev/v1\nkind: Team\nmetadata: {name: crew}\nspec: {members: ['%s:ada#%s']}\n", kind, number("ada"))})
		got, err := app.Logins(t.Context(), app.LoginsOptions{Config: c.options().Config, Tree: tree})
		if err != nil {
			t.Fatal(err)
		}
		want := []app.LoginCheck{
			{Org: "acme", Login: kind + ":ada", Write: kind + ":ada#" + number("ada"), By: []string{"IdentityAccount ada"}, Health: app.Unwell, Detail: "counts by its name, whoever has it"},
			{Org: "acme", Login: kind + ":Grace", Write: kind + ":grace#" + number("grace"), By: []string{"Team crew"}, Health: app.Unwell, Detail: "counts by its name, whoever has it"},
			{Org: "acme", Login: kind + ":mallory#987654321", By: []string{"Team crew"}, Health: app.Unwell,
				Detail: "the login is another account now (mallory#" + number("mallory") + "), which does not count; the one that is written counts by its number, if it is there"},
			{Org: "acme", Login: kind + ":nobody-any-more#5", By: []string{"Team crew"}, Health: app.Unwell, Detail: "nobody has this login any more; the account counts by its number, if it is there"},
			{Org: "acme", Login: kind + ":nobody-of-that-name", By: []string{"Team crew"}, Health: app.Missing, Detail: "nobody has this login: who gets it may approve"},
			{Org: "globex", Login: kind + ":ada#" + number("ada"), Write: kind + ":ada#" + number("ada"), By: []string{"Team crew"}, Health: app.Well, Detail: "this account and no other"},
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		c.configure("", "not-the-token")
		if _, err := app.Logins(t.Context(), app.LoginsOptions{Config: c.options().Config, Tree: tree}); err == nil {
			t.Error("with a token that does not fit it told something")
		}
	})
}
