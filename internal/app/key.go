package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/stackreeve/stackreeve/internal/seal"
	"github.com/stackreeve/stackreeve/reconciler"
	"github.com/stackreeve/stackreeve/reconciler/store"
	"github.com/stackreeve/stackreeve/reconciler/store/sqlite"
	"github.com/stackreeve/stackreeve/schema"
)

// ErrKeyMissing means that the data folder has records and lacks the key that they
// were sealed with.
var ErrKeyMissing = errors.New("the key file is missing, and there are records that were sealed with it")

// openKey opens the data folder's key. It is made only while nothing is on record: a
// new key beside old records could open none of their outputs, and since it hashes
// differently too, every stack would seem to have changed.
func openKey(ctx context.Context, st *sqlite.Store, folder string) (*seal.Key, error) {
	path := filepath.Join(folder, keyFile)
	_, err := os.Lstat(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return seal.OpenOrCreate(path)
	}
	jobs, err := st.List(ctx, store.JobQuery{Limit: 1})
	if err != nil {
		return nil, err
	}
	stacks, err := st.Stacks(ctx, "")
	if err != nil {
		return nil, err
	}
	if len(jobs) > 0 || len(stacks) > 0 {
		return nil, fmt.Errorf("%s: %w; put the file back from your copy. "+
			"Without one, move %s out of the folder too: the states stay, and every stack is planned again from them",
			path, ErrKeyMissing, sqlite.FileName)
	}
	return seal.OpenOrCreate(path)
}

// StackPassphrase is the passphrase of a PulumiStack's secrets, made of the key in the data
// folder. It needs no daemon, and works for the key's owner alone; it makes no key.
func StackPassphrase(folder string, k schema.ResourceKey) (string, error) {
	path := filepath.Join(folder, keyFile)
	if _, err := os.Lstat(path); err != nil {
		return "", fmt.Errorf("find the daemon's key: %w (dataDir names the folder; the daemon's first start makes the key)", err)
	}
	key, err := seal.OpenOrCreate(path)
	if err != nil {
		return "", err
	}
	return reconciler.StackPassphrase(key, k)
}
