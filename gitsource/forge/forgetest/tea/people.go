package tea

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stackreeve/stackreeve/gitsource/forge"
	"github.com/stackreeve/stackreeve/gitsource/forge/forgetest"
	"github.com/stackreeve/stackreeve/gitsource/forge/gitea"
)

// Repository is the adapter, with nothing beneath it that repeats.
func (s *Site) Repository(t testing.TB) forge.Repository {
	t.Helper()
	r, err := gitea.New(gitea.Options{
		URL: s.APIURL(), Repository: s.Name(),
		Token: func(context.Context) (string, error) { return s.Token(forgetest.Reeve), nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Parser is the adapter's.
func (s *Site) Parser() forge.WebhookParser { return gitea.Parser{} }

// Push pushes a branch.
func (s *Site) Push(t testing.TB, p forgetest.Person, branch string, files map[string]string, force bool) string {
	t.Helper()
	commit := s.work.push(t, p, s.CloneURL(p), branch, files, force)
	s.awaitBranch(t, s.Name(), branch, commit)
	return commit
}

// awaitBranch waits until the server has taken note of a push, which it does a moment
// later: before that it knows of no branch to open a pull request of.
func (s *Site) awaitBranch(t testing.TB, repository, branch, commit string) {
	t.Helper()
	until(t, "look at the branch "+branch, func() (bool, string) {
		var found struct{ Commit struct{ ID string } }
		_, said := s.world.ask(t, s.world.asPerson(t, owner), http.MethodGet, "/repos/"+repository+"/branches/"+branch, nil, &found)
		return found.Commit.ID == commit, said
	})
}

// PushFork pushes a branch of the person's fork, which is made first.
func (s *Site) PushFork(t testing.TB, p forgetest.Person, branch string, files map[string]string) string {
	t.Helper()
	fork := s.fork(t, p)
	commit := s.work.push(t, p, s.cloneURL(fork, p), branch, files, false)
	s.awaitBranch(t, fork, branch, commit)
	return commit
}

// Open opens a pull request.
func (s *Site) Open(t testing.TB, p forgetest.Person, branch, title string, fork bool) int {
	t.Helper()
	if fork {
		branch = string(p) + ":" + branch
	}
	var made struct{ Number int }
	s.do(t, p, http.MethodPost, s.path("/pulls"), map[string]any{"head": branch, "base": "main", "title": title}, &made)
	return made.Number
}

// Close closes it.
func (s *Site) Close(t testing.TB, p forgetest.Person, number int) {
	t.Helper()
	s.do(t, p, http.MethodPatch, s.path("/pulls/%d", number), map[string]any{"state": "closed"}, nil)
}

// Reopen opens it again.
func (s *Site) Reopen(t testing.TB, p forgetest.Person, number int) {
	t.Helper()
	s.do(t, p, http.MethodPatch, s.path("/pulls/%d", number), map[string]any{"state": "open"}, nil)
}

// Turn turns it to another branch.
func (s *Site) Turn(t testing.TB, p forgetest.Person, number int, branch string) {
	t.Helper()
	s.do(t, p, http.MethodPatch, s.path("/pulls/%d", number), map[string]any{"base": branch}, nil)
}

// Entitle gives it another title.
func (s *Site) Entitle(t testing.TB, p forgetest.Person, number int, title string) {
	t.Helper()
	s.do(t, p, http.MethodPatch, s.path("/pulls/%d", number), map[string]any{"title": title}, nil)
}

// Merge merges it. Gitea finds out by and by whether it can be merged, and answers 405
// until then.
func (s *Site) Merge(t testing.TB, p forgetest.Person, number int) string {
	t.Helper()
	path := s.path("/pulls/%d/merge", number)
	until(t, fmt.Sprintf("merge pull request %d", number), func() (bool, string) {
		status, said := s.world.ask(t, s.world.asPerson(t, p), http.MethodPost, path, map[string]any{"Do": "merge"}, nil)
		if status != http.StatusOK && status != http.StatusMethodNotAllowed && status != http.StatusConflict {
			t.Fatalf("merge pull request %d: %d %s", number, status, said)
		}
		return status == http.StatusOK, said
	})
	var merged struct {
		Commit string `json:"merge_commit_sha"`
	}
	s.do(t, p, http.MethodGet, s.path("/pulls/%d", number), nil, &merged)
	return merged.Commit
}

// Comment writes a comment.
func (s *Site) Comment(t testing.TB, p forgetest.Person, number int, body string) string {
	t.Helper()
	var made struct{ ID int64 }
	s.do(t, p, http.MethodPost, s.path("/issues/%d/comments", number), map[string]any{"body": body}, &made)
	return fmt.Sprint(made.ID)
}

// EditComment changes it.
func (s *Site) EditComment(t testing.TB, p forgetest.Person, _ int, id, body string) {
	t.Helper()
	s.do(t, p, http.MethodPatch, s.path("/issues/comments/%s", id), map[string]any{"body": body}, nil)
}

// DeleteComment deletes it.
func (s *Site) DeleteComment(t testing.TB, p forgetest.Person, _ int, id string) {
	t.Helper()
	s.do(t, p, http.MethodDelete, s.path("/issues/comments/%s", id), nil, nil)
}

// Comments are what people see.
func (s *Site) Comments(t testing.TB, number int) []forgetest.Said {
	t.Helper()
	var all []struct {
		ID   int64
		User struct{ Login string }
		Body string
	}
	s.do(t, owner, http.MethodGet, s.path("/issues/%d/comments", number), nil, &all)
	var said []forgetest.Said
	for _, c := range all {
		said = append(said, forgetest.Said{ID: fmt.Sprint(c.ID), By: c.User.Login, Body: c.Body})
	}
	return said
}

// Review writes a review.
func (s *Site) Review(t testing.TB, p forgetest.Person, number int, approve bool, body string) {
	t.Helper()
	event := "REQUEST_CHANGES"
	if approve {
		event = "APPROVED"
	}
	s.do(t, p, http.MethodPost, s.path("/pulls/%d/reviews", number), map[string]any{"event": event, "body": body}, nil)
}

// Statuses are the newest of each context.
func (s *Site) Statuses(t testing.TB, commit string) map[string]forge.Status {
	t.Helper()
	newest := map[string]forge.Status{}
	for page := 1; ; page++ {
		var combined struct {
			Statuses []struct {
				Context     string
				Status      forge.StatusState
				Description string
				TargetURL   string `json:"target_url"`
			}
		}
		s.do(t, owner, http.MethodGet, s.path("/commits/%s/status?page=%d", commit, page), nil, &combined)
		if len(combined.Statuses) == 0 {
			return newest
		}
		for _, st := range combined.Statuses {
			newest[st.Context] = forge.Status{Context: st.Context, State: st.Status, Description: st.Description, URL: st.TargetURL}
		}
	}
}

// Reactions are those on a comment.
func (s *Site) Reactions(t testing.TB, _ int, id string) []forge.Reaction {
	t.Helper()
	var all []struct{ Content string }
	s.do(t, owner, http.MethodGet, s.path("/issues/comments/%s/reactions", id), nil, &all)
	var found []forge.Reaction
	for _, r := range all {
		found = append(found, forge.Reaction(strings.TrimSpace(r.Content)))
	}
	return found
}
