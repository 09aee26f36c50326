package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/stackreeve/stackreeve/gitsource"
	"github.com/stackreeve/stackreeve/gitsource/forge"
	"github.com/stackreeve/stackreeve/gitsource/forge/gitea"
	"github.com/stackreeve/stackreeve/gitsource/forge/github"
	"github.com/stackreeve/stackreeve/gitsource/forge/gitlab"
	"github.com/stackreeve/stackreeve/internal/api"
	"github.com/stackreeve/stackreeve/internal/config"
	"github.com/stackreeve/stackreeve/reconciler"
	"github.com/stackreeve/stackreeve/reconciler/pull"
	"github.com/stackreeve/stackreeve/reconciler/pullrequest"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/reconciler/store"
	"github.com/stackreeve/stackreeve/schema"
)

// PlanPullOptions are what the local plan of a pull request is made of: of one on the
// forge (Pull), or of a local branch as if one were opened for it (Branch).
type PlanPullOptions struct {
	// Config is the daemon's: what it has recorded is what the plan starts from,
	// when there is any. Nothing of it is changed.
	Config config.Config
	// Repository is the name in the configuration; "" means the only one that fits.
	Repository string
	// Pull is a pull request's number or the URL of its page.
	Pull string
	// Folder is a Git repository on disk and Branch a branch of it, that is merged
	// into Base; "" is the branch that the configuration follows, or else the one
	// that is checked out.
	Folder, Branch, Base string
	// Forge is the kind of forge whose limits the comment keeps; "" is the
	// repository's own, or else GitHub's, whose limits are the tightest.
	Forge config.ForgeKind
	// Fresh takes over no plan that the daemon has made for the same inputs.
	Fresh bool
	// Trust plans the code of a stranger.
	Trust      bool
	Executable []string
	Environ    []string
	Version    string
	Log        *slog.Logger
	// Begin is as in [PlanOptions].
	Begin func(ctx context.Context, b api.Backend, after int64)
}

// PulledPlan is the outcome of PlanPull.
type PulledPlan struct {
	LocalPlan
	Number int    `json:"number,omitempty"`
	Title  string `json:"title,omitempty"`
	Head   string `json:"head"`
	Base   string `json:"base"`
	// Refused says why nothing was planned; Conflicts are the paths that cannot be
	// merged.
	Refused   *stackjob.Reason `json:"refused,omitempty"`
	Conflicts []string         `json:"conflicts,omitempty"`
	// Comment is what the daemon would post, as Markdown, and Left what was left out
	// of it to stay below the forge's limit.
	Comment string   `json:"-"`
	Left    []string `json:"-"`
}

// ErrCannotFind means that a pull request was named that no configured repository has.
var ErrCannotFind = errors.New("no such pull request")

// PlanPull plans what merging a pull request would do, with the same engine, rules and
// code as the daemon, in a scratch data folder that starts as a copy of what the daemon
// recorded. It posts nothing, applies nothing and leaves nothing behind.
func PlanPull(ctx context.Context, o PlanPullOptions) (_ PulledPlan, err error) {
	p := pulling{o: o}
	if err := p.choose(ctx); err != nil {
		return PulledPlan{}, err
	}
	app, leave, err := beside(ctx, Options{Config: o.Config, Executable: o.Executable, Environ: o.Environ, Version: o.Version, Log: o.Log}, p.repository)
	if err != nil {
		return PulledPlan{}, err
	}
	defer func() { err = errors.Join(err, leave()) }()
	p.app = app
	return p.plan(ctx)
}

// pulling is the work on one pull request.
type pulling struct {
	o          PlanPullOptions
	repository config.Repository
	key        pull.Key
	proposal   pull.Proposal
	// stranger is why its code does not run without a word; "" for no reason.
	stranger string
	limits   forge.Limits
	app      *App
}

// choose finds the repository and what is proposed to it.
func (p *pulling) choose(ctx context.Context) error {
	if p.o.Branch != "" {
		return p.chooseBranch()
	}
	r, number, err := findPull(p.o.Config.Repositories, p.o.Repository, p.o.Pull)
	if err != nil {
		return err
	}
	f, err := openForge(r, p.o.Environ, newTransport(r.Forge.Kind, nil))
	if err != nil {
		return fmt.Errorf("repository %s: %w", r.Name, err)
	}
	pr, err := f.PullRequest(ctx, number)
	if err != nil {
		return fmt.Errorf("repository %s: pull request %d: %w", r.Name, number, err)
	}
	if pr.State != forge.Open {
		return fmt.Errorf("repository %s: pull request %d is %s; only an open one can be planned", r.Name, number, pr.State)
	}
	p.key, p.proposal = pull.Key{Repository: r.Name, Number: number}, pullrequest.ProposalOf(pr)
	p.repository = r
	p.repository.Forge = config.Forge{} // it is only read, and here
	p.limits = limitsOf(cmp.Or(p.o.Forge, r.Forge.Kind))
	may, err := f.Permission(ctx, pr.Author.Login)
	if err != nil {
		return fmt.Errorf("repository %s: %w", r.Name, err)
	}
	p.stranger = pullrequest.Stranger(p.proposal, may == forge.Write || may == forge.Admin)
	return nil
}

func (p *pulling) chooseBranch() error {
	name := p.o.Repository
	if name == "" {
		name = path.Base(p.o.Folder)
		if len(p.o.Config.Repositories) == 1 {
			name = p.o.Config.Repositories[0].Name
		}
	}
	p.repository = config.Repository{Name: name, Path: p.o.Folder, Mode: config.Committed, Branch: p.o.Base}
	kind := p.o.Forge
	for _, r := range p.o.Config.Repositories {
		if r.Name == name {
			p.repository.Branch = cmp.Or(p.o.Base, r.Branch)
			kind = cmp.Or(kind, r.Forge.Kind)
		}
	}
	if p.repository.Branch == p.o.Branch {
		return fmt.Errorf("the branch %s would be merged into itself; name what it is to be merged into with --base", p.o.Branch)
	}
	p.limits = limitsOf(kind)
	p.key = pull.Key{Repository: name}
	p.proposal = pull.Proposal{Title: p.o.Branch, HeadRef: "refs/heads/" + p.o.Branch}
	return nil
}

// limitsOf are the limits of a kind of forge, wherever it is; those of GitHub, which are the tightest,
// when there is none.
func limitsOf(k config.ForgeKind) forge.Limits {
	switch k {
	case config.GitLab:
		return (&gitlab.Repository{}).Limits()
	case config.Gitea:
		return (&gitea.Repository{}).Limits()
	}
	return (&github.Repository{}).Limits()
}

// plan makes the round of plans that the daemon would.
func (p *pulling) plan(ctx context.Context) (PulledPlan, error) {
	src := p.app.sources[p.repository.Name]
	merges, ok := src.(gitsource.Proposals)
	if !ok {
		return PulledPlan{}, fmt.Errorf("repository %s has no commits to merge", p.repository.Name)
	}
	m, err := merges.Merge(ctx, gitsource.Head{Name: strconv.Itoa(p.key.Number), Ref: p.proposal.HeadRef, Commit: p.proposal.Head})
	if err != nil {
		return PulledPlan{}, err
	}
	m.Base.Repository, m.Revision.Repository = p.key.Repository, p.key.Repository
	if p.proposal.Head == "" {
		p.proposal.Head = m.Head.Commit
	}
	if p.proposal.BaseBranch != "" && m.Base.Branch != "" && p.proposal.BaseBranch != m.Base.Branch {
		return PulledPlan{}, fmt.Errorf("pull request %d goes into the branch %s, and the daemon follows %s: it does nothing about it",
			p.key.Number, p.proposal.BaseBranch, m.Base.Branch)
	}
	// The followed branch is what policies are read from. None of its own changes is planned.
	snap, err := src.Snapshot(ctx, m.Base)
	if err != nil {
		return PulledPlan{}, err
	}
	if _, err := p.app.reconciler.PreviewRevision(ctx, m.Base, snap, func(schema.ResourceKey) bool { return false }); err != nil {
		return PulledPlan{}, err
	}
	record, err := p.record(ctx)
	if err != nil {
		return PulledPlan{}, err
	}
	allowed := p.stranger == "" || p.o.Trust || record.Allowed != nil && record.Allowed.Head == p.proposal.Head
	number, before := 1, record.Round
	if before != nil {
		number = before.Number
		if before.Head != p.proposal.Head || before.Base != m.Base.Commit {
			number++
		}
	}
	round := pull.Round{Number: number, Base: m.Base.Commit, Head: p.proposal.Head, StartedAt: time.Now().UTC()}
	switch {
	case !allowed && p.untouched(ctx, m, &round):
	case !allowed:
		round.Refused = stackjob.Reason{Code: stackjob.ReasonUntrusted, Detail: p.stranger}
	case m.Refused != "":
		round.Conflicts, round.Refused = m.Conflicts, stackjob.Reason{Code: stackjob.ReasonConflict, Detail: m.Refused}
	default:
		if round, err = p.propose(ctx, m, number, before); err != nil {
			return PulledPlan{}, err
		}
		round.Head = p.proposal.Head
		carryOn(&round, before)
	}
	record.Round = &round
	return p.outcome(ctx, record)
}

// carryOn makes a round that is the one before, carried on, tell so.
func carryOn(round, before *pull.Round) {
	if before == nil || before.Number != round.Number {
		return
	}
	round.StartedAt = before.StartedAt
	for i := range round.Rows {
		if was := before.Row(round.Rows[i].Key); was != nil && was.Job == round.Rows[i].Job {
			round.Rows[i].Reused = was.Reused
		}
	}
}

// record is what the daemon has recorded of the pull request, with what is proposed now.
func (p *pulling) record(ctx context.Context) (pull.Pull, error) {
	rec, _, err := p.app.store.Pull(ctx, p.key)
	switch {
	case errors.Is(err, store.ErrNotFound):
		rec = pull.Pull{Key: p.key, CreatedAt: time.Now().UTC()}
	case err != nil:
		return rec, err
	}
	rec.Phase, rec.Proposal, rec.Landed = pull.Open, p.proposal, ""
	return rec, nil
}

// untouched makes the round of a stranger whose change touches nothing. What cannot be
// read is not that.
func (p *pulling) untouched(ctx context.Context, m gitsource.Merge, round *pull.Round) bool {
	if m.Refused != "" {
		return false
	}
	r, is, err := p.app.reconciler.Untouched(ctx, reconciler.Proposal{Key: p.key, Base: m.Base, Merge: m.Revision, Round: round.Number})
	if err != nil || !is {
		return false
	}
	r.Head = round.Head
	*round = r
	return true
}

// propose makes the plans.
func (p *pulling) propose(ctx context.Context, m gitsource.Merge, number int, before *pull.Round) (pull.Round, error) {
	round, err := p.app.reconciler.Propose(ctx, reconciler.Proposal{Key: p.key, Base: m.Base, Merge: m.Revision, Round: number, Before: before, Fresh: p.o.Fresh})
	if err != nil {
		return round, err
	}
	jobs := reconciler.Preview{Jobs: map[schema.ResourceKey]stackjob.JobID{}}
	for _, row := range round.Rows {
		if row.Job == "" || row.Reused {
			continue
		}
		jobs.Jobs[row.Key] = row.Job
		if err := copyState(ctx, p.o.Config.DataDir, p.app.layout.Root, row.Key); err != nil {
			return round, err
		}
	}
	if err := p.app.workUntilPlanned(ctx, jobs, p.o.Begin); err != nil {
		return round, err
	}
	return round, ctx.Err()
}

// outcome tells what the plans found, and renders the comment.
func (p *pulling) outcome(ctx context.Context, rec pull.Pull) (PulledPlan, error) {
	out := PulledPlan{LocalPlan: LocalPlan{Resources: []PlannedResource{}, Engines: rec.Round.Engines}, Number: p.key.Number, Title: p.proposal.Title,
		Head: rec.Round.Head, Base: rec.Round.Base, Conflicts: rec.Round.Conflicts}
	if !rec.Round.Refused.IsZero() {
		out.Refused = &rec.Round.Refused
	}
	if tree := p.app.reconciler.ProposedTree(p.key); tree != nil {
		out.Diagnostics, out.Unchanged = tree.Diagnostics(), len(tree.Resources())
	}
	o := pullrequest.Options{Records: p.app.store, Planner: p.app.reconciler, Now: time.Now, LogTail: p.app.logTail}
	view, err := pullrequest.Standing(ctx, o, rec)
	if err != nil {
		return out, err
	}
	for i, row := range rec.Round.Rows {
		if d := view.Rows[i].Deferred; !d.IsZero() { // whatever was planned of it is of values that will not hold
			row.Deferred, row.Job = &d, ""
		}
		r := PlannedResource{Key: row.Key, Action: row.Action, Because: row.Because, Deferred: row.Deferred, MovedFrom: row.MovedFrom}
		if !row.Error.IsZero() {
			r.Problem = &row.Error
		}
		if row.Job != "" {
			j, err := p.app.records.Job(ctx, row.Job)
			if err != nil {
				return out, err
			}
			r.Job = &j
			r.failed(ctx, p.app)
		}
		if row.Unchanged && row.MovedFrom == "" {
			continue
		}
		if row.Action == stackjob.Apply && !row.Unchanged {
			out.Unchanged--
		}
		out.Resources = append(out.Resources, r)
	}
	slices.SortStableFunc(out.Resources, func(a, b PlannedResource) int { return a.Key.Compare(b.Key) })
	text, err := pullrequest.Render(ctx, o, rec, p.limits)
	out.Comment, out.Left = text.Body, text.Left
	return out, err
}

// pagePath is how the page of a pull request ends, on every kind of forge.
var pagePath = regexp.MustCompile(`^(.+?)/(?:pull|pulls|-/merge_requests)/([0-9]+)(?:/.*)?$`)

// findPull finds a pull request by its number, or by the URL of its page, among the
// repositories whose pull requests are followed.
func findPull(all []config.Repository, name, text string) (config.Repository, int, error) {
	var with []config.Repository
	for _, r := range all {
		if !r.Forge.IsZero() && (name == "" || r.Name == name) {
			with = append(with, r)
		}
	}
	if len(with) == 0 {
		what := "no repository in the configuration has a forge"
		if name != "" {
			what = "the configuration names no repository " + name + " with a forge"
		}
		return config.Repository{}, 0, fmt.Errorf("%w: %s; see repositories[].forge in reeve.yaml", ErrCannotFind, what)
	}
	if n, err := strconv.Atoi(strings.TrimLeft(text, "#!")); err == nil && n > 0 {
		if len(with) > 1 {
			return config.Repository{}, 0, fmt.Errorf("%w: %d may be of several repositories; name one with --repository, or give the URL", ErrCannotFind, n)
		}
		return with[0], n, nil
	}
	u, err := url.Parse(text)
	if err != nil || u.Host == "" {
		return config.Repository{}, 0, fmt.Errorf("%w: %q is neither a number nor the URL of a pull request's page", ErrCannotFind, text)
	}
	m := pagePath.FindStringSubmatch(u.Path)
	if m == nil {
		return config.Repository{}, 0, fmt.Errorf("%w: the URL's path is not that of a pull request: expected …/OWNER/NAME/pull/NUMBER, …/pulls/NUMBER or …/-/merge_requests/NUMBER", ErrCannotFind)
	}
	n, err := strconv.Atoi(m[2])
	if err != nil {
		return config.Repository{}, 0, fmt.Errorf("%w: %s is no number", ErrCannotFind, m[2])
	}
	for _, r := range with {
		if hasPage(r, u, m[1]) {
			return r, n, nil
		}
	}
	return config.Repository{}, 0, fmt.Errorf("%w: no repository in the configuration is %s%s", ErrCannotFind, u.Host, m[1])
}

// hasPage tells whether a page is one of a repository's: on the forge, or on the host that
// it is cloned from, where the forge is addressed by another name.
func hasPage(r config.Repository, u *url.URL, repository string) bool {
	if at, err := url.Parse(r.Forge.URL); err == nil && strings.EqualFold(at.Host, u.Host) {
		below := strings.TrimSuffix(strings.TrimRight(at.Path, "/"), "/api/v3") // GitHub Enterprise's API
		if strings.EqualFold(repository, below+"/"+r.Forge.Repository) {
			return true
		}
	}
	from, err := url.Parse(r.URL)
	return err == nil && from.Host != "" && strings.EqualFold(from.Host, u.Host) &&
		strings.EqualFold(repository, strings.TrimSuffix(strings.TrimRight(from.Path, "/"), ".git"))
}
