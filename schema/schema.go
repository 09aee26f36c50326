// Package schema is the language of the config repository: it loads one commit,
// given as an fs.FS, into a [Tree] of typed, immutable documents in which every
// value knows its position, and reports every mistake as a [diag.Diagnostic].
//
// The layout of a repository is its first statement:
//
//	platform.yaml              platform-wide policies, components and modules, as
//	policies/ components/ …    in reserved folders at the root
//	acme/                      an Organization
//	  organization.yaml        optional: kind Organization
//	  policies/ components/ …  reserved folders: org-level documents (see ReservedFolders)
//	  dev/                     any other folder is an Environment
//	    network.yaml           Cloud Resources, any number of documents and sub-folders
//
// Documents have the Kubernetes shape (apiVersion, kind, metadata, spec). The
// kind alone decides what a document is; apiVersions of every published
// generation are aliases. Planton's manifests load as they are.
//
// Loading never stops at the first mistake. A tree with errors is still returned:
// [Tree.Frozen] names the folders in which nothing may be changed because of
// them, and the rest goes on.
//
// The package is pure: it reads only the fs.FS it is given, and knows neither
// clock nor network. It does not decide what to do with the tree (see
// reconciler/diff) nor who may (see reconciler/flowcontrol).
package schema

import (
	"context"
	"errors"
	"io/fs"
	"iter"

	"github.com/stackreeve/stackreeve/schema/diag"
)

// ReservedFolders are the folder names below an organization that hold org-level
// documents and so can never be environments.
var ReservedFolders = []string{"teams", "connections", "policies", "components", "modules", "charts", "services", "templates"}

// Blob is one file of a commit. Equal hashes mean equal content.
type Blob struct {
	Path string
	Hash string
	Size int64
	Mode fs.FileMode // regular, executable or symlink
}

// PathChange is a path that differs between two trees. An empty Hash means that
// the file is not there.
type PathChange struct {
	Path    string
	OldHash string
	NewHash string
}

// ErrUnknownTree is returned by [Source.Changes] when the earlier tree cannot be
// compared; the loader then lists the whole tree.
var ErrUnknownTree = errors.New("unknown tree")

// Source is what a tree is loaded from: the files of one commit, with their
// hashes, so that a later load reads only what changed. gitsource.Snapshot is
// one; [FromFS] makes one of any fs.FS. Paths are slash-separated and relative
// to the root; hidden folders (".git") are not part of it.
type Source interface {
	fs.FS
	// TreeHash identifies the whole content.
	TreeHash() string
	// Blobs yields every file in path order. A non-nil error ends it.
	Blobs() iter.Seq2[Blob, error]
	// Changes lists the paths in which this source differs from the one with
	// the given TreeHash, in path order, or fails with ErrUnknownTree.
	Changes(from string) ([]PathChange, error)
	// FolderHash is the hash of a folder's whole content ("" and false when
	// there is no such folder). It is the revision of a module kept there. The
	// folder "" is the root.
	FolderHash(folder string) (string, bool)
}

// Options set the limits of a load. The zero value means the documented defaults.
type Options struct {
	// MaxFileBytes is the largest file that is read; default 10 MiB. A larger
	// one is a diagnostic.
	MaxFileBytes int64
	// MaxAliasNodes is how many nodes the aliases of one document may expand
	// to; default 100,000. More is a diagnostic, not a slow load.
	MaxAliasNodes int
}

// Loader loads trees and remembers the parsed documents of the last one by blob
// hash, so that loading the next commit costs what changed. It is safe for
// concurrent use; loads run one after another.
type Loader struct{ loader }

// NewLoader returns a loader with an empty cache.
func NewLoader(o Options) *Loader { return newLoader(o) }

// Load returns the tree of src with all its diagnostics (Tree.Diagnostics); for the
// TreeHash of the last load it is the same tree. The
// error says only that src could not be read; then there is no tree and the last
// good one stays in force.
func (l *Loader) Load(ctx context.Context, src Source) (*Tree, error) { return l.load(ctx, src) }

// Diagnostics lists everything found wrong with the tree, sorted.
func (t *Tree) Diagnostics() diag.List { return t.diagnostics }
