package forgetest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/stackreeve/stackreeve/gitsource/forge"
)

// patience is how long a forge may take until it shows what was done.
const patience = 10 * time.Minute

// Run checks what holds for every adapter on a world. Forges may show what was done
// with a delay, so whatever is read after a change is read until it is there.
func Run(t *testing.T, w World) {
	together := map[string]func(*testing.T, World){
		"PullRequestsAreToldFromOpeningToMerge":  checkPullRequests,
		"ClosedPullRequestsAreNotListed":         checkClosing,
		"ForksAreTold":                           checkFork,
		"DraftsAreTold":                          checkDrafts,
		"CommentsAreListedOverPagesInOrder":      checkCommentPages,
		"CommentsAreWrittenEditedAndMissed":      checkCommentWriting,
		"EditsOfPeopleAreTold":                   checkCommentEdits,
		"ReactionsOfOneKindAreOne":               checkReactions,
		"StatusesReplaceOneAnother":              checkStatuses,
		"ReviewsInForceAreListed":                checkReviews,
		"CommitsAreOfTheirAuthors":               checkContributors,
		"PermissionsAreThoseOfPeople":            checkPermissions,
		"AccountsHaveNumbers":                    checkAccounts,
		"DeliveriesOfWebhooksAreVerifiedAndRead": checkDeliveries,
		"WebhooksAreReplaced":                    checkWebhookReplaced,
	}
	t.Run("Together", func(t *testing.T) {
		for name, check := range together {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				check(t, w)
			})
		}
	})
	// One after another: a world may have faults for all its sites at once.
	t.Run("FailuresHaveClasses", func(t *testing.T) { checkClasses(t, w) })
	t.Run("LostAnswersAreTold", func(t *testing.T) { checkLostAnswers(t, w) })
	t.Run("ARevokedTokenIsForAPerson", func(t *testing.T) { checkRevoked(t, w) })
}

// FaultsOf returns how calls to a site's API are made to fail: what the site offers,
// else its world.
func FaultsOf(s Site) (Faults, bool) {
	if f, ok := s.(Faults); ok {
		return f, true
	}
	f, ok := s.World().(Faults)
	return f, ok
}

// await asks until there is no objection, at first often and then each second: asking is
// work for the forge too.
func await(t *testing.T, what string, objection func(ctx context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for pause := 20 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		err := objection(ctx)
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

// account is who a person is, with the number.
func account(t *testing.T, repo forge.Repository, p Person) forge.User {
	t.Helper()
	is, err := repo.(forge.Accounts).Account(t.Context(), string(p))
	if err != nil {
		t.Fatalf("ask who %s is: %v", p, err)
	}
	return is
}

// checkAccounts checks that a login leads to one account with a number of its own, however
// it is spelled.
func checkAccounts(t *testing.T, w World) {
	repo := w.NewSite(t, map[string]string{"a.txt": "one\n"}).Repository(t)
	known, ok := repo.(forge.Accounts)
	if !ok {
		t.Fatal("the adapter does not tell who a login is")
	}
	seen := map[string]Person{}
	for _, p := range []Person{Reeve, Ada, Grace, Mallory} {
		is := account(t, repo, p)
		if other, twice := seen[is.ID]; twice || is.ID == "" || is.Login != string(p) || is.Bot {
			t.Errorf("%s is %+v, as is %s", p, is, other)
		}
		seen[is.ID] = p
		again, err := known.Account(t.Context(), strings.ToUpper(string(p)))
		if err != nil || again != is {
			t.Errorf("in capitals %s is %+v, %v; want %+v", p, again, err, is)
		}
	}
	if me := self(t, repo); me.Login == string(Reeve) && seen[me.ID] != Reeve { // else it is an App
		t.Errorf("the account of the credentials is %+v, who is %s", me, seen[me.ID])
	}
	for _, login := range []string{"nobody-of-that-name", ""} {
		if is, err := known.Account(t.Context(), login); !errors.Is(err, forge.ErrNotFound) {
			t.Errorf("%q is %+v, %v", login, is, err)
		}
	}
}

func self(t *testing.T, repo forge.Repository) forge.User {
	t.Helper()
	me, err := repo.Self(t.Context())
	if err != nil {
		t.Fatalf("ask who we are: %v", err)
	}
	return me
}

// differs is an objection when two values are not equal.
func differs(want, got any, opts ...cmp.Option) error {
	if diff := cmp.Diff(want, got, opts...); diff != "" {
		return fmt.Errorf("(-want +got):\n%s", diff)
	}
	return nil
}

// proposal is a site with one open pull request of Ada's.
type proposal struct {
	site   Site
	repo   forge.Repository
	number int
	head   string
}

func propose(t *testing.T, w World) proposal {
	t.Helper()
	site := w.NewSite(t, map[string]string{"a.txt": "one\n"})
	head := site.Push(t, Ada, "change", map[string]string{"a.txt": "two\n"}, false)
	return proposal{site, site.Repository(t), site.Open(t, Ada, "change", "Change a", false), head}
}

// awaitPull waits until a pull request is what is wanted; the URL and the time are
// checked for being there.
func awaitPull(t *testing.T, repo forge.Repository, want forge.PullRequest) forge.PullRequest {
	t.Helper()
	var got forge.PullRequest
	await(t, "get the pull request", func(ctx context.Context) (err error) {
		if got, err = repo.PullRequest(ctx, want.Number); err != nil {
			return err
		}
		if got.URL == "" || got.UpdatedAt.IsZero() || got.HeadRef == "" || got.RepositoryID == "" {
			return fmt.Errorf("without page, time, ref or repository: %+v", got)
		}
		return differs(want, got, cmpopts.IgnoreFields(forge.PullRequest{}, "URL", "UpdatedAt", "HeadRef", "RepositoryID"))
	})
	return got
}

func awaitOpen(t *testing.T, repo forge.Repository, want ...forge.PullRequest) {
	t.Helper()
	await(t, "list the open pull requests", func(ctx context.Context) error {
		got, err := repo.OpenPullRequests(ctx)
		if err != nil {
			return err
		}
		return differs(want, got, cmpopts.IgnoreFields(forge.PullRequest{}, "UpdatedAt"), cmpopts.EquateEmpty(),
			cmpopts.SortSlices(func(a, b forge.PullRequest) bool { return a.Number < b.Number }))
	})
}

// awaitRef waits until a ref of the site's repository is a commit.
func awaitRef(t *testing.T, site Site, ref, commit string) {
	t.Helper()
	await(t, "look at "+ref, func(ctx context.Context) error {
		cmd := exec.CommandContext(ctx, "git", "-c", "credential.helper=", "ls-remote", site.CloneURL(Reeve), ref)
		cmd.Env = append(cmd.Environ(), "GIT_TERMINAL_PROMPT=0", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1")
		out, err := cmd.Output()
		if err != nil {
			return err
		}
		return differs(commit+"\t"+ref+"\n", string(out))
	})
}

func checkPullRequests(t *testing.T, w World) {
	p := propose(t, w)
	me := self(t, p.repo)
	if me.Login == "" || p.repo.Kind() != w.Kind() || p.repo.Name() != p.site.Name() {
		t.Errorf("the adapter says it is %+v at %s %s, want someone at %s %s", me, p.repo.Kind(), p.repo.Name(), w.Kind(), p.site.Name())
	}
	want := forge.PullRequest{
		Number: p.number, Title: "Change a", Author: account(t, p.repo, Ada), State: forge.Open,
		Head: p.head, HeadBranch: "change", BaseBranch: "main",
	}
	got := awaitPull(t, p.repo, want)
	awaitOpen(t, p.repo, got)
	awaitRef(t, p.site, got.HeadRef, p.head)

	for _, force := range []bool{false, true} { // pushed on, then made anew
		want.Head = p.site.Push(t, Ada, "change", map[string]string{"a.txt": rand.Text() + "\n"}, force)
		got = awaitPull(t, p.repo, want)
		awaitOpen(t, p.repo, got)
		awaitRef(t, p.site, got.HeadRef, want.Head)
	}

	want.State, want.MergeCommit = forge.Merged, p.site.Merge(t, Ada, p.number)
	awaitPull(t, p.repo, want)
	awaitOpen(t, p.repo)
	awaitRef(t, p.site, "refs/heads/main", want.MergeCommit)

	if _, err := p.repo.PullRequest(t.Context(), p.number+100); !errors.Is(err, forge.ErrNotFound) {
		t.Errorf("a pull request that is not there: %v", err)
	}
}

func checkClosing(t *testing.T, w World) {
	p := propose(t, w)
	other := p.site.Push(t, Ada, "other", map[string]string{"b.txt": "b\n"}, false)
	second := p.site.Open(t, Grace, "other", "Add b", false)
	first := forge.PullRequest{
		Number: p.number, Title: "Change a", Author: account(t, p.repo, Ada), State: forge.Open,
		Head: p.head, HeadBranch: "change", BaseBranch: "main",
	}
	left := awaitPull(t, p.repo, forge.PullRequest{
		Number: second, Title: "Add b", Author: account(t, p.repo, Grace), State: forge.Open,
		Head: other, HeadBranch: "other", BaseBranch: "main",
	})
	awaitOpen(t, p.repo, awaitPull(t, p.repo, first), left)

	p.site.Close(t, Ada, p.number)
	first.State = forge.Closed
	awaitPull(t, p.repo, first)
	awaitOpen(t, p.repo, left)

	p.site.Reopen(t, Ada, p.number)
	first.State = forge.Open
	awaitOpen(t, p.repo, awaitPull(t, p.repo, first), left)
}

func checkFork(t *testing.T, w World) {
	site := w.NewSite(t, map[string]string{"a.txt": "one\n"})
	repo := site.Repository(t)
	head := site.PushFork(t, Mallory, "mine", map[string]string{"a.txt": "mine\n"})
	n := site.Open(t, Mallory, "mine", "Mine", true)
	got := awaitPull(t, repo, forge.PullRequest{
		Number: n, Title: "Mine", Author: account(t, repo, Mallory), State: forge.Open,
		Head: head, HeadBranch: "mine", BaseBranch: "main", Fork: true,
	})
	awaitOpen(t, repo, got)
	awaitRef(t, site, got.HeadRef, head)
}

// checkDrafts takes drafts for what the forge takes for one: on Gitea and GitLab the title
// makes it, on GitHub a button, whatever the title says.
func checkDrafts(t *testing.T, w World) {
	p := propose(t, w)
	want := forge.PullRequest{
		Number: p.number, Title: "Change a", Author: account(t, p.repo, Ada), State: forge.Open,
		Head: p.head, HeadBranch: "change", BaseBranch: "main",
	}
	check := func(title string, draft bool) {
		t.Helper()
		if title != want.Title {
			p.site.Entitle(t, Ada, p.number, title)
		}
		want.Title, want.Draft = title, draft
		awaitOpen(t, p.repo, awaitPull(t, p.repo, want))
	}
	drafts := map[forge.Kind][]string{
		forge.Gitea:  {"WIP: change a", "[WIP] change a", "wip:change a"}, // as its server has it by default
		forge.GitLab: {"Draft: change a", "[Draft] change a", "(draft) change a"},
	}[w.Kind()]
	for _, title := range drafts {
		check(title, true)
		check("Change a", false)
	}
	for _, title := range []string{"Change a, WIP: b", "The draft of a"} {
		check(title, false)
	}
	button, has := p.site.(interface {
		SetDraft(t testing.TB, as Person, number int)
	})
	if has == (len(drafts) > 0) {
		t.Fatalf("%s has a button for drafts: %t", w.Kind(), has)
	}
	if !has {
		return
	}
	for _, title := range []string{"WIP: change a", "Draft: change a"} {
		check(title, false)
	}
	button.SetDraft(t, Ada, p.number)
	check("Change a", true)
}

func checkStatuses(t *testing.T, w World) {
	p := propose(t, w)
	set := func(s forge.Status) {
		t.Helper()
		if err := p.repo.SetStatus(t.Context(), p.head, s); err != nil {
			t.Fatalf("set %+v: %v", s, err)
		}
	}
	plan := forge.Status{Context: "reeve/plan", State: forge.Pending, Description: "planning 3 stacks", URL: "https://reeve.example.com/pulls/1"}
	set(plan)
	set(plan) // again, as after a lost answer
	apply := forge.Status{Context: "reeve/apply: prod", State: forge.Failure, Description: "1 of 3 failed"}
	set(apply)
	broken := forge.Status{Context: "reeve/approval", State: forge.Error, Description: "a word " + strings.Repeat("long ", 200)}
	set(broken)
	if w.Kind() == forge.GitLab { // it has no word for errors
		broken.State = forge.Failure
	}
	plan.State, plan.Description = forge.Success, "3 to add"
	set(plan)
	await(t, "look at the statuses", func(context.Context) error {
		got := p.site.Statuses(t, p.head)
		// Cut where the forge wants it, but not away.
		if said := got[broken.Context]; !strings.HasPrefix(said.Description, "a word long long long") {
			return fmt.Errorf("the long description is %q", said.Description)
		}
		want := map[string]forge.Status{plan.Context: plan, apply.Context: apply, broken.Context: broken}
		return differs(want, got, cmpopts.IgnoreMapEntries(func(k string, _ forge.Status) bool { return !strings.HasPrefix(k, "reeve/") }),
			cmp.FilterPath(func(path cmp.Path) bool {
				return strings.HasPrefix(path.GoString(), `{map[string]forge.Status}["reeve/approval"].Description`)
			}, cmp.Ignore()))
	})
}

func checkReviews(t *testing.T, w World) {
	p := propose(t, w)
	awaitReviews := func(want ...forge.Review) {
		t.Helper()
		await(t, "list the reviews", func(ctx context.Context) error {
			got, err := p.repo.Reviews(ctx, p.number)
			if err != nil {
				return err
			}
			for i, v := range got {
				if v.ID == "" || v.At.IsZero() || v.Commit != "" && v.Commit != p.head {
					return fmt.Errorf("review without id or time, or of another commit than %s: %+v", p.head, v)
				}
				got[i].Commit = ""
			}
			return differs(want, got, cmpopts.IgnoreFields(forge.Review{}, "ID", "At"), cmpopts.EquateEmpty(),
				cmpopts.SortSlices(func(a, b forge.Review) bool { return a.Author.Login < b.Author.Login }))
		})
	}
	awaitReviews()
	grace := forge.Review{Author: account(t, p.repo, Grace), State: forge.Approved}
	p.site.Review(t, Grace, p.number, true, "fine")
	awaitReviews(grace)
	grace.State = forge.ChangesRequested
	p.site.Review(t, Grace, p.number, false, "not so fine")
	awaitReviews(grace)
	reeve := forge.Review{Author: self(t, p.repo), State: forge.Approved}
	if reeve.Author.Login == string(Reeve) { // an App is nobody who reviews
		p.site.Review(t, Reeve, p.number, true, "")
		awaitReviews(grace, reeve)
	}
}

func checkPermissions(t *testing.T, w World) {
	site := w.NewSite(t, map[string]string{"a.txt": "one\n"})
	repo := site.Repository(t)
	for _, c := range []struct {
		login string
		want  []forge.Permission
	}{
		{string(Reeve), []forge.Permission{forge.Write, forge.Admin}},
		{string(Ada), []forge.Permission{forge.Write}},
		{string(Grace), []forge.Permission{forge.Write}},
		{string(Mallory), []forge.Permission{forge.Read}},
		{"nobody-of-that-name", []forge.Permission{forge.None}},
		{"", []forge.Permission{forge.None}},
	} {
		got, err := repo.Permission(t.Context(), c.login)
		if err != nil || !slices.Contains(c.want, got) {
			t.Errorf("permission of %q is %q, %v; want %q", c.login, got, err, c.want)
		}
	}
}
