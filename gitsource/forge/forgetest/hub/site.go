package hub

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stackreeve/stackreeve/gitsource/forge"
	"github.com/stackreeve/stackreeve/gitsource/forge/forgetest"
	"github.com/stackreeve/stackreeve/gitsource/forge/github"
	"github.com/stackreeve/stackreeve/gitsource/forge/transport"
)

// Site is one repository of a world.
type Site struct {
	w      *World
	repo   *repo
	tokens map[forgetest.Person]string

	mu   sync.Mutex // one at a time works in the copy
	work string
}

var _ forgetest.Site = (*Site)(nil)

// NewSite makes a repository.
func (w *World) NewSite(t testing.TB, files map[string]string) forgetest.Site {
	t.Helper()
	return w.Site(t, files)
}

// Site is NewSite, for what is GitHub's alone.
func (w *World) Site(t testing.TB, files map[string]string) *Site {
	t.Helper()
	w.mu.Lock()
	r, err := w.create(w.account(owner, "Organization"), fmt.Sprintf("live-%d", len(w.repos)+1), nil)
	if err != nil {
		w.mu.Unlock()
		t.Fatal(err)
	}
	r.roles = map[string]string{"reeve-bot": "hooks", "ada": "write", "grace": "write", "mallory": "read", "reeve-app[bot]": "hooks", string(Bot): "write"}
	s := &Site{w: w, repo: r, tokens: map[forgetest.Person]string{}, work: t.TempDir()}
	for _, p := range []forgetest.Person{forgetest.Reeve, forgetest.Ada, forgetest.Grace, forgetest.Mallory} {
		s.tokens[p] = w.grant(w.account(string(p), "User"), "ghp_", time.Time{})
	}
	w.mu.Unlock()
	s.git(t, "init", "-q", "-b", "main")
	s.write(t, files)
	s.git(t, "add", "-A")
	s.commit(t, forgetest.Ada, "The beginning")
	s.git(t, "push", "-q", s.CloneURL(forgetest.Ada), "HEAD:refs/heads/main")
	return s
}

// create makes a repository, or a fork of one. The caller holds the lock.
func (w *World) create(of *account, name string, from *repo) (*repo, error) {
	bare, err := w.git.create(of.login+"/"+name, from)
	if err != nil {
		return nil, err
	}
	r := &repo{id: w.id(), owner: of, name: name, bare: bare, parent: from, roles: map[string]string{strings.ToLower(of.login): "admin"},
		createdAt: w.now(), pulls: map[int]*pull{}, comments: map[int64]*comment{}}
	w.repos[strings.ToLower(r.full())] = r
	return r, nil
}

// World is where the site is.
func (s *Site) World() forgetest.World { return s.w }

// Name is "owner/name".
func (s *Site) Name() string { return s.repo.full() }

// URL is the repository's page.
func (s *Site) URL() string { return s.w.page("%s", s.repo.full()) }

// CloneURL is for Git, with a person's token in it.
func (s *Site) CloneURL(as forgetest.Person) string { return s.cloneURL(s.repo, as) }

func (s *Site) cloneURL(r *repo, as forgetest.Person) string {
	plain := s.w.page("%s.git", r.full())
	if as == "" {
		return plain
	}
	u, err := url.Parse(plain)
	if err != nil { // it is the server's own
		panic(err)
	}
	u.User = url.UserPassword(string(as), s.Token(as))
	return u.String()
}

// Token is a person's.
func (s *Site) Token(as forgetest.Person) string {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	return s.tokens[as]
}

// APIURL is the API's address, as an Enterprise Server has it.
func (s *Site) APIURL() string { return s.w.server.URL + "/api/v3" }

// plain is a client that does what it is told, once.
func plain(t testing.TB) *http.Client {
	base := &http.Transport{}
	t.Cleanup(base.CloseIdleConnections)
	return &http.Client{Transport: base}
}

// Client is a client over the transport, by the world's clock: it skips its pauses.
// meter may be nil.
func (s *Site) Client(t testing.TB, meter *transport.Forge) *http.Client {
	c := plain(t)
	c.Transport = transport.New(transport.Options{Forge: "github", Base: c.Transport, Repeatable: github.Repeatable, Meter: meter,
		MaxWait: 3 * time.Minute, Now: s.w.Now, Sleep: s.w.Skip})
	return c
}

// Repository is the adapter with Reeve's token, by itself: nothing is repeated.
func (s *Site) Repository(t testing.TB) forge.Repository {
	t.Helper()
	return s.With(t, plain(t))
}

// With is the adapter with Reeve's token and a client.
func (s *Site) With(t testing.TB, client *http.Client) *github.Repository {
	t.Helper()
	r, err := github.New(github.Options{Repository: s.Name(), APIURL: s.APIURL(), HTTPClient: client,
		Token: func(context.Context) (string, error) { return s.Token(forgetest.Reeve), nil }})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// AppRepository is the adapter as the world's App.
func (s *Site) AppRepository(t testing.TB) *github.Repository {
	t.Helper()
	id, key := s.w.App(t)
	client := s.Client(t, nil)
	a, err := github.NewApp(github.AppOptions{ID: id, PrivateKey: key, APIURL: s.APIURL(), HTTPClient: client, Now: s.w.Now})
	if err != nil {
		t.Fatal(err)
	}
	r, err := github.New(github.Options{Repository: s.Name(), APIURL: s.APIURL(), HTTPClient: client, App: a})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Parser is the adapter's.
func (s *Site) Parser() forge.WebhookParser { return github.Parser{} }

func (s *Site) git(t testing.TB, args ...string) string {
	t.Helper()
	out, err := s.w.git.run(s.work, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (s *Site) write(t testing.TB, files map[string]string) {
	t.Helper()
	for name, text := range files {
		p := filepath.Join(s.work, filepath.FromSlash(name))
		if text == "" {
			if err := os.Remove(p); err != nil && !errors.Is(err, os.ErrNotExist) {
				t.Fatal(err)
			}
			continue
		}
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil { //nolint:gosec // a test's folder
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(text), 0o644); err != nil { //nolint:gosec // a test's file
			t.Fatal(err)
		}
	}
}

func (s *Site) commit(t testing.TB, as forgetest.Person, subject string) string {
	t.Helper()
	s.git(t, "-c", "user.name="+string(as), "-c", "user.email="+string(as)+"@example.com", "commit", "-q", "--allow-empty",
		"--author", fmt.Sprintf("%s <%s@example.com>", as, as), "-m", subject)
	return s.git(t, "rev-parse", "HEAD")
}

// Push commits files on a branch.
func (s *Site) Push(t testing.TB, as forgetest.Person, branch string, files map[string]string, force bool) string {
	t.Helper()
	return s.push(t, s.repo, as, branch, files, force)
}

// PushFork commits files on a branch of the person's fork.
func (s *Site) PushFork(t testing.TB, as forgetest.Person, branch string, files map[string]string) string {
	t.Helper()
	return s.push(t, s.fork(t, as), as, branch, files, false)
}

func (s *Site) push(t testing.TB, to *repo, as forgetest.Person, branch string, files map[string]string, force bool) string {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.git(t, "fetch", "-q", "--prune", s.cloneURL(s.repo, ""), "+refs/heads/*:refs/remotes/base/*")
	s.git(t, "fetch", "-q", "--prune", s.cloneURL(to, ""), "+refs/heads/*:refs/remotes/to/*")
	from := "refs/remotes/base/main"
	if _, err := s.w.git.run(s.work, "rev-parse", "-q", "--verify", "refs/remotes/to/"+branch); err == nil && !force {
		from = "refs/remotes/to/" + branch
	}
	s.git(t, "checkout", "-q", "--force", "--detach", from)
	s.git(t, "clean", "-q", "-fdx")
	s.write(t, files)
	s.git(t, "add", "-A")
	commit := s.commit(t, as, "Change "+branch)
	s.git(t, "push", "-q", "--force", s.cloneURL(to, as), "HEAD:refs/heads/"+branch)
	return commit
}

// fork finds or makes a person's fork.
func (s *Site) fork(t testing.TB, as forgetest.Person) *repo {
	t.Helper()
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	if r := s.w.repos[strings.ToLower(string(as)+"/"+s.repo.name)]; r != nil {
		return r
	}
	r, err := s.w.create(s.w.account(string(as), "User"), s.repo.name, s.repo)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// DeleteFork deletes a person's fork.
func (s *Site) DeleteFork(t testing.TB, as forgetest.Person) {
	t.Helper()
	fork := s.fork(t, as)
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	fork.deleted = true
}

// Open opens a pull request.
func (s *Site) Open(t testing.TB, as forgetest.Person, branch, title string, fork bool) int {
	t.Helper()
	from := s.repo
	if fork {
		from = s.fork(t, as)
	}
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	heads, bases := s.w.git.heads(from), s.w.git.heads(s.repo)
	if heads[branch] == "" {
		t.Fatalf("there is no branch %s", branch)
	}
	if from == s.repo && !s.repo.may(s.w.account(string(as), "User"), "write") {
		t.Fatalf("%s may not open pull requests of %s's branches", as, s.Name())
	}
	s.repo.lastNumber++
	p := &pull{id: s.w.id(), number: s.repo.lastNumber, title: title, author: s.w.account(string(as), "User"), headRepo: from, headBranch: branch, head: heads[branch],
		base: "main", baseSHA: bases["main"], createdAt: s.w.now(), updatedAt: s.w.now(), hidden: s.w.lag}
	if err := s.w.keepHead(s.repo, p, p.head); err != nil {
		t.Fatal(err)
	}
	s.repo.pulls[p.number] = p
	s.w.tellPull(s.repo, p, p.author, "opened", nil)
	return p.number
}

// with finds a pull request for a person who may do something to it, and holds the lock.
func (s *Site) with(t testing.TB, as forgetest.Person, number int, role string, do func(*pull, *account)) {
	t.Helper()
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	p := s.repo.pulls[number]
	if p == nil {
		t.Fatalf("there is no pull request %d", number)
	}
	who := s.w.account(string(as), "User")
	mayAsAuthor := role == "triage" && who == p.author
	if !s.repo.may(who, role) && !mayAsAuthor {
		t.Fatalf("%s may not do this", as)
	}
	do(p, who)
}

// Close closes without merging.
func (s *Site) Close(t testing.TB, as forgetest.Person, number int) {
	t.Helper()
	s.with(t, as, number, "triage", func(p *pull, who *account) {
		if p.closed {
			t.Fatalf("pull request %d is closed", number)
		}
		s.w.closePull(s.repo, p, who)
	})
}

// Reopen opens again what was not merged. Its head follows the branch.
func (s *Site) Reopen(t testing.TB, as forgetest.Person, number int) {
	t.Helper()
	s.with(t, as, number, "triage", func(p *pull, who *account) {
		if !p.closed || !p.mergedAt.IsZero() {
			t.Fatalf("pull request %d cannot be opened again", number)
		}
		head := s.w.git.heads(p.headRepo)[p.headBranch]
		if head == "" || p.headRepo.deleted {
			t.Fatalf("the branch of pull request %d is gone", number)
		}
		if err := s.w.keepHead(s.repo, p, head); err != nil {
			t.Fatal(err)
		}
		p.head, p.closed, p.closedAt, p.updatedAt = head, false, time.Time{}, s.w.now()
		s.w.tellPull(s.repo, p, who, "reopened", nil)
	})
}

// Turn turns it to another branch.
func (s *Site) Turn(t testing.TB, as forgetest.Person, number int, branch string) {
	t.Helper()
	s.with(t, as, number, "triage", func(p *pull, who *account) {
		base := s.w.git.heads(s.repo)[branch]
		if base == "" || p.closed {
			t.Fatalf("pull request %d cannot be turned to %s", number, branch)
		}
		from := map[string]any{"ref": map[string]any{"from": p.base}, "sha": map[string]any{"from": p.baseSHA}}
		p.base, p.baseSHA, p.updatedAt = branch, base, s.w.now()
		s.w.tellPull(s.repo, p, who, "edited", map[string]any{"changes": map[string]any{"base": from}})
	})
}

// Entitle gives it another title.
func (s *Site) Entitle(t testing.TB, as forgetest.Person, number int, title string) {
	t.Helper()
	s.with(t, as, number, "triage", func(p *pull, who *account) {
		from := p.title
		p.title, p.updatedAt = title, s.w.now()
		s.w.tellPull(s.repo, p, who, "edited", map[string]any{"changes": map[string]any{"title": map[string]any{"from": from}}})
	})
}

// Merge merges with a merge commit.
func (s *Site) Merge(t testing.TB, as forgetest.Person, number int) string {
	t.Helper()
	s.repo.pushing.Lock()
	defer s.repo.pushing.Unlock()
	var merge string
	s.with(t, as, number, "write", func(p *pull, who *account) {
		if p.closed {
			t.Fatalf("pull request %d is closed", number)
		}
		before := s.w.git.heads(s.repo)
		run := func(args ...string) string {
			out, err := s.w.git.run(s.repo.bare, args...)
			if err != nil {
				t.Fatalf("pull request %d is not mergeable: %v", number, err)
			}
			return out
		}
		tree := run("merge-tree", "--write-tree", before[p.base], p.head)
		merge = run("commit-tree", tree, "-p", before[p.base], "-p", p.head, "-m", fmt.Sprintf("Merge pull request #%d from %s/%s\n\n%s", number, p.headRepo.owner.login, p.headBranch, p.title))
		run("update-ref", "refs/heads/"+p.base, merge, before[p.base])
		p.merge, p.closed, p.mergedBy = merge, true, who
		p.mergedAt, p.closedAt, p.updatedAt = s.w.now(), s.w.now(), s.w.now()
		s.w.tellPull(s.repo, p, who, "closed", nil)
		s.w.pushed(s.repo, who, before, s.w.git.heads(s.repo))
	})
	return merge
}

// Rename gives the repository another name. Under the old one the API redirects.
func (s *Site) Rename(name string) {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	old := strings.ToLower(s.repo.full())
	delete(s.w.repos, old)
	s.repo.name = name
	s.w.repos[strings.ToLower(s.repo.full())] = s.repo
	s.w.moved[old] = s.repo
}

// SetDraft makes a draft of a pull request.
func (s *Site) SetDraft(t testing.TB, as forgetest.Person, number int) {
	t.Helper()
	s.with(t, as, number, "triage", func(p *pull, who *account) {
		p.draft, p.updatedAt = true, s.w.now()
		s.w.tellPull(s.repo, p, who, "converted_to_draft", nil)
	})
}

// Comment writes a comment.
func (s *Site) Comment(t testing.TB, as forgetest.Person, number int, body string) string {
	t.Helper()
	var id int64
	s.with(t, as, number, "read", func(p *pull, who *account) {
		if a := checkBody(body); a.status != 0 {
			t.Fatalf("GitHub does not take this comment: %v", a.value)
		}
		id = s.w.say(s.repo, p, who, body).id
	})
	return strconv.FormatInt(id, 10)
}

func (s *Site) comment(t testing.TB, number int, id string) *comment {
	t.Helper()
	n, err := strconv.ParseInt(id, 10, 64)
	m := s.repo.comments[n]
	if err != nil || m == nil || m.number != number {
		t.Fatalf("there is no comment %s in pull request %d", id, number)
	}
	return m
}

// EditComment changes a comment. A second passes: within the same one GitHub's times do
// not tell an edit from what was written.
func (s *Site) EditComment(t testing.TB, as forgetest.Person, number int, id, body string) {
	t.Helper()
	s.with(t, as, number, "read", func(_ *pull, who *account) {
		m := s.comment(t, number, id)
		if m.author != who && !s.repo.may(who, "write") {
			t.Fatalf("%s may not change comment %s", as, id)
		}
		if !s.w.now().After(m.createdAt) {
			s.w.skipped += time.Second
		}
		s.w.rewrite(s.repo, m, who, body)
	})
}

// DeleteComment deletes a comment.
func (s *Site) DeleteComment(t testing.TB, as forgetest.Person, number int, id string) {
	t.Helper()
	s.with(t, as, number, "read", func(p *pull, who *account) {
		m := s.comment(t, number, id)
		if m.author != who && !s.repo.may(who, "write") {
			t.Fatalf("%s may not delete comment %s", as, id)
		}
		delete(s.repo.comments, m.id)
		p.updatedAt = s.w.now()
		s.w.tellComment(s.repo, p, m, who, "deleted", nil)
	})
}

// Comments are the conversation.
func (s *Site) Comments(t testing.TB, number int) []forgetest.Said {
	t.Helper()
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	var out []forgetest.Said
	for _, m := range s.repo.thread(number) {
		out = append(out, forgetest.Said{ID: fmt.Sprint(m.id), By: m.author.login, Body: m.body})
	}
	return out
}

// Review writes a review. GitHub takes no opinion of an author on their own.
func (s *Site) Review(t testing.TB, as forgetest.Person, number int, approve bool, body string) {
	t.Helper()
	state := "CHANGES_REQUESTED"
	if approve {
		state = "APPROVED"
	}
	s.with(t, as, number, "read", func(p *pull, who *account) {
		if who == p.author {
			t.Fatal("Can not approve your own pull request")
		}
		s.review(p, who, state, body)
	})
}

// Remark writes a review that is no opinion.
func (s *Site) Remark(t testing.TB, as forgetest.Person, number int, body string) {
	t.Helper()
	s.with(t, as, number, "read", func(p *pull, who *account) { s.review(p, who, "COMMENTED", body) })
}

func (s *Site) review(p *pull, who *account, state, body string) {
	v := &review{id: s.w.id(), author: who, body: body, state: state, commit: p.head, at: s.w.now()}
	p.reviews = append(p.reviews, v)
	p.updatedAt = s.w.now()
	s.tellReview(p, v, who, "submitted")
}

func (s *Site) tellReview(p *pull, v *review, who *account, action string) {
	shown := s.w.showReview(s.repo, p, v)
	shown["state"] = strings.ToLower(v.state) // deliveries have it so
	s.w.tell(s.repo, "pull_request_review", action, map[string]any{"review": shown, "pull_request": s.w.showPull(s.repo, p), "sender": s.w.showAccount(who)})
}

// Dismiss dismisses the newest opinion of a person.
func (s *Site) Dismiss(t testing.TB, as forgetest.Person, number int, of forgetest.Person) {
	t.Helper()
	s.with(t, as, number, "write", func(p *pull, who *account) {
		for _, v := range slices.Backward(p.reviews) {
			if v.author.login == string(of) && (v.state == "APPROVED" || v.state == "CHANGES_REQUESTED") {
				v.state = "DISMISSED"
				s.tellReview(p, v, who, "dismissed")
				return
			}
		}
		t.Fatalf("%s has no opinion", of)
	})
}

// Statuses are the newest of each context.
func (s *Site) Statuses(t testing.TB, commit string) map[string]forge.Status {
	t.Helper()
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	out := map[string]forge.Status{}
	for _, st := range s.repo.statuses {
		if st.commit == commit {
			address, _ := st.url.(string)
			out[st.context] = forge.Status{Context: st.context, State: forge.StatusState(st.state), Description: st.description, URL: address}
		}
	}
	return out
}

// Reactions are those on a comment.
func (s *Site) Reactions(t testing.TB, number int, id string) []forge.Reaction {
	t.Helper()
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	var out []forge.Reaction
	for _, r := range s.comment(t, number, id).reactions {
		out = append(out, forge.Reaction(r.content))
	}
	return out
}

// Revoke makes a person's token for this site worthless.
func (s *Site) Revoke(t testing.TB, p forgetest.Person) {
	t.Helper()
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	s.w.tokens[s.tokens[p]].revoked = true
}

// Renew gives a person another token.
func (s *Site) Renew(t testing.TB, p forgetest.Person) {
	t.Helper()
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	s.tokens[p] = s.w.grant(s.w.account(string(p), "User"), "ghp_", time.Time{})
}

// CheckRuns are the texts of the check runs of a commit, by name.
func (s *Site) CheckRuns(t testing.TB, commit string) map[string][]string {
	t.Helper()
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	out := map[string][]string{}
	for _, run := range s.repo.checks {
		if run.commit == commit {
			text, _ := run.text.(string)
			summary, _ := run.summary.(string)
			out[run.name] = append(out[run.name], summary+text)
		}
	}
	return out
}
