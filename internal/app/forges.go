package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/stackreeve/stackreeve/gitsource"
	"github.com/stackreeve/stackreeve/gitsource/forge"
	"github.com/stackreeve/stackreeve/gitsource/forge/gitea"
	"github.com/stackreeve/stackreeve/gitsource/forge/github"
	"github.com/stackreeve/stackreeve/gitsource/forge/gitlab"
	"github.com/stackreeve/stackreeve/gitsource/forge/transport"
	"github.com/stackreeve/stackreeve/internal/api"
	"github.com/stackreeve/stackreeve/internal/config"
	"github.com/stackreeve/stackreeve/internal/web"
	"github.com/stackreeve/stackreeve/reconciler/engine"
	"github.com/stackreeve/stackreeve/reconciler/pullrequest"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/reconciler/store"
)

// budget is what a forge counts requests against: a credential. A GitHub App has a budget
// for each account in which it is installed.
type budget struct {
	kind       config.ForgeKind
	url        string
	token      config.SecretSource
	app, owner string
}

func budgetOf(f config.Forge) budget {
	b := budget{kind: f.Kind, url: strings.ToLower(strings.TrimRight(f.URL, "/")), token: f.Token, app: f.App.ID}
	if b.app != "" {
		owner, _, _ := strings.Cut(f.Repository, "/")
		b.owner = strings.ToLower(owner)
	}
	return b
}

// transports are those to the forges, one for each budget: repositories with one
// credential wait for a limit together, and do not use it up against one another.
type transports struct {
	meter *transport.Meter

	mu   sync.Mutex // guards open
	open map[budget]*transport.Transport
}

// to is the transport for a repository on a forge.
func (t *transports) to(f config.Forge) *transport.Transport {
	t.mu.Lock()
	defer t.mu.Unlock()
	b := budgetOf(f)
	if t.open == nil {
		t.open = map[budget]*transport.Transport{}
	}
	if t.open[b] == nil {
		t.open[b] = newTransport(f.Kind, t.meter)
	}
	return t.open[b]
}

// keep forgets the transports that none of the repositories uses.
func (t *transports) keep(list []config.Repository) {
	used := map[budget]bool{}
	for _, r := range list {
		used[budgetOf(r.Forge)] = true
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	maps.DeleteFunc(t.open, func(b budget, _ *transport.Transport) bool { return !used[b] })
}

// newTransport makes one. It counts with the meter, unless that is nil.
func newTransport(kind config.ForgeKind, meter *transport.Meter) *transport.Transport {
	o := transport.Options{Forge: string(kind)}
	if meter != nil {
		o.Meter = meter.Forge(string(kind))
	}
	switch kind {
	case config.GitHub:
		o.Repeatable = github.Repeatable
	case config.GitLab:
		o.Repeatable = gitlab.Repeatable
	case config.Gitea:
		o.Repeatable = gitea.Repeatable
	}
	return transport.New(o)
}

// openForge makes the adapter of a repository's forge. It asks nobody.
func openForge(r config.Repository, environ []string, through http.RoundTripper) (forge.Repository, error) {
	f := r.Forge
	client := &http.Client{Transport: through}
	token := func(context.Context) (string, error) { // each time anew: it may be rotated
		s, err := f.Token.Read(environ)
		return s.Reveal(), err
	}
	switch f.Kind {
	case config.GitHub:
		return openGitHub(f, environ, client, token)
	case config.GitLab:
		return gitlab.New(gitlab.Options{URL: f.URL, Project: f.Repository, Token: token, HTTPClient: client})
	case config.Gitea:
		return gitea.New(gitea.Options{URL: f.URL, Repository: f.Repository, Token: token, HTTPClient: client})
	}
	return nil, fmt.Errorf("repository %s: there is no adapter for the forge %q", r.Name, f.Kind)
}

func openGitHub(f config.Forge, environ []string, client *http.Client, token func(context.Context) (string, error)) (forge.Repository, error) {
	api := f.URL
	if api == "https://github.com" {
		api = ""
	}
	o := github.Options{Repository: f.Repository, APIURL: api, Token: token, HTTPClient: client}
	if f.App != (config.GitHubApp{}) {
		key, err := f.App.PrivateKey.Read(environ)
		if err != nil {
			return nil, err
		}
		app, err := github.NewApp(github.AppOptions{ID: f.App.ID, PrivateKey: []byte(key.Reveal()), APIURL: api, HTTPClient: client})
		if err != nil {
			return nil, err
		}
		o.App, o.Token = app, nil
	}
	return github.New(o)
}

// parserOf reads the deliveries of a kind of forge.
func parserOf(k config.ForgeKind) forge.WebhookParser {
	switch k {
	case config.GitHub:
		return github.Parser{}
	case config.GitLab:
		return gitlab.Webhook{}
	}
	return gitea.Parser{}
}

// followPulls has the pull requests of a repository followed, when its configuration
// says where they are.
func (a *App) followPulls(r config.Repository, src gitsource.Source) error {
	if r.Forge.IsZero() {
		return nil
	}
	merges, ok := src.(gitsource.Proposals)
	if !ok {
		return fmt.Errorf("repository %s has no commits to merge", r.Name)
	}
	f, err := openForge(r, a.o.Environ, a.forges.to(r.Forge))
	if err != nil {
		return fmt.Errorf("repository %s: %w", r.Name, err)
	}
	a.pulls.Follow(pullrequest.Repository{Name: r.Name, Forge: f, Merges: merges, PollInterval: time.Duration(r.Forge.PollInterval)})
	return nil
}

// webhook receives a delivery: it is verified, understood, and durable when this
// returns.
func (a *App) webhook(ctx context.Context, repository string, header http.Header, body []byte) error {
	var f config.Forge
	for _, r := range a.config.Load().Repositories {
		if r.Name == repository {
			f = r.Forge
		}
	}
	if f.WebhookSecret.IsZero() || !a.pulls.Follows(repository) {
		return store.ErrNotFound
	}
	known, err := f.WebhookSecrets(a.o.Environ)
	if err != nil {
		return err
	}
	var secrets []string
	for _, s := range known {
		secrets = append(secrets, s.Reveal())
	}
	d, err := parserOf(f.Kind).ParseWebhook(header, body, secrets)
	if errors.Is(err, forge.ErrSignature) {
		return err
	}
	if err != nil {
		return web.NoDelivery(err)
	}
	if d.Topic == forge.TopicPing || d.Topic == forge.TopicOther {
		return nil
	}
	return a.pulls.Receive(ctx, repository, d)
}

// tailBytes is how much of a failed job's log a comment may show.
const tailBytes = 8 << 10

// logTail is the end of the log of what a job did last; "" when it cannot be read.
func (a *App) logTail(ctx context.Context, id stackjob.JobID) string {
	job, err := a.records.Job(ctx, id)
	if err != nil || job.Attempt == 0 {
		return ""
	}
	phase := engine.PhasePlan
	for _, op := range job.Operations {
		if op.Attempt == job.Attempt && (op.Kind == stackjob.OpApply || op.Kind == stackjob.OpDestroy) {
			phase = engine.PhaseApply
		}
	}
	log, err := openLog(ctx, a.layout.Phase(id, job.Attempt, phase), 0, api.FollowNo)
	if err != nil {
		return ""
	}
	defer func() { _ = log.Close() }()
	t := &tail{}
	if _, err := io.Copy(t, log); err != nil {
		return ""
	}
	return string(t.b)
}

// tail keeps the last bytes that are written to it.
type tail struct{ b []byte }

// Write implements io.Writer. It never fails.
func (t *tail) Write(p []byte) (int, error) {
	t.b = append(t.b, p...)
	if n := len(t.b) - tailBytes; n > 0 {
		t.b = append(t.b[:0], t.b[n:]...)
	}
	return len(p), nil
}
