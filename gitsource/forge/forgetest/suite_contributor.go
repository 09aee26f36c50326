package forgetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/stackreeve/stackreeve/gitsource/forge"
)

// checkContributors checks that a forge tells whose the commits are that it is asked for,
// and not those of others in the same pull request.
func checkContributors(t *testing.T, w World) {
	p := propose(t, w)
	is, ok := p.repo.(forge.Contributors)
	if !ok {
		t.Fatal("the adapter does not tell whose commits are")
	}
	of := func(commits ...string) func(ctx context.Context) ([]string, error) {
		return func(ctx context.Context) ([]string, error) {
			list, err := is.Contributors(ctx, p.number, commits)
			var logins []string
			for _, u := range list {
				if is := account(t, p.repo, Person(u.Login)); u != is {
					return nil, fmt.Errorf("it tells of %+v, who is %+v", u, is)
				}
				logins = append(logins, u.Login)
			}
			slices.Sort(logins)
			return logins, err
		}
	}
	await(t, "get the pull request", func(ctx context.Context) error {
		got, err := p.repo.PullRequest(ctx, p.number)
		return errors.Join(err, differs(p.head, got.Head))
	})
	second := p.site.Push(t, Grace, "change", map[string]string{"b.txt": "two\n"}, false)
	for _, c := range []struct {
		what string
		of   func(ctx context.Context) ([]string, error)
		want []string
	}{
		{"the commit that was pushed after the opening", of(second), []string{string(Grace)}},
		{"the commit before", of(p.head), []string{string(Ada)}},
		{"both", of(p.head, second), []string{string(Ada), string(Grace)}},
		{"no commit", of(), nil},
		{"a commit of another pull request", of("0123456789012345678901234567890123456789"), nil},
	} {
		want := c.want
		if w.Kind() == forge.GitLab { // it tells who pushed since the merge request was made
			want = slices.DeleteFunc(slices.Clone(want), func(login string) bool { return login == string(Ada) })
		}
		await(t, c.what, func(ctx context.Context) error {
			got, err := c.of(ctx)
			if err != nil || !slices.Equal(got, want) {
				return fmt.Errorf("got %v, %w, want %v", got, err, want)
			}
			return nil
		})
	}
}
