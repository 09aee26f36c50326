package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stackreeve/stackreeve/schema/diag"
)

// forgeText is a repository with a forge that has these settings.
func forgeText(url, forge string) string {
	return "repositories:\n- name: infra\n  url: " + url + "\n  forge: " + forge + "\n"
}

func TestEveryFindingAboutAForgeNamesThePlaceAndTheWayOut(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, text := range map[string]string{"token": "token-canary-0123456789", "short": "canary", "empty": "\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const here = "https://git.example.com/acme/infra.git"
	const ok = "kind: gitea, token: {env: TOKEN}"
	for name, c := range map[string]struct {
		url, forge string
		want       []string
	}{
		"all well":       {here, "{kind: gitea, token: {env: TOKEN}, webhookSecret: {env: TOKEN}}", nil},
		"a known host":   {"git@github.com:acme/infra.git", "{token: {env: TOKEN}}", nil},
		"an app":         {"https://github.com/acme/infra", "{app: {id: '7', privateKey: {env: TOKEN}}}", nil},
		"no previous":    {here, fmt.Sprintf("{%s, webhookSecret: {env: TOKEN}, previousWebhookSecret: {file: %q}}", ok, filepath.Join(dir, "none")), nil},
		"unknown field":  {here, "{" + ok + ", webhokSecret: {env: TOKEN}}", []string{`reeve.yaml:4:45: error: [unknown-field] | "webhokSecret" | one of: kind, url, repository, token, app, webhookSecret, previousWebhookSecret, pollInterval | did you mean "webhookSecret"?`}},
		"unknown kind":   {here, "{kind: gitee, token: {env: TOKEN}}", []string{`reeve.yaml:4:17: error: [invalid-value] | repositories[0].forge.kind | "gitee" | one of: github, gitlab, gitea | did you mean "gitea"?`}},
		"no kind":        {here, "{token: {env: TOKEN}}", []string{`reeve.yaml:4:10: error: [missing-field] | kind | "github", "gitlab" or "gitea", as the host does not tell`}},
		"no host":        {"file:///srv/git/infra.git", "{" + ok + "}", []string{`reeve.yaml:4:10: error: [missing-field] | repository | owner/name`, `reeve.yaml:4:10: error: [missing-field] | url | the address of the forge, such as https://git.example.com`}},
		"no address":     {here, "{" + ok + ", url: git.example.com}", []string{`reeve.yaml:4:50: error: [invalid-value] | repositories[0].forge.url: it is not the address of a forge | https://HOST, with a path when the forge is below one`}},
		"a password":     {here, "{" + ok + ", url: 'https://ada:pw-canary@git.example.com'}", []string{`reeve.yaml:4:50: error: [invalid-value] | repositories[0].forge.url: it holds a user name or password | an address without them; the account is told by token or app`}},
		"no owner":       {here, "{" + ok + ", repository: infra}", []string{`reeve.yaml:4:57: error: [invalid-value] | repositories[0].forge.repository: "infra" | owner/name, or a GitLab project's whole path`}},
		"no token":       {here, "{kind: gitea}", []string{`reeve.yaml:4:10: error: [missing-field] | token | token: {env: NAME} or token: {file: PATH}`}},
		"two identities": {here, "{kind: github, token: {env: TOKEN}, app: {id: '7'}}", []string{`reeve.yaml:4:10: error: [invalid-value] | repositories[0].forge: both a token and an app are given | one of them`}},
		"two places":     {here, "{kind: gitea, token: {env: TOKEN, file: x}}", []string{`reeve.yaml:4:31: error: [invalid-value] | repositories[0].forge.token: both env and file are set | one of them`}},
		"token unset":    {here, "{kind: gitea, token: {env: NONE}}", []string{`reeve.yaml:4:37: error: [invalid-value] | repositories[0].forge.token.env: the environment variable NONE is not set | a variable that is set where the daemon starts`}},
		"app elsewhere":  {here, "{kind: gitlab, app: {id: '7', privateKey: {env: TOKEN}}}", []string{`reeve.yaml:4:30: error: [invalid-value] | repositories[0].forge.app: only GitHub has Apps | a token`}},
		"half an app":    {here, "{kind: github, app: {id: '7'}}", []string{`reeve.yaml:4:30: error: [missing-field] | privateKey | privateKey: {file: PATH}`}},
		"app, no id":     {here, "{kind: github, app: {privateKey: {env: NONE}}}", []string{`reeve.yaml:4:30: error: [missing-field] | id | the App's id or client id`, `reeve.yaml:4:49: error: [invalid-value] | repositories[0].forge.app.privateKey.env: the environment variable NONE is not set | a variable that is set where the daemon starts`}},
		"short secrets": {here, fmt.Sprintf("{%s, webhookSecret: {env: SHORT}, previousWebhookSecret: {file: %q}}", ok, filepath.Join(dir, "short")), []string{
			"reeve.yaml:4:60: error: [invalid-value] | repositories[0].forge.webhookSecret: the secret is too short | at least 16 characters; `reeve forge connect` makes a good one",
			"reeve.yaml:4:97: error: [invalid-value] | repositories[0].forge.previousWebhookSecret: the secret is too short | at least 16 characters; `reeve forge connect` makes a good one"}},
		"no secret there": {here, fmt.Sprintf("{%s, webhookSecret: {file: %q}}", ok, filepath.Join(dir, "none")), []string{
			"reeve.yaml:4:67: error: [invalid-value] | repositories[0].forge.webhookSecret.file: the file " + filepath.Join(dir, "none") + " is not there | `reeve forge connect infra --url https://HOST` makes it, with HOST where the forge reaches the daemon; without webhookSecret the daemon polls alone"}},
		"only the previous": {here, "{" + ok + ", previousWebhookSecret: {env: TOKEN}}", []string{`reeve.yaml:4:10: error: [missing-field] | webhookSecret | the secret that is used now`}},
		"too often":         {here, "{" + ok + ", pollInterval: 10ms}", []string{`reeve.yaml:4:59: error: [invalid-value] | repositories[0].forge.pollInterval: 10ms | 1s or more`}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, list := load(t, forgeText(c.url, c.forge), "TOKEN=token-canary-0123456789", "SHORT=canary")
			if d := cmp.Diff(c.want, short(list)); d != "" {
				t.Errorf("findings (-want +got):\n%s", d)
			}
			if text := diag.Text(list, diag.TextOptions{}) + string(diag.JSON(list)); strings.Contains(strings.ReplaceAll(text, dir, ""), "token-canary") {
				t.Errorf("a secret is told:\n%s", text)
			}
		})
	}
	t.Run("a folder", func(t *testing.T) {
		t.Parallel()
		_, list := load(t, fmt.Sprintf("repositories:\n- path: %q\n  forge: {%s}\n", dir, ok), "TOKEN=token-canary-0123456789")
		want := []string{`reeve.yaml:3:10: error: [invalid-value] | repositories[0].forge: a local folder has no pull requests | a repository with a url`}
		if d := cmp.Diff(want, short(list)); d != "" {
			t.Errorf("findings (-want +got):\n%s", d)
		}
	})
}

func TestTheForgeFollowsFromTheRepositorysAddress(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]Forge{
		"https://github.com/acme/infra.git":             {Kind: GitHub, URL: "https://github.com", Repository: "acme/infra"},
		"git@github.com:acme/infra":                     {Kind: GitHub, URL: "https://github.com", Repository: "acme/infra"},
		"ssh://git@gitlab.com:2222/acme/deep/infra.git": {Kind: GitLab, URL: "https://gitlab.com", Repository: "acme/deep/infra"},
		"https://codeberg.org/acme/infra/":              {Kind: Gitea, URL: "https://codeberg.org", Repository: "acme/infra"},
		"http://127.0.0.1:3000/acme/infra.git":          {URL: "http://127.0.0.1:3000", Repository: "acme/infra"},
	} {
		c, _ := load(t, forgeText("'"+url+"'", "{token: {env: TOKEN}}"), "TOKEN=token-canary-0123456789")
		want.Token, want.PollInterval = SecretSource{Env: "TOKEN"}, Duration(60e9)
		if d := cmp.Diff(want, c.Repositories[0].Forge); d != "" {
			t.Errorf("%s (-want +got):\n%s", url, d)
		}
	}
	if c, list := load(t, "repositories: [{url: 'https://github.com/acme/infra'}]\n"); !c.Repositories[0].Forge.IsZero() || len(list) != 0 {
		t.Errorf("a forge that nobody named: %+v, %v", c.Repositories[0].Forge, short(list))
	}
}

func TestTwoWebhookSecretsAreLiveWhileOneIsReplaced(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	previous := filepath.Join(dir, "previous")
	f := Forge{WebhookSecret: SecretSource{Env: "NOW"}, PreviousWebhookSecret: SecretSource{File: previous}}
	read := func() (out []string) {
		list, err := f.WebhookSecrets([]string{"NOW=first"})
		if err != nil {
			return []string{err.Error()}
		}
		for _, s := range list {
			out = append(out, s.Reveal())
		}
		return out
	}
	if got := read(); !cmp.Equal(got, []string{"first"}) {
		t.Errorf("without a previous one: %q", got)
	}
	if err := os.WriteFile(previous, []byte("second\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := read(); !cmp.Equal(got, []string{"first", "second"}) {
		t.Errorf("with a previous one: %q", got)
	}
	f.WebhookSecret.Env = "NONE"
	if got := read(); len(got) != 1 || !strings.Contains(got[0], "NONE is not set") {
		t.Errorf("without the one of now: %q", got)
	}
}
