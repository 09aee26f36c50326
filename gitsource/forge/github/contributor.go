package github

import (
	"context"
	"slices"

	"github.com/google/go-github/v60/github"

	"github.com/stackreeve/stackreeve/gitsource/forge"
)

// webFlow is the account that commits what is written in GitHub's own pages.
const webFlow = "web-flow"

// Contributors are the accounts that have the addresses of authors and committers. GitHub
// lists the first 250 commits of a pull request.
func (r *Repository) Contributors(ctx context.Context, number int, commits []string) ([]forge.User, error) {
	all, err := pages(func(page github.ListOptions) ([]*github.RepositoryCommit, *github.Response, error) {
		return r.api.client().PullRequests.ListCommits(ctx, r.owner, r.name, number, &page)
	})
	if err != nil {
		return nil, err.of("list the commits of " + r.at(number))
	}
	var out []forge.User
	for _, c := range all {
		if !slices.Contains(commits, c.GetSHA()) {
			continue
		}
		for _, u := range []*github.User{c.GetAuthor(), c.GetCommitter()} {
			if u.GetLogin() == "" || u.GetLogin() == webFlow {
				continue
			}
			if user := userOf(u); !slices.Contains(out, user) {
				out = append(out, user)
			}
		}
	}
	return out, nil
}
