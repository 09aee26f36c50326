package app

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/stackreeve/stackreeve/gitsource"
	"github.com/stackreeve/stackreeve/gitsource/folder"
	"github.com/stackreeve/stackreeve/gitsource/gitmirror"
	"github.com/stackreeve/stackreeve/gitsource/meter"
	"github.com/stackreeve/stackreeve/gitsource/remote"
	"github.com/stackreeve/stackreeve/internal/config"
	"github.com/stackreeve/stackreeve/reconciler"
	"github.com/stackreeve/stackreeve/schema"
)

// localPoll is how often a folder is looked at beside watching it, when the
// configuration does not say.
const localPoll = 10 * time.Second

// openSource opens a repository as the configuration says.
func openSource(c config.Config, r config.Repository, m *meter.Meter, log *slog.Logger) (gitsource.Source, error) {
	cache := filepath.Join(c.DataDir, "mirrors")
	if r.Path != "" {
		mode := folder.Committed
		if r.Mode == config.Worktree {
			mode = folder.Worktree
		}
		return folder.New(folder.Options{Name: r.Name, Path: r.Path, Mode: mode, Branch: r.Branch, Cache: cache, Log: log, Meter: m})
	}
	return gitmirror.New(gitmirror.Options{Name: r.Name, URL: r.URL, Branch: r.Branch, Cache: cache, Timeout: time.Duration(r.Timeout),
		Log: log, Meter: m, Credentials: credentialsOf(r.Credentials)})
}

func credentialsOf(c config.Credentials) remote.Credentials {
	return remote.Credentials{
		Username: c.Username, Token: remote.SecretSource(c.Token),
		SSHKeyFile: c.SSHKey.File, SSHPassphrase: remote.SecretSource(c.SSHKey.Passphrase),
		KnownHosts: c.KnownHosts, CAFile: c.CAFile, Proxy: remote.ProxyFromEnvironment,
	}
}

// follow opens a repository and has it reconciled.
func (a *App) follow(c config.Config, r config.Repository) error {
	src, err := openSource(c, r, a.polls, a.log)
	if err != nil {
		return err
	}
	a.sourcesMu.Lock()
	a.sources[r.Name] = src
	a.sourcesMu.Unlock()
	interval := time.Duration(r.PollInterval)
	address := r.URL
	if r.Path != "" {
		address, interval = r.Path, min(interval, localPoll)
	}
	a.reconciler.Follow(reconciler.RepositoryOptions{Source: src, PollInterval: interval, Address: address})
	return a.followPulls(r, src)
}

// leave stops following a repository.
func (a *App) leave(name string) error {
	a.pulls.Leave(name)
	a.reconciler.Leave(name)
	a.sourcesMu.Lock()
	src := a.sources[name]
	delete(a.sources, name)
	a.sourcesMu.Unlock()
	if src == nil {
		return nil
	}
	return src.Close()
}

// refollow follows what a new configuration names, and leaves what it no longer
// does. A repository whose settings changed is left and followed anew; its jobs
// wait in between.
func (a *App) refollow(old, c config.Config) error {
	was := map[string]config.Repository{}
	for _, r := range old.Repositories {
		was[r.Name] = r
	}
	// What can fail happens for all of them before anything live is touched.
	var changed []config.Repository
	for _, r := range c.Repositories {
		before, ok := was[r.Name]
		if ok && before == r {
			delete(was, r.Name)
			continue
		}
		if err := tryOpen(c, r, a.o.Environ); err != nil {
			return err
		}
		changed = append(changed, r)
	}
	for name := range was { // gone, or followed anew
		if err := a.leave(name); err != nil {
			return err
		}
	}
	for _, r := range changed {
		if err := a.follow(c, r); err != nil {
			return err
		}
	}
	a.forges.keep(c.Repositories)
	return nil
}

// tryOpen tells whether a repository can be opened. It does so beside the data folder:
// the mirror there is in use as long as the repository is followed.
func tryOpen(c config.Config, r config.Repository, environ []string) error {
	if !r.Forge.IsZero() {
		if _, err := openForge(r, environ, newTransport(r.Forge.Kind, nil)); err != nil {
			return fmt.Errorf("repository %s: %w", r.Name, err)
		}
	}
	scratch, err := os.MkdirTemp("", "reeve-reload-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(scratch) }()
	c.DataDir = scratch
	src, err := openSource(c, r, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	return src.Close()
}

// reached is a repository that was polled once, for the doctor.
type reached struct {
	revision gitsource.Revision
	// tree is nil, and err says why, when it cannot be read.
	tree *schema.Tree
	err  error
}

// reach polls a repository and reads it. The error is that it cannot be reached.
func reach(ctx context.Context, c config.Config, r config.Repository, scratch string) (reached, error) {
	c.DataDir = scratch
	src, err := openSource(c, r, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		return reached{}, err
	}
	defer func() { _ = src.Close() }()
	rev, _, err := src.Poll(ctx)
	if err != nil {
		return reached{}, err
	}
	out := reached{revision: rev}
	snap, err := src.Snapshot(ctx, rev)
	if err == nil {
		out.tree, err = schema.NewLoader(schema.Options{}).Load(ctx, snap)
	}
	out.err = err
	return out, nil
}
