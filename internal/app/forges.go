package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
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

// openForge makes the adapter of a repository's forge. It asks nobody.
func openForge(r config.Repository, environ []string, meter *transport.Meter) (forge.Repository, error) {
	f := r.Forge
	o := transport.Options{Forge: string(f.Kind)}
	if meter != nil {
		o.Meter = meter.Forge(string(f.Kind))
	}
	switch f.Kind {
	case config.GitHub:
		o.Repeatable = github.Repeatable
	case config.GitLab:
		o.Repeatable = gitlab.Repeatable
	case config.Gitea:
		o.Repeatable = gitea.Repeatable
	}
	client := &http.Client{Transport: transport.New(o)}
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
	f, err := openForge(r, a.o.Environ, a.calls)
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
