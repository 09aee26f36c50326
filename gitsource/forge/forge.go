// Package forge is the port to where pull requests live: GitHub, GitLab, Gitea and
// Forgejo.
//
// It says what the pull request loop needs of a forge and no more. What a forge calls a
// merge request is a pull request here. The forge is never asked which files a pull
// request changes: that is read from Git, where no list is cut off.
//
// An adapter is stateless but for caches: everything can be asked again. Every method
// is one exchange, or one per page, and may be repeated after an error with [Wait].
// Adapters retry what is safe to retry by themselves, and wait out short limits; what
// comes back as an error has been tried.
//
//	forge  ◀── pullrequest (the loop)
//	  ▲
//	  └─────── github, gitlab, gitea
package forge

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// Kind is which program the forge runs.
type Kind string

// The kinds.
const (
	GitHub Kind = "github"
	GitLab Kind = "gitlab"
	Gitea  Kind = "gitea" // Forgejo too
)

// State is how a pull request stands.
type State string

// The states. A merged pull request is not Closed.
const (
	Open   State = "open"
	Closed State = "closed"
	Merged State = "merged"
)

// PullRequest is a pull request as the forge tells it.
type PullRequest struct {
	Number int    `json:"number"`
	Title  string `json:"title"`
	// URL is its page.
	URL string `json:"url"`
	// RepositoryID is the forge's id of the repository that it is in, which stays when
	// that is given another name; "" when the forge does not tell.
	RepositoryID string `json:"repositoryId,omitempty"`
	Author       User   `json:"author"`
	State        State  `json:"state"`
	Draft        bool   `json:"draft,omitempty"`
	// Head is the commit that is proposed; HeadBranch its branch.
	Head       string `json:"head"`
	HeadBranch string `json:"headBranch"`
	// HeadRef is where the base repository has Head, for a fetch: "refs/pull/7/head".
	HeadRef string `json:"headRef"`
	// Fork tells that the head's repository is another one, or gone.
	Fork bool `json:"fork,omitempty"`
	// BaseBranch is the branch that it would be merged into.
	BaseBranch string `json:"baseBranch"`
	// MergeCommit is the commit that a merge made on BaseBranch; "" before.
	MergeCommit string    `json:"mergeCommit,omitempty"`
	UpdatedAt   time.Time `json:"updatedAt"`
}

// User is an account of the forge.
type User struct {
	Login string `json:"login"`
	// ID is the forge's number of the account, which no other account ever gets, as a
	// login may; "" when the forge does not tell.
	ID string `json:"id,omitempty"`
	// Bot tells that no person is behind it, as far as the forge knows.
	Bot bool `json:"bot,omitempty"`
}

// Comment is a comment in a pull request's conversation.
type Comment struct {
	// ID is the forge's, unique within the repository.
	ID        string    `json:"id"`
	Author    User      `json:"author"`
	Body      string    `json:"body"`
	URL       string    `json:"url"`
	CreatedAt time.Time `json:"createdAt"`
	// EditedAt is the zero time when the comment is as it was written. A forge that
	// does not tell edits apart gives the time of the last update when that is later
	// than CreatedAt.
	EditedAt time.Time `json:"editedAt,omitzero"`
}

// WrittenAt is when the body came to be as it is.
func (c Comment) WrittenAt() time.Time {
	if c.EditedAt.After(c.CreatedAt) {
		return c.EditedAt
	}
	return c.CreatedAt
}

// Reaction is an emoji on a comment.
type Reaction string

// The reactions.
const (
	Eyes       Reaction = "eyes"     // 👀 seen
	Rocket     Reaction = "rocket"   // 🚀 begun
	ThumbsUp   Reaction = "+1"       // 👍 done
	ThumbsDown Reaction = "-1"       // 👎 done, and the answer is no
	Confused   Reaction = "confused" // 😕 not understood, or not allowed
)

// ReviewState is what a review says.
type ReviewState string

// The states that matter. Others are left out.
const (
	Approved         ReviewState = "approved"
	ChangesRequested ReviewState = "changes-requested"
)

// Review is a person's review that is in force: dismissed ones and those that a newer
// one of the same person replaced are left out.
type Review struct {
	ID     string      `json:"id"`
	Author User        `json:"author"`
	State  ReviewState `json:"state"`
	// Commit is the head that was reviewed; "" when the forge does not tell.
	Commit string    `json:"commit,omitempty"`
	At     time.Time `json:"at"`
}

// StatusState is the heart of a commit status.
type StatusState string

// The states of a commit status.
const (
	Pending StatusState = "pending"
	Success StatusState = "success"
	Failure StatusState = "failure"
	Error   StatusState = "error"
)

// Status is a commit status. One with the same context replaces an older one.
type Status struct {
	// Context names it: "reeve/plan", "reeve/apply: prod".
	Context string      `json:"context"`
	State   StatusState `json:"state"`
	// Description is one line, cut by the adapter to what the forge takes.
	Description string `json:"description"`
	// URL is where to read more; may be "".
	URL string `json:"url,omitempty"`
}

// Permission is what an account may do with the repository.
type Permission string

// The permissions, least first.
const (
	None  Permission = "none"
	Read  Permission = "read"
	Write Permission = "write"
	Admin Permission = "admin"
)

// Limits are what the forge takes.
type Limits struct {
	// CommentBytes is the longest body of a comment, counted in bytes after UTF-8
	// encoding, with a margin for forges that count otherwise.
	CommentBytes int
	// Folds tells whether <details> is rendered; Mermaid whether fenced mermaid
	// blocks are drawn.
	Folds, Mermaid bool
}

// Repository is one repository on a forge: what the loop works with. It is safe for
// concurrent use.
type Repository interface {
	Kind() Kind
	// Name is "owner/name" as the forge writes it.
	Name() string
	Limits() Limits
	// Self is the account that the credentials stand for. A GitHub App is "slug[bot]".
	Self(ctx context.Context) (User, error)

	// OpenPullRequests lists the open pull requests, every page, in no order. When
	// nothing has changed since the last call it costs one conditional request where
	// the forge has such.
	OpenPullRequests(ctx context.Context) ([]PullRequest, error)
	// PullRequest returns one, [ErrNotFound] when there is none.
	PullRequest(ctx context.Context, number int) (PullRequest, error)
	// Comments lists the comments written or edited since a time (zero: all), oldest
	// first, every page. Some from before may be among them.
	Comments(ctx context.Context, number int, since time.Time) ([]Comment, error)
	// Comment returns one comment as it is now.
	Comment(ctx context.Context, number int, id string) (Comment, error)
	// CreateComment writes a comment. It is not repeated when its outcome is unknown:
	// the error is then [ErrUnknownOutcome], and the caller looks for what it wrote.
	CreateComment(ctx context.Context, number int, body string) (Comment, error)
	// EditComment replaces a body and returns the comment as the forge's answer has it. It
	// fails with [ErrNotFound] when the comment was deleted.
	EditComment(ctx context.Context, number int, id, body string) (Comment, error)
	// React puts a reaction on a comment; doing so twice is like once.
	React(ctx context.Context, number int, comment string, r Reaction) error
	// SetStatus sets a commit status.
	SetStatus(ctx context.Context, commit string, s Status) error
	// Reviews lists the reviews that are in force.
	Reviews(ctx context.Context, number int) ([]Review, error)
	// Permission tells what an account may do; None for one that does not exist.
	Permission(ctx context.Context, login string) (Permission, error)

	// Webhooks lists the webhooks that deliver to an address.
	Webhooks(ctx context.Context, url string) ([]Webhook, error)
	// SetWebhook creates a webhook (id "") or replaces its address and secret. It
	// asks for exactly the events that ParseWebhook understands.
	SetWebhook(ctx context.Context, id, url, secret string) (Webhook, error)
}

// Contributors is what a [Repository] may offer besides: whose the commits of a pull
// request are.
type Contributors interface {
	// Contributors are the accounts that the forge knows behind any of these commits of
	// a pull request, each once: who has an author's or committer's address, or who
	// pushed it. A forge does not know them all.
	Contributors(ctx context.Context, number int, commits []string) ([]User, error)
}

// Accounts is what a [Repository] may offer besides: who a login is.
type Accounts interface {
	// Account returns the account that has a login now, [ErrNotFound] when none has.
	Account(ctx context.Context, login string) (User, error)
}

// LongTexts is what a [Repository] may offer besides: a place on the forge for text that
// is too long for a comment.
type LongTexts interface {
	// LongTextBytes is how much Markdown there is room for.
	LongTextBytes() int
	// LongText shows Markdown beside a commit under a name and returns its page. A
	// second text of the same name replaces the first. What the place does not take is
	// cut off, and says so. It fails with [errors.ErrUnsupported] when the credentials
	// give no such place.
	LongText(ctx context.Context, commit, name, markdown string) (url string, err error)
}

// Webhook is a registered webhook.
type Webhook struct {
	ID     string
	URL    string
	Active bool
}

// Topic is what a delivery is about.
type Topic string

// The topics.
const (
	TopicPing        Topic = "ping"
	TopicPush        Topic = "push"
	TopicPullRequest Topic = "pull-request"
	TopicComment     Topic = "comment"
	TopicReview      Topic = "review"
	// TopicOther is a delivery that nobody here needs.
	TopicOther Topic = "other"
)

// Delivery is a webhook's delivery, its signature verified. It is a hint to look and
// never the truth: what it says is asked of the forge before anything is done.
type Delivery struct {
	// ID is the forge's; deliveries that are repeated have the same. When a forge
	// gives none it is a hash of topic and body.
	ID    string
	Topic Topic
	// Repository is "owner/name" as the payload has it.
	Repository string
	// Number is the pull request; 0 for a push and a ping.
	Number int
	// Head is the head that the delivery of a TopicPullRequest names; the forge's API may
	// not tell of it yet.
	Head string
	// Branch is what was pushed to, for TopicPush.
	Branch string
	// Comment is the id of the comment for TopicComment, and Created tells that it
	// was just written.
	Comment string
	Created bool
}

// WebhookParser verifies and reads deliveries of one kind of forge.
type WebhookParser interface {
	// ParseWebhook checks the delivery's signature or token against every secret, in
	// constant time, and reads it. It fails with [ErrSignature] when none fits. It
	// does no I/O.
	ParseWebhook(header http.Header, body []byte, secrets []string) (Delivery, error)
}

// ErrNotFound means that there is no such pull request, comment or repository, or
// that the credentials may not see it: forges do not tell the two apart.
var ErrNotFound = errors.New("not found on the forge")

// ErrSignature means that a delivery was not signed with any secret.
var ErrSignature = errors.New("the webhook's signature does not fit any secret")

// ErrUnknownOutcome means that a write may or may not have happened.
var ErrUnknownOutcome = errors.New("the forge's answer was lost; the write may have happened")

// Class says what to do after an error.
type Class string

// The classes.
const (
	// Wait is the forge's or the network's trouble, or a limit: try again later.
	Wait Class = "wait"
	// Person is for somebody to mend: credentials, rights, a wrong name.
	Person Class = "person"
	// Bug is a request that the forge says it does not understand.
	Bug Class = "bug"
)

// CallError is an exchange with a forge that failed. Its text holds no credentials and
// at most one line of what the forge said.
type CallError struct {
	// Call is what was done: "create a comment".
	Call string
	// Status is the HTTP status; 0 when there was no answer.
	Status int
	Class  Class
	// RetryAfter is how long the forge wants to be left alone; 0 when it did not say.
	RetryAfter time.Duration
	Err        error
}

// Error says what was done and why it failed.
func (e *CallError) Error() string {
	if e.Status != 0 {
		return fmt.Sprintf("%s: HTTP %d: %v", e.Call, e.Status, e.Err)
	}
	return fmt.Sprintf("%s: %v", e.Call, e.Err)
}

// Unwrap gives the cause.
func (e *CallError) Unwrap() error { return e.Err }
