package pullrequest

import (
	"testing"

	"github.com/stackreeve/stackreeve/gitsource/forge"
)

func TestWhereAPullRequestIsFrom(t *testing.T) {
	t.Parallel()
	pr := func(url, id string) string {
		return originOf(forge.PullRequest{URL: url, RepositoryID: id}, "Acme/Infra")
	}
	first := pr("https://git.example.com/acme/infra/pulls/7", "12")
	for name, c := range map[string]struct {
		origin string
		same   bool
	}{
		"another pull request":      {pr("https://git.example.com/acme/infra/pulls/8", "12"), true},
		"renamed":                   {pr("https://GIT.example.com/acme/config/pulls/7", "12"), true},
		"another one of that name":  {pr("https://git.example.com/acme/infra/pulls/7", "13"), false},
		"the number on another one": {pr("https://git.example.org/acme/infra/pulls/7", "12"), false},
		"without an id":             {pr("https://git.example.com/acme/infra/pulls/7", ""), false},
	} {
		if (c.origin == first) != c.same {
			t.Errorf("%s: %s and %s", name, c.origin, first)
		}
	}
	if got := pr("https://git.example.com/acme/infra/pulls/7", ""); got != "git.example.com/acme/infra" {
		t.Errorf("without an id: %s", got)
	}
}
