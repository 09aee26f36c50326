// Package pull holds the nouns of a pull request to a config repository: what is
// remembered of it, the rounds of plans that were made for it, the commands that
// people wrote, and what was posted.
//
//	open ─▶ landing ─▶ done          (merged: the daemon carries it out)
//	   └──▶ done                     (closed without a merge)
//
// A pull request is reconciled like everything else: from what the forge says and what
// is recorded, the loop derives what should be planned and what should stand in the
// pull request, and makes it so. Nothing depends on which event told it to look.
//
// The package is pure.
package pull

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/schema"
)

// Key names a pull request: the config repository's name in the configuration and the
// forge's number.
type Key struct {
	Repository string `json:"repository"`
	Number     int    `json:"number"`
}

// String is "infra#7".
func (k Key) String() string { return fmt.Sprintf("%s#%d", k.Repository, k.Number) }

// ParseKey reads what String wrote.
func ParseKey(s string) (Key, bool) {
	i := strings.LastIndexByte(s, '#')
	if i < 1 {
		return Key{}, false
	}
	n, err := strconv.Atoi(s[i+1:])
	return Key{Repository: s[:i], Number: n}, err == nil && n > 0
}

// IsZero tells whether it names nothing.
func (k Key) IsZero() bool { return k == Key{} }

// Phase is where a pull request is on its way.
type Phase string

// The phases.
const (
	Open    Phase = "open"    // it is planned and may be approved
	Landing Phase = "landing" // it was merged, and its jobs have not all ended
	Done    Phase = "done"    // nothing is left to do for it
)

// Proposal is what the forge says of it, as far as it matters.
type Proposal struct {
	Title string `json:"title"`
	URL   string `json:"url"`
	// Author is a login of the forge, AuthorID its account's number; "" when the forge
	// does not tell.
	Author   string `json:"author"`
	AuthorID string `json:"authorId,omitempty"`
	Draft    bool   `json:"draft,omitempty"`
	Fork     bool   `json:"fork,omitempty"`
	// Head is the proposed commit and HeadRef where it can be fetched from.
	Head       string `json:"head"`
	HeadRef    string `json:"headRef"`
	BaseBranch string `json:"baseBranch"`
	// Merged and Closed say how it ended; MergeCommit is what a merge made. Elsewhere tells
	// that it goes into another branch than the one that is followed: it is Closed then,
	// whatever the forge says, and never Merged.
	Merged      bool      `json:"merged,omitempty"`
	Closed      bool      `json:"closed,omitempty"`
	Elsewhere   bool      `json:"elsewhere,omitempty"`
	MergeCommit string    `json:"mergeCommit,omitempty"`
	UpdatedAt   time.Time `json:"updatedAt,omitzero"`
}

// Pull is all that is remembered of a pull request.
type Pull struct {
	Key   Key   `json:"key"`
	Phase Phase `json:"phase"`
	// Origin is the repository on the forge that it is in. The key names that of the
	// configuration, which may come to stand for another one.
	Origin   string   `json:"origin,omitempty"`
	Proposal Proposal `json:"proposal"`
	// Round is the newest round of plans; nil before the first.
	Round *Round `json:"round,omitempty"`
	// Allowed is who let the code of a head run that does not run by itself.
	Allowed *Allowed `json:"allowed,omitempty"`
	// Commands are those that were read, oldest first.
	Commands []Command `json:"commands,omitempty"`
	// CommentsSince is where reading of comments goes on.
	CommentsSince time.Time `json:"commentsSince,omitzero"`
	// Shown is what people could see when, oldest first: an approval is for what was
	// shown when it was written.
	Shown []Shown `json:"shown,omitempty"`
	// Showing is what is about to be shown, or stands there already: then the answer of
	// the forge was not heard. nil for nothing.
	Showing *Showing `json:"showing,omitempty"`
	// ClosedAt is by when it was last closed without a merge, by the forge's clock: nothing
	// that was written before is an answer to what stands here since.
	ClosedAt time.Time `json:"closedAt,omitzero"`
	// Doubts are the times in which somebody else's text may have stood in the living
	// comment, oldest first.
	Doubts []Doubt `json:"doubts,omitempty"`
	// Applies are those that were asked for before the merge, oldest first.
	Applies []Apply `json:"applies,omitempty"`
	// Freed are stacks whose turn ended without a merge and that are to be told of.
	Freed []schema.ResourceKey `json:"freed,omitempty"`
	// ByReview tells that a policy counts the forge's own reviews here; Reviewed are
	// those that were counted.
	ByReview bool       `json:"byReview,omitempty"`
	Reviewed []Reviewed `json:"reviewed,omitempty"`
	// Answers are those to commands that were not posted yet.
	Answers []Spoken `json:"answers,omitempty"`
	// Told are those without a say here whose commands were answered since the head ToldOf was
	// proposed, and ToldInAll how many replies they all got here.
	Told      []Told `json:"told,omitempty"`
	ToldOf    string `json:"toldOf,omitempty"`
	ToldInAll int    `json:"toldInAll,omitempty"`
	// Posts are the comments that were written, by what they are.
	Posts []Post `json:"posts,omitempty"`
	// Statuses are the commit statuses that were set.
	Statuses []Status `json:"statuses,omitempty"`
	// Long is the text beside a commit for which the living comment has no room.
	Long Long `json:"long,omitzero"`
	// ContainedSince is when the head was found in the base though the forge says that
	// it is open.
	ContainedSince time.Time `json:"containedSince,omitzero"`
	// Landed is the commit of the followed branch that was compared with this pull
	// request in it; "" before.
	Landed string `json:"landed,omitempty"`
	// LandedAt is when that was noticed.
	LandedAt  time.Time `json:"landedAt,omitzero"`
	CreatedAt time.Time `json:"createdAt"`
	UpdatedAt time.Time `json:"updatedAt"`
}

// Allowed is a person's word that the code of one head may run.
type Allowed struct {
	Head string         `json:"head"`
	By   stackjob.Actor `json:"by"`
	At   time.Time      `json:"at"`
}

// Round is one set of plans: of one head merged into one base.
type Round struct {
	// Number grows by one with each round.
	Number int `json:"number"`
	// Head and Base are the commits, Merge the commit that a merge of them makes; ""
	// when there is none.
	Head  string `json:"head"`
	Base  string `json:"base"`
	Merge string `json:"merge,omitempty"`
	// Refused says why nothing was planned: the merge has conflicts, the author has
	// no right, the tree cannot be read. Conflicts are the paths.
	Refused   stackjob.Reason `json:"refused,omitzero"`
	Conflicts []string        `json:"conflicts,omitempty"`
	// Errors and Warnings count the diagnostics of the merged tree, Report is their
	// text.
	Errors   int    `json:"errors,omitempty"`
	Warnings int    `json:"warnings,omitempty"`
	Report   string `json:"report,omitempty"`
	// Policies are those that the merge makes others, sorted by name.
	Policies []PolicyMove `json:"policies,omitempty"`
	// Engines are those that the merge asks for and that are not there.
	Engines []EngineLack `json:"engines,omitempty"`
	// Rows are the affected resources, in graph order.
	Rows      []Row     `json:"rows,omitempty"`
	StartedAt time.Time `json:"startedAt"`
	// Authors are those of the commits that AuthorsOf names ("base..head"), besides who
	// opened the pull request: found when somebody first approves a plan of them.
	Authors   []Author `json:"authors,omitempty"`
	AuthorsOf string   `json:"authorsOf,omitempty"`
	// Stale tells that something was applied since, from this pull request or to one of
	// its stacks: the others are to be planned again.
	Stale bool `json:"stale,omitempty"`
}

// PolicyMove is a policy that is another after the merge: what it says, or who is meant.
type PolicyMove struct {
	Policy string `json:"policy"` // as PolicyChoice.Name
	File   string `json:"file"`
	How    string `json:"how"` // a few words: "is changed"
}

// EngineLack is an engine that stacks ask for and that cannot be had where the daemon runs:
// their next job would fail.
type EngineLack struct {
	// Of are the stacks, sorted.
	Of []schema.ResourceKey `json:"of"`
	// Why says what is asked for and where, what is there, and how to get the engine.
	Why string `json:"why"`
}

// Author is one who wrote, committed or pushed a part of what is proposed.
type Author struct {
	// Email is the address in a commit, in lower case; "" when the forge named the
	// account.
	Email string `json:"email,omitempty"`
	// Login is the forge's account, ID its number; "" when the forge does not tell.
	Login string `json:"login,omitempty"`
	ID    string `json:"id,omitempty"`
	// Commit is the newest one that has the address; "" with a login.
	Commit string `json:"commit,omitempty"`
}

// Row is one affected resource of a round.
type Row struct {
	Key    schema.ResourceKey `json:"key"`
	Action stackjob.Action    `json:"action"`
	// Engine is what it is to be planned with; "" where nothing is to be planned.
	Engine schema.Provisioner `json:"engine,omitempty"`
	// Because is why it is affected.
	Because []stackjob.Because `json:"because,omitempty"`
	// Job is the plan-only job; "" when none was made. It may be one of an earlier
	// round whose inputs were the same (Reused).
	Job    stackjob.JobID `json:"job,omitempty"`
	Reused bool           `json:"reused,omitempty"`
	// Deferred names the producer that must be applied before this can be planned.
	Deferred *schema.ResourceKey `json:"deferred,omitempty"`
	// Reads are the outputs that it reads of other rows. When their plans move one, its
	// own plan is of a value that will not hold, and counts for nothing.
	Reads []Read `json:"reads,omitempty"`
	// MovedFrom is the file that its document was in before, when only that changed.
	MovedFrom string `json:"movedFrom,omitempty"`
	// After are the rows that must be applied before this one.
	After []schema.ResourceKey `json:"after,omitempty"`
	// Unchanged tells that what is recorded is as this wants it already.
	Unchanged bool `json:"unchanged,omitempty"`
	// Observed is the job that had made the stack what it was when this was planned; ""
	// for none.
	Observed stackjob.JobID `json:"observed,omitempty"`
	// Basis is a hash over all that the plan is made of: equal ones give equal plans.
	Basis string `json:"basis,omitempty"`
	// Error says why there is no job: the module cannot be had, the policy forbids
	// it.
	Error stackjob.Reason `json:"error,omitzero"`
}

// Read is an output that a row reads.
type Read struct {
	Of   schema.ResourceKey `json:"of"`
	Path string             `json:"path"`
}

// Row returns the row of a resource, or nil.
func (r *Round) Row(key schema.ResourceKey) *Row {
	if r == nil {
		return nil
	}
	for i := range r.Rows {
		if r.Rows[i].Key == key {
			return &r.Rows[i]
		}
	}
	return nil
}

// Shown is what stood in the pull request from a time on.
type Shown struct {
	// At is the forge's time of the edit.
	At    time.Time `json:"at"`
	Round int       `json:"round"`
	// Head is the proposed commit that the plans were made of.
	Head string `json:"head,omitempty"`
	// Plans are the digests by resource.
	Plans []ShownPlan `json:"plans"`
}

// Doubt is a time in which somebody else's text may have stood in the living comment: from
// what the daemon last wrote there until it wrote anew, by the forge's clock.
type Doubt struct {
	From time.Time `json:"from"`
	// To is the zero time as long as that lasts.
	To time.Time `json:"to,omitzero"`
}

// keptDoubts is how many are remembered.
const keptDoubts = 20

// Doubt begins a doubt, unless one lasts.
func (p *Pull) Doubt(from time.Time) {
	if n := len(p.Doubts); n > 0 && p.Doubts[n-1].To.IsZero() {
		return
	}
	p.Doubts = append(p.Doubts, Doubt{From: from})
	p.Doubts = p.Doubts[max(0, len(p.Doubts)-keptDoubts):]
}

// Settle ends the doubt that lasts: the daemon's own text stands there since.
func (p *Pull) Settle(at time.Time) {
	if n := len(p.Doubts); n > 0 && p.Doubts[n-1].To.IsZero() {
		p.Doubts[n-1].To = at
	}
}

// Doubted tells whether nobody knows what stood in the pull request when something was
// written. Forges tell no more than seconds: that of the end is in doubt, too.
func (p *Pull) Doubted(t time.Time) bool {
	t = t.Truncate(time.Second)
	return slices.ContainsFunc(p.Doubts, func(d Doubt) bool {
		return !t.Before(d.From.Truncate(time.Second)) && (d.To.IsZero() || !t.After(d.To.Truncate(time.Second)))
	})
}

// Showing is what a body shows that is about to be written.
type Showing struct {
	// Body is the body's digest. Shown has no time yet.
	Body string `json:"body"`
	Shown
}

// ShownPlan is one plan that people could see.
type ShownPlan struct {
	Key    schema.ResourceKey `json:"key"`
	Digest string             `json:"digest"`
	Job    stackjob.JobID     `json:"job"`
	// Approved tells that it had all the approvals that it needed.
	Approved bool `json:"approved,omitempty"`
}

// Seen tells which plan of a resource stood in the pull request when a comment was
// written; "" when none did. certain is false when it changed in the very second of the
// comment: forges tell no more than seconds, and then nobody knows what its writer saw.
func (p *Pull) Seen(key schema.ResourceKey, t time.Time) (digest string, certain bool) {
	t = t.Truncate(time.Second)
	certain = true
	for _, s := range p.Shown {
		at := s.At.Truncate(time.Second)
		if at.After(t) {
			break
		}
		i := slices.IndexFunc(s.Plans, func(p ShownPlan) bool { return p.Key == key })
		is := ""
		if i >= 0 {
			is = s.Plans[i].Digest
		}
		if at.Equal(t) && is != digest {
			certain = false
		}
		digest = is
	}
	return digest, certain
}

// SeenHead tells which commit stood in the pull request when a comment was written; ""
// when none did. certain is as in [Pull.Seen].
func (p *Pull) SeenHead(t time.Time) (head string, certain bool) {
	t = t.Truncate(time.Second)
	certain = true
	for _, s := range p.Shown {
		at := s.At.Truncate(time.Second)
		if at.After(t) {
			break
		}
		certain = !at.Equal(t) || s.Head == head && certain
		head = s.Head
	}
	return head, certain
}

// CommandState is how far a command came.
type CommandState string

// The states of a command.
const (
	Received CommandState = "received" // written down; the forge may not know yet
	Started  CommandState = "started"  // what it asks for is under way
	Ended    CommandState = "ended"
)

// Answer is how a command ended.
type Answer string

// The answers.
const (
	Yes      Answer = "yes"      // 👍 done
	No       Answer = "no"       // 👎 understood and not done
	Confused Answer = "confused" // 😕 not understood or not allowed
)

// Command is one that a person wrote.
type Command struct {
	// Comment is the id of the comment; Line is which line of it, from 0: a comment
	// may hold several.
	Comment string         `json:"comment"`
	Line    int            `json:"line"`
	Text    string         `json:"text"`
	By      stackjob.Actor `json:"by"`
	// WrittenAt is the forge's time.
	WrittenAt time.Time    `json:"writtenAt"`
	State     CommandState `json:"state"`
	Answer    Answer       `json:"answer,omitempty"`
	// Reason is one line for whoever wrote it.
	Reason string `json:"reason,omitempty"`
	// Reacted is the newest reaction that the forge has confirmed.
	Reacted string `json:"reacted,omitempty"`
	// Unseen has no mark put on its comment before it has ended, and Silent none at all.
	Unseen  bool      `json:"unseen,omitempty"`
	Silent  bool      `json:"silent,omitempty"`
	EndedAt time.Time `json:"endedAt,omitzero"`
}

// Told is how often somebody was answered: with a reply, and without.
type Told struct {
	By      string `json:"by"`
	Replies int    `json:"replies,omitempty"`
	Quiet   int    `json:"quiet,omitempty"`
}

// Spoken is an answer that is to be posted.
type Spoken struct {
	// Name is the post's.
	Name string `json:"name"`
	// Comment and Line are those of the command. Where the comment holds others too, Name is
	// of one post for all of them, and this is kept until the last has ended.
	Comment string `json:"comment,omitempty"`
	Line    int    `json:"line,omitempty"`
	Command string `json:"command"`
	To      string `json:"to"`
	Answer  Answer `json:"answer"`
	Reason  string `json:"reason,omitempty"`
	Text    string `json:"text,omitempty"`
}

// Post is a comment of ours.
type Post struct {
	// Name is what it is: "plan" is the living comment, others are written once:
	// "outcome-3", "answer-12345".
	Name string `json:"name"`
	// ID is the forge's; "" when it is about to be written, or may have been: then
	// the forge is asked first for a comment with its mark.
	ID string `json:"id,omitempty"`
	// Digest is of the body that stands there.
	Digest string `json:"digest,omitempty"`
	// Plain is of that body without what forges change in one. Exact tells that the forge
	// gives back what it was given, so that a body that is another was changed.
	Plain string `json:"plain,omitempty"`
	Exact bool   `json:"exact,omitempty"`
	// Edited is the forge's time of what the daemon last wrote there, as the forge's answer
	// had it. Dated tells that the forge goes on telling that time, so that a later one is
	// somebody else's edit.
	Edited time.Time `json:"edited,omitzero"`
	Dated  bool      `json:"dated,omitempty"`
	// Next is of the body that is about to stand there, or does already: then the
	// answer of the forge was not heard.
	Next string `json:"next,omitempty"`
	// At is when that was written, by our clock.
	At time.Time `json:"at,omitzero"`
	// Round and State are what the living comment told of last.
	Round int    `json:"round,omitempty"`
	State string `json:"state,omitempty"`
}

// Status is a commit status that was set.
type Status struct {
	Commit  string `json:"commit"`
	Context string `json:"context"`
	State   string `json:"state,omitempty"`
	// Digest is of all that it says.
	Digest string `json:"digest"`
}

// Long is a text that stands beside a commit on the forge.
type Long struct {
	Commit string `json:"commit"`
	// Digest is of the text, URL its page.
	Digest string `json:"digest"`
	URL    string `json:"url"`
}

// Approval is a person's word on one plan of one stack, wherever it is shown next, until
// the pull request ends in which it was given.
type Approval struct {
	Stack schema.ResourceKey `json:"stack"`
	stackjob.Approval
	// Pull is where it was given.
	Pull Key `json:"pull,omitzero"`
	// Review is the forge's review that says so; "" for a person's own word.
	Review string `json:"review,omitempty"`
}

// Delivery is a webhook's delivery in the inbox.
type Delivery struct {
	// Repository is the name in the configuration; ID the forge's id of the delivery.
	Repository string    `json:"repository"`
	ID         string    `json:"id"`
	ReceivedAt time.Time `json:"receivedAt"`
	// Topic, Number, Head, Branch and Comment are what it was about (forge.Delivery).
	Topic   string `json:"topic"`
	Number  int    `json:"number,omitempty"`
	Head    string `json:"head,omitempty"`
	Branch  string `json:"branch,omitempty"`
	Comment string `json:"comment,omitempty"`
}
