// Package gitsource brings the config repository in: it notices that there is
// something new, fetches it, and hands out commits as read-only file systems.
//
//	Source ──Poll──▶ Revision ──Snapshot──▶ schema.Source ──▶ schema.Load
//
// A repository is a bare mirror of a remote (one round trip when nothing is new), or a
// local folder that is watched. There is never a work tree: deciding what changed
// reads trees, and only changed blobs.
//
// A fetch that fails leaves the last revision in force: [Source.Poll] returns it
// beside the error, and the error has a class that says when to try again.
//
// The package also gets the code of modules ([Modules]): an immutable checkout per
// module and revision, shared by all jobs.
package gitsource

import (
	"context"
	"time"

	"github.com/stackreeve/stackreeve/schema"
)

// Revision names one state of a repository that was seen.
type Revision struct {
	// Repository is the name in the configuration.
	Repository string `json:"repository"`
	// Branch is the branch that is followed; "" for a plain folder.
	Branch string `json:"branch,omitempty"`
	// Commit is the commit's hash, or for a folder that is no Git repository, or has
	// uncommitted changes, "folder:" and a hash of its content.
	Commit string `json:"commit"`
	// Subject, Author and CommittedAt are of the commit.
	Subject     string    `json:"subject,omitempty"`
	Author      string    `json:"author,omitempty"`
	CommittedAt time.Time `json:"committedAt,omitzero"`
}

// Short is the commit as people read it: seven characters, or the folder's mark.
func (r Revision) Short() string {
	c := r.Commit
	const folder = "folder:"
	if len(c) > len(folder) && c[:len(folder)] == folder {
		c = c[len(folder):]
		if len(c) > 7 {
			c = c[:7]
		}
		return folder + c
	}
	if len(c) > 7 {
		c = c[:7]
	}
	return c
}

// Snapshot is one revision's files. It stays valid while the repository is open.
type Snapshot interface {
	schema.Source
	Revision() Revision
}

// ErrorClass says what to do after a failed fetch.
type ErrorClass string

// The classes: ClassWait is retried with back-off (network, 5xx, 429), ClassPerson
// is retried slowly and shown (credentials, missing repository or branch).
const (
	ClassWait   ErrorClass = "wait"
	ClassPerson ErrorClass = "person"
)

// FetchError is a fetch that failed. Text never holds credentials.
type FetchError struct {
	Repository string
	Class      ErrorClass
	// RetryAfter is the server's wish, if it had one.
	RetryAfter time.Duration
	Err        error
}

// Error names the repository and what went wrong.
func (e *FetchError) Error() string { return "fetch " + e.Repository + ": " + e.Err.Error() }

// Unwrap gives the cause.
func (e *FetchError) Unwrap() error { return e.Err }

// Source is one config repository, however it is reached: a gitmirror.Source or a
// folder.Source. It is safe for concurrent use.
type Source interface {
	// Name is the name in the configuration.
	Name() string
	// Poll looks once. changed tells whether the revision is another than at
	// the last Poll that succeeded. A *FetchError leaves the last one in force.
	Poll(ctx context.Context) (r Revision, changed bool, err error)
	// Watch calls notice whenever something may be new (file watch), until ctx
	// ends. A remote repository never calls.
	Watch(ctx context.Context, notice func()) error
	// Snapshot opens a revision that Poll returned, now or in an earlier life.
	Snapshot(ctx context.Context, r Revision) (Snapshot, error)
	// Close releases files. Snapshots end with it.
	Close() error
}

// Checkout is a module's code on disk: immutable, shared.
type Checkout struct {
	// Root is the folder that holds everything the module may refer to; Path the
	// module's folder below it, slash-separated ("." when it is the root).
	Root, Path string
}

// Modules gets module code.
type Modules interface {
	// Revision tells which content src means now: the commit that its ref names, or for a
	// folder of the config repository a hash over that folder and every local
	// module that it refers to. It costs no checkout; remote refs are asked at most
	// once per interval.
	Revision(ctx context.Context, snap Snapshot, src schema.ModuleSource) (string, error)
	// Checkout returns the code at a revision that Revision returned, now or in an
	// earlier life. repository and commit name the config repository's state for local
	// sources.
	Checkout(ctx context.Context, repository, commit string, src schema.ModuleSource, revision string) (Checkout, error)
}
