package gitsource

import (
	"context"
	"errors"
)

// ErrHeadMoved is returned when a head's ref is at another commit than was expected: a newer one, or
// one that the forge has not brought up to date yet. The text names both.
var ErrHeadMoved = errors.New("the head moved")

// ErrNoHead is returned when the remote has no such ref: the branch was deleted, or the
// forge has not made it yet.
var ErrNoHead = errors.New("the head is not there")

// ErrMalformed is returned for a commit whose files cannot be read, today or later: a tree
// of it names an entry as no file can be named.
var ErrMalformed = errors.New("the tree names an entry as no file can be named")

// ErrNoProposals is returned by a source that has no commits to merge.
var ErrNoProposals = errors.New("proposals need commits, and this repository is followed without them")

// Head is what somebody wants merged.
type Head struct {
	// Name names the ref that keeps its merge in the mirror: letters, digits and dashes,
	// such as "7".
	Name string
	// Ref is its full name in the remote: "refs/pull/7/head".
	Ref string
	// Commit is what is expected there; "" takes what is.
	Commit string
}

// Merge is what merging a head into the followed branch makes.
type Merge struct {
	// Base is the tip of the followed branch, as Poll would give it, and Head what was
	// merged into it.
	Base, Head Revision
	// Revision is the merge. Its commit exists here only, and is the same for equal base
	// and head. It is zero when there is none (Refused); when the head is contained in the
	// base it is Base.
	Revision Revision
	// Conflicts are the paths that cannot be merged, sorted.
	Conflicts []string
	// Refused says in words why there is no merge: conflicts, no common history, or a merge that
	// takes too long. "" when there is one.
	Refused string
	// MergeBase is a commit from which both went their ways; "" when there is none.
	MergeBase string
}

// Authored is a commit and who it says wrote it.
type Authored struct {
	Commit string
	// Emails are in lower case, each once.
	Emails []string
}

// Proposals merges what is proposed, without a work tree. Sources implement it; one that
// has no commits (a folder in worktree mode) returns ErrNoProposals. It is safe for concurrent use, and beside the source's other methods.
type Proposals interface {
	// Merge fetches base and head in one exchange with the remote and merges them.
	// The followed branch may move by it: the next Poll tells so, as if it had
	// fetched it. Source.Snapshot opens what it returns, now and in a later life; when the
	// copy of the repository was lost in between, another Merge of the same commits
	// makes the same commit. An error is a *FetchError, which may be an
	// ErrHeadMoved or ErrNoHead; that something cannot be merged is none (Merge.Refused).
	Merge(ctx context.Context, h Head) (Merge, error)
	// Contains tells whether ancestor is in the history of commit, or is commit. Nothing is fetched: an
	// ancestor that is not here is in no history that is; a commit that is not is an error.
	Contains(ctx context.Context, commit, ancestor string) (bool, error)
	// Authors finds who wrote what head has and base has not, the newest first: of each commit
	// the addresses of author, committer and co-authors. A merge that Git makes of its
	// parents by itself is left out: nobody wrote it; one in which a person settled or added
	// something is not. Nothing is fetched: for a commit that is not here it fails with
	// ErrNoHead. Addresses are what the commits say, and nobody has checked them.
	Authors(ctx context.Context, base, head string) ([]Authored, error)
	// Forget drops the ref that keeps a head's merge. It is no error when there is none.
	Forget(ctx context.Context, name string) error
}
