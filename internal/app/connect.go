package app

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/stackreeve/stackreeve/gitsource/forge"
	"github.com/stackreeve/stackreeve/internal/config"
	"github.com/stackreeve/stackreeve/internal/web"
)

// ConnectOptions say which repository's forge is to tell the daemon what happens there.
type ConnectOptions struct {
	Config config.Config
	// Repository is the name in the configuration; "" means the only one with a forge.
	Repository string
	// URL is where the forge reaches the daemon: "https://reeve.example.com".
	URL string
	// DryRun only looks.
	DryRun bool
	// KeepSecret signs with the secret that is there instead of a fresh one.
	KeepSecret bool
	Environ    []string
}

// ErrNotConnected means that Connect found something that a person must mend first.
var ErrNotConnected = errors.New("the forge was not connected")

// Connect registers the webhook by which a forge tells the daemon what happens, or
// replaces its secret: one webhook stands there however often it is called. It returns
// what it looked at and did, the checks first; when one of them is Missing nothing was
// changed. The secret is written to the file that the configuration names and goes
// nowhere else but to the forge.
//
// The file is changed before the forge is: with a previousWebhookSecret file no delivery
// is refused in between. When the forge refuses, the files are put back.
func Connect(ctx context.Context, o ConnectOptions) ([]Check, error) {
	r, err := withForge(o.Config.Repositories, o.Repository)
	if err != nil {
		return nil, err
	}
	address, err := hookAddress(o.URL, r.Name)
	if err != nil {
		return nil, err
	}
	f, err := openForge(r, o.Environ, newTransport(r.Forge.Kind, nil))
	if err != nil {
		return nil, fmt.Errorf("repository %s: %w", r.Name, err)
	}
	c := connecting{o: o, r: r, f: f, address: address}
	if err := c.secretPlace(); err != nil {
		return nil, err
	}
	unlock, err := c.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	c.look(ctx)
	if c.stuck() {
		return c.checks, nil
	}
	if o.DryRun {
		c.add(Check{Name: "dry run", Health: Well, Detail: c.would()})
		return c.checks, nil
	}
	return c.checks, c.connect(ctx)
}

// withForge chooses the repository.
func withForge(all []config.Repository, name string) (config.Repository, error) {
	var with []config.Repository
	var names []string
	for _, r := range all {
		if r.Forge.IsZero() {
			continue
		}
		names = append(names, r.Name)
		if name == "" || r.Name == name {
			with = append(with, r)
		}
	}
	switch {
	case len(with) == 1:
		return with[0], nil
	case len(names) == 0:
		return config.Repository{}, errors.New("no repository in the configuration has a forge; see repositories[].forge in reeve.yaml")
	case len(with) == 0:
		return config.Repository{}, fmt.Errorf("the configuration names no repository %s with a forge; there are: %s", name, strings.Join(names, ", "))
	}
	return config.Repository{}, fmt.Errorf("several repositories have a forge; name one of: %s", strings.Join(names, ", "))
}

// hookAddress is where deliveries for a repository are received.
func hookAddress(base, name string) (string, error) {
	u, err := url.Parse(base)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return "", errors.New("the daemon's address: expected https://HOST, with a path when it is below one, and without a user name or query")
	}
	return strings.TrimRight(u.Scheme+"://"+u.Host+u.EscapedPath(), "/") + web.WebhookPrefix + url.PathEscape(name), nil
}

// connecting is the work on one webhook.
type connecting struct {
	o       ConnectOptions
	r       config.Repository
	f       forge.Repository
	address string
	checks  []Check
	hooks   []forge.Webhook
}

func (c *connecting) add(ch Check) { c.checks = append(c.checks, ch) }

// stuck tells that a person must mend something first.
func (c *connecting) stuck() bool {
	for _, ch := range c.checks {
		if ch.Health == Missing {
			return true
		}
	}
	return false
}

// secretPlace tells what to do when a fresh secret can be written nowhere.
func (c *connecting) secretPlace() error {
	s := c.r.Forge.WebhookSecret
	switch {
	case s.IsZero():
		return fmt.Errorf("repository %s: the configuration names no place for the webhook's secret; add to its forge, for example, webhookSecret: {file: %s}",
			c.r.Name, filepath.Join(c.o.Config.DataDir, "webhook-"+c.r.Name))
	case c.o.KeepSecret:
		v, err := s.Read(c.o.Environ)
		if err != nil {
			return fmt.Errorf("repository %s: the webhook's secret: %w", c.r.Name, err)
		}
		if len(v.Reveal()) < config.MinSecretLength {
			return fmt.Errorf("repository %s: the webhook's secret is too short: expected at least %d characters", c.r.Name, config.MinSecretLength)
		}
	case s.File == "":
		return fmt.Errorf("repository %s: the webhook's secret comes from the environment variable %s, which cannot be written; "+
			"either name a file in its place (webhookSecret: {file: PATH}), or set the variable for the daemon and for this command to a new secret of at least %d characters "+
			"and call it again with --keep-secret", c.r.Name, s.Env, config.MinSecretLength)
	}
	return nil
}

// lock makes calls for one secret wait for one another. The lock is that of the folder,
// so that nothing is left lying about.
func (c *connecting) lock() (unlock func(), err error) {
	if c.o.DryRun || c.o.KeepSecret && c.r.Forge.WebhookSecret.File == "" {
		return func() {}, nil
	}
	dir := filepath.Dir(c.r.Forge.WebhookSecret.File)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("the folder of the webhook's secret: %w", err)
	}
	d, err := os.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("the folder of the webhook's secret: %w", err)
	}
	for {
		if err = unix.Flock(int(d.Fd()), unix.LOCK_EX); !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", dir, err), d.Close())
	}
	return func() { _ = d.Close() }, nil // which gives the lock back
}

// look checks that the credentials can do what the daemon needs.
func (c *connecting) look(ctx context.Context) {
	c.checks = append(c.checks, checkForge(ctx, c.f, c.r)...)
	if c.stuck() {
		return
	}
	hooks, err := c.f.Webhooks(ctx, c.address)
	switch {
	case err != nil:
		c.add(Check{Name: "webhooks", Health: Missing, Detail: oneLine(err), Fix: "give the account the right to administer the repository's webhooks, or register the webhook by hand and call with --keep-secret"})
		return
	case len(hooks) > 1:
		c.add(Check{Name: "webhooks", Health: Unwell, Detail: fmt.Sprintf("%d deliver to %s", len(hooks), c.address), Fix: "delete all but one on the forge"})
	default:
		c.add(Check{Name: "webhooks", Health: Well, Detail: fmt.Sprintf("%d delivers to %s", len(hooks), c.address)})
	}
	c.hooks = hooks
	c.add(checkAddress(ctx, c.o.URL))
}

// would says what is done without --dry-run.
func (c *connecting) would() string {
	text := "would create the webhook to " + c.address
	if len(c.hooks) > 0 {
		text = "would replace the webhook to " + c.address
	}
	if c.o.KeepSecret {
		return text + ", with the secret that is there"
	}
	text += ", with a fresh secret in " + c.r.Forge.WebhookSecret.File
	if prev := c.r.Forge.PreviousWebhookSecret.File; prev != "" {
		text += "; the one that is there would move to " + prev
	}
	return text
}

// secretBytes is how much chance is in a secret.
const secretBytes = 32

// connect writes the secret and registers the webhook.
func (c *connecting) connect(ctx context.Context) error {
	var secret string
	restore := func() error { return nil }
	if c.o.KeepSecret {
		v, err := c.r.Forge.WebhookSecret.Read(c.o.Environ)
		if err != nil {
			return err
		}
		secret = v.Reveal()
	} else {
		b := make([]byte, secretBytes)
		_, _ = rand.Read(b) // it never fails
		secret = hex.EncodeToString(b)
		var err error
		if restore, err = c.writeSecret(secret); err != nil {
			return err
		}
	}
	ids := []string{""}
	if len(c.hooks) > 0 {
		ids = nil
		for _, h := range c.hooks {
			ids = append(ids, h.ID)
		}
	}
	changed := false
	for _, id := range ids {
		h, err := c.f.SetWebhook(ctx, id, c.address, secret)
		if err != nil && h.ID == "" {
			return c.refused(err, changed, restore)
		}
		changed = true
		if err != nil { // it is there, and so is its predecessor
			c.add(Check{Name: "webhook", Health: Unwell, Detail: oneLine(err), Fix: "delete the old one on the forge"})
		}
	}
	return c.confirm(ctx, len(c.hooks) > 0)
}

// refused puts the files back when the forge has certainly not taken the secret.
func (c *connecting) refused(err error, changed bool, restore func() error) error {
	var ce *forge.CallError
	known := errors.As(err, &ce) && ce.Status != 0 && ce.Status < http.StatusInternalServerError && !errors.Is(err, forge.ErrUnknownOutcome)
	if changed || !known {
		return fmt.Errorf("%w: %w; whether the forge took the new secret is not known: call this again", ErrNotConnected, err)
	}
	return errors.Join(fmt.Errorf("%w: %w; the secret is as it was before", ErrNotConnected, err), restore())
}

// confirm asks the forge what stands there.
func (c *connecting) confirm(ctx context.Context, replaced bool) error {
	hooks, err := c.f.Webhooks(ctx, c.address)
	if err != nil {
		return fmt.Errorf("the webhook was registered; asking for it again: %w", err)
	}
	did := "was created"
	if replaced {
		did = "was replaced"
	}
	ch := Check{Name: "webhook", Health: Well, Detail: c.address + " " + did}
	switch {
	case len(hooks) == 0:
		ch = Check{Name: "webhook", Health: Unwell, Detail: c.address + " " + did + ", and the forge does not list it yet", Fix: "look with `reeve doctor` in a moment"}
	case !hooks[0].Active:
		ch = Check{Name: "webhook", Health: Unwell, Detail: c.address + " " + did + ", and is switched off", Fix: "switch it on on the forge"}
	}
	c.add(ch)
	if !c.o.KeepSecret {
		c.add(Check{Name: "secret", Health: Well, Detail: "a fresh one is in " + c.r.Forge.WebhookSecret.File})
	}
	return nil
}

// writeSecret writes a new secret, and what was there to the place of the previous one.
// restore undoes both.
func (c *connecting) writeSecret(secret string) (restore func() error, err error) {
	file, previous := c.r.Forge.WebhookSecret.File, c.r.Forge.PreviousWebhookSecret.File
	old, err := contentOf(file)
	if err != nil {
		return nil, err
	}
	older, err := contentOf(previous)
	if err != nil {
		return nil, err
	}
	// An empty file, as somebody may have made it in advance, holds no secret to keep.
	if previous != "" && len(bytes.TrimSpace(old)) > 0 {
		if err := replaceFile(previous, old); err != nil {
			return nil, fmt.Errorf("keep the previous secret: %w", err)
		}
	}
	restore = func() error { return errors.Join(putBack(file, old), putBack(previous, older)) }
	if err := replaceFile(file, []byte(secret+"\n")); err != nil {
		return nil, errors.Join(fmt.Errorf("write the secret: %w", err), putBack(previous, older))
	}
	return restore, nil
}

// contentOf is what stands in a file; nil when there is none.
func contentOf(file string) ([]byte, error) {
	if file == "" {
		return nil, nil
	}
	b, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return b, err
}

// putBack makes a file what it was.
func putBack(file string, content []byte) error {
	switch {
	case file == "":
		return nil
	case content == nil:
		if err := os.Remove(file); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	return replaceFile(file, content)
}

// replaceFile writes a file that only its owner may read, whole or not at all. A link is
// followed; a file that was there keeps its owner.
func replaceFile(file string, content []byte) (err error) {
	if to, err := filepath.EvalSymlinks(file); err == nil {
		file = to
	}
	was, statErr := os.Stat(file)
	f, err := os.CreateTemp(filepath.Dir(file), ".reeve-*") // with mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name())
		}
	}()
	if statErr == nil {
		if st, ok := was.Sys().(*syscall.Stat_t); ok && int(st.Uid) != os.Geteuid() {
			if err := f.Chown(int(st.Uid), int(st.Gid)); err != nil {
				return errors.Join(err, f.Close())
			}
		}
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), file)
}

// answerTimeout bounds how long a daemon may take to say that it is there.
const answerTimeout = 5 * time.Second

// checkAddress asks whether a daemon answers where the forge is to reach it. It may not
// be reached from here, and yet from the forge.
func checkAddress(ctx context.Context, base string) Check {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	away := Check{Name: "address", Health: Unwell, Detail: "no daemon answers at " + base + " from here", Fix: "start it, or see that the forge can reach it there"}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimRight(base, "/")+"/healthz", nil)
	if err != nil {
		return away
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return away
	}
	_ = res.Body.Close()
	if res.StatusCode != http.StatusOK {
		away.Detail += fmt.Sprintf(" (HTTP %d)", res.StatusCode)
		return away
	}
	return Check{Name: "address", Health: Well, Detail: "a daemon answers at " + base}
}

// oneLine is an error for a table.
func oneLine(err error) string {
	text, _, _ := strings.Cut(err.Error(), "\n")
	return text
}
