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

// ErrKeyOther means that the key in the data folder is not the one that the records were
// sealed with.
var ErrKeyOther = errors.New("the key file holds another key than the one that the records were sealed with")

// withoutKey is how one goes on when the key that fits the records is lost.
const withoutKey = "put the file back from your copy. Without one, move " + sqlite.FileName + " out of the folder too: the states stay, and every stack is planned again from them, " +
	"but for those of Pulumi whose secrets are encrypted with a passphrase: it was made of the key that is gone"

// openKey opens the data folder's key. It is made only while nothing is on record: a
// new key beside old records could open none of their outputs, and since it hashes
// differently too, every stack would seem to have changed. The same goes for a key that
// somebody put there, so the records say which one they are for.
func openKey(ctx context.Context, st *sqlite.Store, folder string) (*seal.Key, error) {
	path := filepath.Join(folder, keyFile)
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		recorded, err := hasRecords(ctx, st)
		if err != nil {
			return nil, err
		}
		if recorded {
			return nil, fmt.Errorf("%s: %w; %s", path, ErrKeyMissing, withoutKey)
		}
	}
	key, err := seal.OpenOrCreate(path)
	if err != nil {
		return nil, err
	}
	recipient, err := st.SealedFor(ctx)
	if err != nil || recipient == key.Recipient() {
		return key, err
	}
	if recipient != "" {
		recorded, err := hasRecords(ctx, st)
		if err != nil {
			return nil, err
		}
		if recorded {
			return nil, fmt.Errorf("%s: %w (%s, and not %s); %s", path, ErrKeyOther, key.Recipient(), recipient, withoutKey)
		}
	}
	return key, st.SealFor(ctx, key.Recipient())
}

// hasRecords tells whether anything is on record that a key may have sealed.
func hasRecords(ctx context.Context, st *sqlite.Store) (bool, error) {
	jobs, err := st.List(ctx, store.JobQuery{Limit: 1})
	if err != nil || len(jobs) > 0 {
		return len(jobs) > 0, err
	}
	stacks, err := st.Stacks(ctx, "")
	return len(stacks) > 0, err
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
