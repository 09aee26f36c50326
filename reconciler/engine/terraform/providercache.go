package terraform

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/gofrs/flock"

	"github.com/stackreeve/stackreeve/reconciler/engine/telling"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
)

// cacheVariable names the folder of shared providers to the engine.
const cacheVariable = "TF_PLUGIN_CACHE_DIR"

// providerCache is the folder of shared providers; "" when there is none.
func (p *phase) providerCache() string {
	if p.task.ProviderCache != "" {
		return p.task.ProviderCache
	}
	return p.task.Env[cacheVariable]
}

// openCache is a provider cache that one init has for itself.
//
// Engines unpack into it in place: a second one finds half a provider there, and so does
// every later one when the first was killed in it, or the disk was full. No engine notices
// before it runs the provider, and none repairs it. So a note beside the providers says
// which ones were there before, and goes when init has ended well; who finds the note
// removes what it does not name.
type openCache struct {
	lock *flock.Flock
	note string // "" for a cache that is not ours, and for none
}

// openProviderCache waits for the provider cache and clears it of what an init left that
// did not come to its end.
func (p *phase) openProviderCache(ctx context.Context) (_ *openCache, err error) {
	folder := p.providerCache()
	if folder == "" {
		return &openCache{}, nil
	}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, fmt.Errorf("make the provider cache: %w", err)
	}
	c := &openCache{lock: flock.New(filepath.Join(folder, ".reeve.lock"), flock.SetPermissions(0o600))}
	if _, err := c.lock.TryLockContext(ctx, 25*time.Millisecond); err != nil {
		if cause := context.Cause(ctx); cause != nil {
			return nil, engineProblem(ctx, cause, "wait for the provider cache", p.voice(stackjob.OpInit, nil))
		}
		return nil, fmt.Errorf("lock the provider cache %s: %w", folder, err)
	}
	if p.task.ProviderCache == "" {
		return c, nil // others fill it, too, who know nothing of our lock
	}
	c.note = filepath.Join(folder, ".reeve.filling")
	if err := clearCache(folder, c.note); err != nil {
		c.close()
		return nil, fmt.Errorf("look through the provider cache %s: %w", folder, err)
	}
	return c, nil
}

// filled tells that what init put into the cache is whole.
func (c *openCache) filled() error {
	if c.note == "" {
		return nil
	}
	return os.Remove(c.note)
}

// close lets others have the cache. The lock's file stays for them.
func (c *openCache) close() {
	if c.lock != nil {
		_ = c.lock.Close()
	}
}

// clearCache removes the providers that a note of an earlier init does not name, and
// writes one that names those that are there.
func clearCache(folder, note string) error {
	there, err := filepath.Glob(filepath.Join(folder, "*", "*", "*", "*", "*")) // host/namespace/type/version/platform
	if err != nil {
		return err
	}
	for i, path := range there {
		if there[i], err = filepath.Rel(folder, path); err != nil {
			return err
		}
	}
	left, err := readIfThere(note)
	if err != nil {
		return err
	}
	if left != nil {
		var whole []string
		if err := json.Unmarshal(left, &whole); err != nil {
			return fmt.Errorf("%s: %w", note, err)
		}
		for _, name := range there {
			if !slices.Contains(whole, name) {
				if err := os.RemoveAll(filepath.Join(folder, name)); err != nil {
					return err
				}
			}
		}
		return nil // it names all that is there now
	}
	b, err := json.Marshal(there)
	if err != nil {
		return err
	}
	return writeFile(note, b)
}

// cacheRefusedAgain says to people why init is run again, and what spares it.
const cacheRefusedAgain = "The module's dependency lock file does not name the shared provider's checksum for this platform: providers are downloaded for this stack alone.\n" +
	"`terraform providers lock` or `tofu providers lock`, with -platform for each platform that is used, puts the checksums into the file."

// isCacheRefused tells whether an engine refused a provider of the cache because of the
// module's lock file. One that was made on another platform has that platform's checksum of
// what is unpacked, and those of all archives: a download passes, and what was unpacked of
// one does not, though it is the same. said may be wrapped and framed.
func isCacheRefused(said string) bool {
	said = telling.Unframed(said)
	return strings.Contains(said, "the provider cache at") && strings.Contains(said, "match any of the checksums recorded in the dependency lock file")
}

// usesCache tells whether the next init takes providers from the cache.
func (p *phase) usesCache() bool { return p.engine.env[cacheVariable] != "" }

// leaveCache has the engine download for this workspace alone. The links into the cache go
// first: through them it would write over what other stacks run.
func (p *phase) leaveCache() error {
	delete(p.engine.env, cacheVariable)
	return errors.Join(p.engine.tf.SetEnv(p.engine.env), os.RemoveAll(filepath.Join(p.at.data, "providers")))
}
