package gitea

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	sdk "code.gitea.io/sdk/gitea"

	"github.com/stackreeve/stackreeve/gitsource/forge"
)

// Contributors are the accounts that have the addresses of authors and committers.
func (r *Repository) Contributors(ctx context.Context, number int, commits []string) ([]forge.User, error) {
	var all []*sdk.Commit
	err := r.call(ctx, fmt.Sprintf("list the commits of pull request %d", number), func(c *sdk.Client) (resp *sdk.Response, err error) {
		all, resp, err = pages(idOfCommit, func(o sdk.ListOptions) ([]*sdk.Commit, *sdk.Response, error) {
			return c.ListPullRequestCommits(r.owner, r.name, int64(number), sdk.ListPullRequestCommitsOptions{ListOptions: o})
		})
		return resp, err
	})
	if err != nil {
		return nil, err
	}
	var out []forge.User
	for _, c := range all {
		if c.CommitMeta == nil || !slices.Contains(commits, c.SHA) {
			continue
		}
		for _, u := range []*sdk.User{c.Author, c.Committer} {
			if u == nil || u.ID < 1 {
				continue
			}
			if user := userOf(u); !slices.Contains(out, user) {
				out = append(out, user)
			}
		}
	}
	return out, nil
}

// idOfCommit is a number that no two commits of a pull request share: 60 bits of a hash.
func idOfCommit(c *sdk.Commit) int64 {
	if c.CommitMeta == nil || len(c.SHA) < 15 {
		return 0
	}
	n, _ := strconv.ParseInt(c.SHA[:15], 16, 64) // else 0, like all that is no hash
	return n
}
