// Package forgetest is for tests against forges, real and imitated: a [World] is a
// forge with people in it, and what holds for every forge is one suite (Run).
//
// Three worlds implement it: a real Gitea, and imitations of GitHub and GitLab, which
// cannot run here, whose every answer is checked against the published descriptions of
// their APIs. The end-to-end stories of pull requests run in all three.
package forgetest

import (
	"testing"

	"github.com/stackreeve/stackreeve/gitsource/forge"
)

// Person is an account of a world. Every world has the same ones.
type Person string

// The people.
const (
	// Reeve is the daemon's own account, with write permission and the right to set
	// webhooks.
	Reeve Person = "reeve-bot"
	// Ada and Grace may write; Ada proposes most changes and Grace approves them.
	Ada   Person = "ada"
	Grace Person = "grace"
	// Mallory may read, and fork.
	Mallory Person = "mallory"
)

// World is a running forge.
type World interface {
	Kind() forge.Kind
	// NewSite makes a repository with one commit of files on its default branch
	// "main". Everything of it ends with the test.
	NewSite(t testing.TB, files map[string]string) Site
}

// Site is one repository of a world, and what people do with it. Each method acts as
// a person would and fails the test when the forge refuses, but for those that return
// an error.
type Site interface {
	World() World
	// Name is "owner/name"; URL its page.
	Name() string
	URL() string
	// CloneURL is for git over HTTP, with the credentials of a person in it when one
	// is given.
	CloneURL(as Person) string
	// Token is the API token of a person.
	Token(as Person) string
	// APIURL is the base address that the adapter is configured with; "" for an
	// adapter that needs only URL.
	APIURL() string
	// Repository is the adapter under test, with Reeve's credentials and nothing beneath
	// it that repeats calls.
	Repository(t testing.TB) forge.Repository
	// Parser is the adapter's webhook parser.
	Parser() forge.WebhookParser

	// Push commits files ("" deletes one) on a branch, made from main when it is not
	// there, and pushes it; force makes the branch anew from main. It returns the
	// commit.
	Push(t testing.TB, as Person, branch string, files map[string]string, force bool) string
	// PushFork does so in the person's fork of the repository.
	PushFork(t testing.TB, as Person, branch string, files map[string]string) string
	// Open opens a pull request of a branch into main; fork takes the branch from the
	// person's fork.
	Open(t testing.TB, as Person, branch, title string, fork bool) int
	Close(t testing.TB, as Person, number int)
	Reopen(t testing.TB, as Person, number int)
	// Turn turns it to another branch than the one that it goes into, which is there.
	Turn(t testing.TB, as Person, number int, branch string)
	// Entitle gives it another title.
	Entitle(t testing.TB, as Person, number int, title string)
	// Merge merges with a merge commit and returns it.
	Merge(t testing.TB, as Person, number int) string
	// Comment writes a comment and returns its id.
	Comment(t testing.TB, as Person, number int, body string) string
	EditComment(t testing.TB, as Person, number int, id, body string)
	DeleteComment(t testing.TB, as Person, number int, id string)
	// Comments are the bodies in the conversation, oldest first.
	Comments(t testing.TB, number int) []Said
	// Review writes a review; approve or ask for changes.
	Review(t testing.TB, as Person, number int, approve bool, body string)
	// Statuses are the newest commit statuses of a commit, by context.
	Statuses(t testing.TB, commit string) map[string]forge.Status
	// Reactions are those on a comment.
	Reactions(t testing.TB, number int, id string) []forge.Reaction
	// Revoke makes a person's token worthless.
	Revoke(t testing.TB, p Person)
}

// Said is a comment as people see it.
type Said struct {
	ID   string
	By   string
	Body string
}

// Faults is what a world can do beside, where it is an imitation or stands behind a
// proxy: make the next calls go wrong.
type Faults interface {
	// Fail answers the next n calls that match (method "" and path "" match all; path
	// is a substring) with a status, and Retry-After when seconds is not 0. lost
	// carries the call out and then drops the connection instead.
	Fail(n int, method, path string, status, seconds int, lost bool)
	// Calls counts the API calls since the last time it was asked, by "METHOD".
	Calls() map[string]int
}
