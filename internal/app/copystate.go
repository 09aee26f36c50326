package app

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/stackreeve/stackreeve/reconciler"
	"github.com/stackreeve/stackreeve/schema"
)

// copyState copies a stack's local state, if it has one, without what lies beside it:
// backups, a history, the locks of a job that is at work. Its engine may write it meanwhile.
func copyState(ctx context.Context, from, to string, k schema.ResourceKey) error {
	at, scratch := reconciler.Layout{Root: from}, reconciler.Layout{Root: to}
	state, err := wholeState(ctx, func() ([]byte, error) { return os.ReadFile(at.State(k)) })
	if err == nil {
		err = putFile(scratch.State(k), state)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	src, dst := filepath.Join(at.PulumiState(k), ".pulumi"), filepath.Join(scratch.PulumiState(k), ".pulumi")
	return copyStacks(os.DirFS(src), dst)
}

// A state that is no JSON after this time is not being written, but damaged, and is for the
// engine to refuse.
const (
	stateTries = 200
	statePause = 10 * time.Millisecond
)

// wholeState reads a state that an engine may be writing: Terraform empties the file before it
// knows what it writes, and an empty one counts as none, so that everything would be planned
// anew.
func wholeState(ctx context.Context, read func() ([]byte, error)) ([]byte, error) {
	for try := 1; ; try++ {
		b, err := read()
		if err != nil || json.Valid(b) || try == stateTries {
			return b, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(statePause):
		}
	}
}

// copyStacks copies what Pulumi must have of a backend's folder to know its stacks. States
// are replaced there by renaming: what has come is whole, and what is about to be renamed is
// none yet and may be gone when it is opened.
func copyStacks(from fs.FS, to string) error {
	for _, root := range []string{"meta.yaml", "stacks"} {
		err := fs.WalkDir(from, root, func(name string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || strings.HasSuffix(name, ".tmp") {
				return ifThere(err)
			}
			b, err := fs.ReadFile(from, name)
			if err != nil {
				return ifThere(err)
			}
			return putFile(filepath.Join(to, filepath.FromSlash(name)), b)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// ifThere is an error of a file that is there.
func ifThere(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// putFile writes a new file, for this user alone.
func putFile(path string, content []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return os.WriteFile(path, content, 0o600)
}
