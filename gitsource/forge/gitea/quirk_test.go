package gitea_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/stackreeve/stackreeve/gitsource/forge"
	"github.com/stackreeve/stackreeve/gitsource/forge/forgetest"
	"github.com/stackreeve/stackreeve/gitsource/forge/forgetest/tea"
	"github.com/stackreeve/stackreeve/gitsource/forge/gitea"
	"github.com/stackreeve/stackreeve/internal/tool/tooltest"
)

// owner is the account of the world that owns its organization.
const owner forgetest.Person = "olivia"

// begin makes a site and its adapter.
func begin(t *testing.T) (forgetest.Site, forge.Repository) {
	t.Helper()
	site := tea.New(t, tooltest.Gitea(t)).NewSite(t, map[string]string{"a.txt": "one\n"})
	return site, site.Repository(t)
}

// beginPull makes a site with one open pull request of Ada's.
func beginPull(t *testing.T) (site forgetest.Site, repo forge.Repository, number int, head string) {
	t.Helper()
	site, repo = begin(t)
	head = site.Push(t, forgetest.Ada, "change", map[string]string{"a.txt": "two\n"}, false)
	return site, repo, site.Open(t, forgetest.Ada, "change", "Change a", false), head
}

// ask asks the server's API as a person and returns the status.
func ask(t *testing.T, p forgetest.Person, method, path string, in, out any) int {
	t.Helper()
	server := tooltest.Gitea(t)
	text, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, server.URL()+"/api/v1"+path, bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.SetBasicAuth(string(p), server.Account(t, string(p)))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	said, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if out != nil {
		if err := json.Unmarshal(said, out); err != nil {
			t.Fatalf("%s %s: %s: %s", method, path, resp.Status, said)
		}
	}
	return resp.StatusCode
}

func mustAsk(t *testing.T, p forgetest.Person, method, path string, in, out any) {
	t.Helper()
	if status := ask(t, p, method, path, in, out); status >= 300 {
		t.Fatalf("%s: %s %s: status %d", p, method, path, status)
	}
}

// await waits until there is no objection.
func await(t *testing.T, what string, objection func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	for pause := 20 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		err := objection()
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%s: %v", what, err)
		case <-time.After(pause):
		}
	}
}

// awaitPull waits until a pull request is as wanted, asked for by number; and, when it
// is open, in the list too.
func awaitPull(t *testing.T, repo forge.Repository, want forge.PullRequest) {
	t.Helper()
	want.HeadRef = fmt.Sprintf("refs/pull/%d/head", want.Number)
	ignore := cmpopts.IgnoreFields(forge.PullRequest{}, "URL", "UpdatedAt", "Title", "Author", "MergeCommit", "RepositoryID")
	await(t, "look at the pull request", func() error {
		got, err := repo.PullRequest(t.Context(), want.Number)
		if err != nil {
			return err
		}
		if diff := cmp.Diff(want, got, ignore); diff != "" {
			return errors.New(diff)
		}
		if want.State != forge.Open {
			return nil
		}
		open, err := repo.OpenPullRequests(t.Context())
		if err != nil {
			return err
		}
		if diff := cmp.Diff([]forge.PullRequest{want}, open, ignore); diff != "" {
			return errors.New("in the list: " + diff)
		}
		return nil
	})
}

// git runs git in a folder as a person.
func git(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd := exec.Command("git", append([]string{"-c", "credential.helper=", "-c", "user.name=x", "-c", "user.email=x@example.com"}, args...)...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL="+os.DevNull, "GIT_CONFIG_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("git %s: %v\n%s", args[0], err, out)
	}
	return strings.TrimSpace(string(out))
}

func TestAPullRequestWithoutABranchIsThatOfAFork(t *testing.T) {
	t.Parallel()
	site, repo := begin(t)
	dir := t.TempDir()
	git(t, dir, "clone", "--quiet", site.CloneURL(forgetest.Mallory), ".")
	git(t, dir, "commit", "--quiet", "--allow-empty", "--message", "Mine")
	git(t, dir, "push", "--quiet", "origin", "HEAD:refs/for/main", "-o", "topic=mine")
	awaitPull(t, repo, forge.PullRequest{
		Number: 1, State: forge.Open, Head: git(t, dir, "rev-parse", "HEAD"), HeadBranch: "refs/pull/1/head", BaseBranch: "main", Fork: true,
	})
}

func TestAPullRequestOutlivesItsForkAndItsBranch(t *testing.T) {
	t.Parallel()
	site, repo := begin(t)
	head := site.PushFork(t, forgetest.Mallory, "mine", map[string]string{"a.txt": "mine\n"})
	n := site.Open(t, forgetest.Mallory, "mine", "Mine", true)
	_, name, _ := strings.Cut(site.Name(), "/")
	mustAsk(t, forgetest.Mallory, http.MethodDelete, "/repos/mallory/"+name, nil, nil)
	awaitPull(t, repo, forge.PullRequest{Number: n, State: forge.Closed, Head: head, HeadBranch: "mine", BaseBranch: "main", Fork: true})

	head = site.Push(t, forgetest.Ada, "change", map[string]string{"a.txt": "two\n"}, false)
	n = site.Open(t, forgetest.Ada, "change", "Change a", false)
	site.Merge(t, forgetest.Ada, n)
	merged := forge.PullRequest{Number: n, State: forge.Merged, Head: head, HeadBranch: "change", BaseBranch: "main"}
	awaitPull(t, repo, merged)
	// The branch goes on, and the pull request that is over does not follow it.
	if site.Push(t, forgetest.Ada, "change", map[string]string{"a.txt": "three\n"}, false) == head {
		t.Fatal("nothing was pushed")
	}
	awaitPull(t, repo, merged)
	mustAsk(t, forgetest.Ada, http.MethodDelete, "/repos/"+site.Name()+"/branches/change", nil, nil)
	awaitPull(t, repo, merged)
}

func TestADraftIsTold(t *testing.T) {
	t.Parallel()
	site, repo, n, head := beginPull(t)
	mustAsk(t, forgetest.Ada, http.MethodPatch, fmt.Sprintf("/repos/%s/pulls/%d", site.Name(), n), map[string]any{"title": "WIP: Change a"}, nil)
	awaitPull(t, repo, forge.PullRequest{Number: n, State: forge.Open, Draft: true, Head: head, HeadBranch: "change", BaseBranch: "main"})
}

func TestDismissedAndRepeatedReviewsAreNotInForce(t *testing.T) {
	t.Parallel()
	site, repo, n, head := beginPull(t)
	path := fmt.Sprintf("/repos/%s/pulls/%d", site.Name(), n)
	reviews := func(want ...forge.Review) []forge.Review {
		t.Helper()
		got, err := repo.Reviews(t.Context(), n)
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty(), cmpopts.IgnoreFields(forge.Review{}, "ID", "At")); diff != "" || err != nil {
			t.Errorf("reviews: %v (-want +got):\n%s", err, diff)
		}
		return got
	}
	who, err := repo.(forge.Accounts).Account(t.Context(), string(forgetest.Grace))
	if err != nil {
		t.Fatal(err)
	}
	grace := forge.Review{Author: who, State: forge.ChangesRequested, Commit: head}
	site.Review(t, forgetest.Grace, n, false, "no")
	reviews(grace)
	grace.State = forge.Approved
	site.Review(t, forgetest.Grace, n, true, "yes")
	given := reviews(grace)

	// A review that only comments changes nothing, and is no comment.
	mustAsk(t, forgetest.Grace, http.MethodPost, path+"/reviews", map[string]any{"event": "COMMENT", "body": "reeve approve"}, nil)
	reviews(grace)
	if comments, err := repo.Comments(t.Context(), n, time.Time{}); len(comments) != 0 || err != nil {
		t.Errorf("comments: %+v, %v", comments, err)
	}

	// A push makes it stale: it still tells what it was given for.
	moved := site.Push(t, forgetest.Ada, "change", map[string]string{"a.txt": "three\n"}, false)
	awaitPull(t, repo, forge.PullRequest{Number: n, State: forge.Open, Head: moved, HeadBranch: "change", BaseBranch: "main"})
	reviews(grace)

	// Dismissed, it does not bring back the one before.
	mustAsk(t, owner, http.MethodPost, path+"/reviews/"+given[0].ID+"/dismissals", map[string]any{"message": "too old"}, nil)
	reviews()

	grace.Commit = moved
	site.Review(t, forgetest.Grace, n, true, "again")
	reviews(grace)
	mustAsk(t, forgetest.Ada, http.MethodPost, path+"/requested_reviewers", map[string]any{"reviewers": []string{string(forgetest.Grace)}}, nil)
	reviews()
}

// In an organization of its own: whoever leaves the last team of one loses all access
// in it.
func TestPermissionsOfOwnersTeamsAndStrangers(t *testing.T) {
	t.Parallel()
	server := tooltest.Gitea(t)
	const bot forgetest.Person = "teambot"
	accounts := []forgetest.Person{owner, bot, "tina", "tom", "stranger", forgetest.Ada, forgetest.Mallory}
	for _, p := range accounts {
		server.Account(t, string(p))
	}
	org := "org-" + strings.ToLower(rand.Text()[:12])
	name := org + "/infra"
	mustAsk(t, owner, http.MethodPost, "/orgs", map[string]any{"username": org}, nil)
	mustAsk(t, owner, http.MethodPost, "/orgs/"+org+"/repos", map[string]any{"name": "infra", "private": true, "auto_init": true}, nil)
	mustAsk(t, owner, http.MethodPut, "/repos/"+name+"/collaborators/"+string(bot), map[string]any{"permission": "admin"}, nil)
	mustAsk(t, owner, http.MethodPut, "/repos/"+name+"/collaborators/"+string(forgetest.Ada), map[string]any{"permission": "write"}, nil)
	as := func(p forgetest.Person) *gitea.Repository {
		t.Helper()
		var made struct{ SHA1 string }
		mustAsk(t, p, http.MethodPost, "/users/"+string(p)+"/tokens", map[string]any{"name": org, "scopes": []string{"all"}}, &made)
		return adapter(t, server.URL(), name, made.SHA1)
	}
	repo := as(bot)
	team := func(login string, units map[string]string) (id int64) {
		t.Helper()
		var made struct{ ID int64 }
		mustAsk(t, owner, http.MethodPost, "/orgs/"+org+"/teams", map[string]any{"name": login, "permission": "write", "units_map": units}, &made)
		mustAsk(t, owner, http.MethodPut, fmt.Sprintf("/teams/%d/members/%s", made.ID, login), nil, nil)
		mustAsk(t, owner, http.MethodPut, fmt.Sprintf("/teams/%d/repos/%s", made.ID, name), nil, nil)
		return made.ID
	}
	may := func(want map[string]forge.Permission) {
		t.Helper()
		for login, p := range want {
			if got, err := repo.Permission(t.Context(), login); err != nil || got != p {
				t.Errorf("permission of %s is %q, %v; want %q", login, got, err, p)
			}
		}
	}
	writers := team("tina", map[string]string{"repo.code": "write", "repo.issues": "write", "repo.pulls": "write"})
	may(map[string]forge.Permission{
		string(owner): forge.Admin, "tina": forge.Write, "tom": forge.None, "stranger": forge.None,
		string(forgetest.Mallory): forge.None, string(forgetest.Ada): forge.Write, "ADA": forge.Write, "../admin": forge.None,
	})
	// With a team that reviews and does not push it is open who is in which.
	team("tom", map[string]string{"repo.code": "read", "repo.issues": "write", "repo.pulls": "write"})
	may(map[string]forge.Permission{"tina": forge.Read, "tom": forge.Read, "stranger": forge.None, string(forgetest.Ada): forge.Write})
	// A team tells its members of the others.
	mustAsk(t, owner, http.MethodPut, fmt.Sprintf("/teams/%d/members/%s", writers, bot), nil, nil)
	may(map[string]forge.Permission{"tina": forge.Write, "tom": forge.Read, "stranger": forge.None, string(bot): forge.Admin})

	// Who only writes may not ask for others, and is told why.
	if _, err := as(forgetest.Ada).Permission(t.Context(), "tina"); !hasClass(err, http.StatusForbidden, forge.Person) ||
		!strings.Contains(err.Error(), "administrator of the repository") {
		t.Errorf("asked without the right to: %v", err)
	}
	// Nobody of that name, in a repository that cannot be seen: the repository is what is missing.
	if got, err := as(forgetest.Mallory).Permission(t.Context(), "nobody"); !errors.Is(err, forge.ErrNotFound) || got != forge.None {
		t.Errorf("of a hidden repository: %q, %v", got, err)
	}
}

func adapter(t *testing.T, url, name, token string) *gitea.Repository {
	t.Helper()
	r, err := gitea.New(gitea.Options{URL: url, Repository: name, Token: func(context.Context) (string, error) { return token, nil }})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func hasClass(err error, status int, class forge.Class) bool {
	var failed *forge.CallError
	return errors.As(err, &failed) && failed.Status == status && failed.Class == class
}

func TestWhatIsNotThereIsNotFound(t *testing.T) {
	t.Parallel()
	site, repo, n, head := beginPull(t)
	other := site.Push(t, forgetest.Ada, "other", map[string]string{"b.txt": "b\n"}, false)
	second := site.Open(t, forgetest.Ada, "other", "Add b", false)
	id := site.Comment(t, forgetest.Ada, n, "of the first")
	ctx := t.Context()
	get := func(_ any, err error) error { return err }
	for what, err := range map[string]error{
		"a comment of another pull request": get(repo.Comment(ctx, second, id)),
		"a comment without a number":        get(repo.Comment(ctx, n, "7/../../..")),
		"edit a comment without a number":   get(repo.EditComment(ctx, n, "", "x")),
		"react without a number":            repo.React(ctx, n, "-3", forge.Eyes),
		"comments of no pull request":       get(repo.Comments(ctx, 99, time.Time{})),
		"reviews of no pull request":        get(repo.Reviews(ctx, 99)),
		"a status of no commit":             repo.SetStatus(ctx, strings.Repeat("0", 39)+"1", forge.Status{Context: "c", State: forge.Success}),
		"a webhook without a number":        get(repo.SetWebhook(ctx, "x", "https://example.com", "s")),
		"the repository":                    get(adapter(t, site.APIURL(), "acme/none", site.Token(forgetest.Reeve)).PullRequest(ctx, n)),
	} {
		var failed *forge.CallError
		if !errors.Is(err, forge.ErrNotFound) || !errors.As(err, &failed) || failed.Class != forge.Person {
			t.Errorf("%s: %v", what, err)
		}
	}
	for what, err := range map[string]error{
		"write nothing":       get(repo.CreateComment(ctx, n, "")),
		"edit to nothing":     get(repo.EditComment(ctx, n, id, "")),
		"a status of nothing": repo.SetStatus(ctx, "", forge.Status{Context: "c", State: forge.Success}),
	} {
		if !hasClass(err, 0, forge.Bug) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if got, err := repo.Comment(ctx, n, id); err != nil || got.Body != "of the first" {
		t.Errorf("the comment itself: %+v, %v", got, err)
	}
	if head == other {
		t.Error("two branches have one head")
	}
}

func TestAWebhookAsksForWhatIsReadAndNothingElse(t *testing.T) {
	t.Parallel()
	site, repo := begin(t)
	first, err := repo.SetWebhook(t.Context(), "", "http://127.0.0.1:1/a", "one")
	if err != nil {
		t.Fatal(err)
	}
	second, err := repo.SetWebhook(t.Context(), first.ID, "http://127.0.0.1:1/a", "two")
	if err != nil || second.ID == first.ID {
		t.Errorf("the successor of webhook %s is %+v, %v", first.ID, second, err)
	}
	var hooks []struct {
		ID     int64
		Type   string
		Active bool
		Events []string
		Config map[string]string
	}
	mustAsk(t, owner, http.MethodGet, "/repos/"+site.Name()+"/hooks", nil, &hooks)
	if len(hooks) != 1 || fmt.Sprint(hooks[0].ID) != second.ID || !hooks[0].Active || hooks[0].Type != "gitea" {
		t.Fatalf("webhooks: %+v", hooks)
	}
	if diff := cmp.Diff(map[string]string{"content_type": "json", "url": "http://127.0.0.1:1/a"}, hooks[0].Config); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	want := []string{"pull_request", "pull_request_comment", "pull_request_review", "pull_request_sync", "push"}
	if diff := cmp.Diff(want, hooks[0].Events, cmpopts.SortSlices(func(a, b string) bool { return a < b })); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	// The one that it replaces was removed meanwhile: there is still one in the end.
	third, err := repo.SetWebhook(t.Context(), first.ID, "http://127.0.0.1:1/b", "three")
	if err != nil || third.URL != "http://127.0.0.1:1/b" {
		t.Errorf("in the place of one that is gone: %+v, %v", third, err)
	}
}

func TestMoreStatusesThanOnAPageAreSet(t *testing.T) {
	t.Parallel()
	site, repo, _, head := beginPull(t)
	want := map[string]forge.Status{}
	for i := range 12 {
		s := forge.Status{Context: fmt.Sprintf("reeve/apply: env-%d", i), State: forge.Pending, Description: strings.Repeat("ä", 300), URL: "https://reeve.example.com"}
		if err := repo.SetStatus(t.Context(), head, s); err != nil {
			t.Fatal(err)
		}
		s.Description = strings.Repeat("ä", 254) + "…"
		want[s.Context] = s
	}
	if diff := cmp.Diff(want, site.Statuses(t, head)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestMoreOpenPullRequestsThanOnAPageAreListed(t *testing.T) {
	t.Parallel()
	site, repo := begin(t)
	dir := t.TempDir()
	git(t, dir, "clone", "--quiet", site.CloneURL(forgetest.Ada), ".")
	const n = 12 // the server gives 10
	push := []string{"push", "--quiet", "origin"}
	for i := range n {
		git(t, dir, "commit", "--quiet", "--allow-empty", "--message", fmt.Sprint(i))
		push = append(push, fmt.Sprintf("%s:refs/heads/b%d", git(t, dir, "rev-parse", "HEAD"), i))
	}
	git(t, dir, push...)
	for i := range n { // of which the server takes note a moment later
		await(t, "look at the branch", func() error {
			if status := ask(t, owner, http.MethodGet, fmt.Sprintf("/repos/%s/branches/b%d", site.Name(), i), nil, nil); status != http.StatusOK {
				return fmt.Errorf("status %d", status)
			}
			return nil
		})
	}
	want := map[int]string{}
	for i := range n {
		want[site.Open(t, forgetest.Ada, fmt.Sprintf("b%d", i), fmt.Sprint("Change ", i), false)] = fmt.Sprintf("b%d", i)
	}
	open, err := repo.OpenPullRequests(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got := map[int]string{}
	for _, p := range open {
		got[p.Number] = p.HeadBranch
	}
	if diff := cmp.Diff(want, got); diff != "" || len(open) != n {
		t.Errorf("%d are listed (-want +got):\n%s", len(open), diff)
	}
	var first []struct{}
	mustAsk(t, owner, http.MethodGet, "/repos/"+site.Name()+"/pulls?limit=50", nil, &first)
	if len(first) >= n {
		t.Errorf("the first page holds all %d", len(first))
	}
}

func TestARepositoryThatIsRenamedKeepsItsID(t *testing.T) {
	t.Parallel()
	_, repo, n, _ := beginPull(t)
	before, err := repo.PullRequest(t.Context(), n)
	if err != nil || before.RepositoryID == "" {
		t.Fatalf("the id is %q, %v", before.RepositoryID, err)
	}
	_, name, _ := strings.Cut(repo.Name(), "/")
	mustAsk(t, owner, http.MethodPatch, "/repos/"+repo.Name(), map[string]any{"name": name + "-now"}, nil)
	defer func() { // it is removed by its first name; a cleanup would come after the end of the test's context
		mustAsk(t, owner, http.MethodPatch, "/repos/"+repo.Name()+"-now", map[string]any{"name": name}, nil)
	}()
	after, err := repo.PullRequest(t.Context(), n) // the old name leads on
	if err != nil || after.RepositoryID != before.RepositoryID || after.URL == before.URL {
		t.Errorf("renamed: %q was %q, at %s, %v", after.RepositoryID, before.RepositoryID, after.URL, err)
	}
}
