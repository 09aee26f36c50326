package app

import (
	"errors"
	"testing"

	"github.com/stackreeve/stackreeve/internal/config"
)

func TestAPullRequestIsFoundByItsPageOnEveryKindOfForge(t *testing.T) {
	t.Parallel()
	all := []config.Repository{
		{Name: "hub", URL: "git@github.com:acme/infra.git", Forge: config.Forge{Kind: config.GitHub, URL: "https://github.com", Repository: "acme/infra"}},
		{Name: "enterprise", URL: "https://ghe.example.com/acme/infra.git", Forge: config.Forge{Kind: config.GitHub, URL: "https://ghe.example.com/api/v3", Repository: "acme/infra"}},
		{Name: "lab", URL: "https://git.example.com/gitlab/acme/deep/infra.git", Forge: config.Forge{Kind: config.GitLab, URL: "https://git.example.com/gitlab", Repository: "acme/deep/infra"}},
		{Name: "tea", URL: "https://tea.example.com/acme/infra.git", Forge: config.Forge{Kind: config.Gitea, URL: "http://10.0.0.7:3000", Repository: "acme/infra"}},
		{Name: "plain", URL: "https://git.example.com/acme/plain.git"},
	}
	for text, want := range map[string]struct {
		name   string
		number int
	}{
		"https://github.com/acme/infra/pull/7":                                        {"hub", 7},
		"https://GitHub.com/Acme/Infra/pull/7/files#r1":                               {"hub", 7},
		"https://ghe.example.com/acme/infra/pull/12":                                  {"enterprise", 12},
		"https://git.example.com/gitlab/acme/deep/infra/-/merge_requests/3":           {"lab", 3},
		"https://git.example.com/gitlab/acme/deep/infra/-/merge_requests/3/diffs?a=b": {"lab", 3},
		"https://tea.example.com/acme/infra/pulls/4/commits":                          {"tea", 4},
		"http://10.0.0.7:3000/acme/infra/pulls/4":                                     {"tea", 4},
		"https://github.com/acme/infra2/pull/7":                                       {},
		"https://github.com/x/acme/infra/pull/7":                                      {},
		"https://github.com/acme/infra/issues/7":                                      {},
		"https://github.com/acme/infra/pull/99999999999999999999":                     {},
		"https://git.example.com/acme/plain/pulls/1":                                  {},
		"7": {}, // of which?
		"0": {}, "-1": {}, "": {}, "pull/7": {},
	} {
		r, n, err := findPull(all, "", text)
		if r.Name != want.name || n != want.number || (want.name == "") != errors.Is(err, ErrCannotFind) {
			t.Errorf("%s: %s#%d, %v; expected %+v", text, r.Name, n, err, want)
		}
	}
	for _, text := range []string{"7", "#7", "!7"} {
		if r, n, err := findPull(all, "lab", text); err != nil || r.Name != "lab" || n != 7 {
			t.Errorf("%s: %s#%d, %v", text, r.Name, n, err)
		}
	}
	for _, name := range []string{"plain", "nowhere"} {
		if _, _, err := findPull(all, name, "7"); !errors.Is(err, ErrCannotFind) {
			t.Errorf("in %s: %v", name, err)
		}
	}
}
