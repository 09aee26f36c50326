// Package desk is where people and programs ask and answer: it implements
// api.Backend on the reconciler and the store. It decides nothing: every answer is
// computed from recorded jobs, the newest tree and the pure packages.
package desk

import (
	"context"
	"io"
	"maps"
	"path"
	"slices"

	"github.com/stackreeve/stackreeve/internal/api"
	"github.com/stackreeve/stackreeve/reconciler"
	"github.com/stackreeve/stackreeve/reconciler/diff"
	"github.com/stackreeve/stackreeve/reconciler/engine"
	"github.com/stackreeve/stackreeve/reconciler/flowcontrol"
	"github.com/stackreeve/stackreeve/reconciler/pull"
	"github.com/stackreeve/stackreeve/reconciler/report"
	"github.com/stackreeve/stackreeve/reconciler/report/comment"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/reconciler/store"
	"github.com/stackreeve/stackreeve/schema"
)

// Records is what the desk reads.
type Records interface {
	store.Jobs
	store.Stacks
	store.Revisions
	// Turns and Releases are of store.Pulls.
	Turns(ctx context.Context) (pull.Turns, error)
	Releases(ctx context.Context, stack schema.ResourceKey, limit int) ([]pull.Release, error)
}

// Watcher tells that events were written.
type Watcher interface {
	Watch(ctx context.Context) <-chan struct{}
}

// Options are what a Desk is made of.
type Options struct {
	Records    Records
	Watcher    Watcher
	Reconciler *reconciler.Reconciler
	Worker     *reconciler.Worker
	Layout     reconciler.Layout
	// Program finds the program that fits, and says where it comes from.
	Program func(ctx context.Context, w engine.Wanted) (p engine.Program, origin string, err error)
	// OpenLog opens the log of one phase at a byte offset; following ends with the
	// phase.
	OpenLog func(ctx context.Context, folder string, from int64, f api.Follow) (io.ReadCloser, error)
	// Pulls selects what is remembered of pull requests, and Standing derives how one
	// stands; nil where none are followed.
	Pulls    func(ctx context.Context, q store.PullQuery) ([]pull.Pull, error)
	Standing func(ctx context.Context, p pull.Pull) (comment.Pull, error)
	// Concerning are the pull requests that have to do with a resource and its job; nil where
	// none are followed.
	Concerning func(ctx context.Context, key schema.ResourceKey, job *stackjob.Job) ([]report.PullOf, error)
	// Release ends turns, and Follows tells whether pull requests of a repository are
	// followed.
	Release func(ctx context.Context, key pull.Key, chosen func(schema.ResourceKey) bool, by stackjob.Actor, reason string) ([]pull.Release, error)
	Follows func(repository string) bool
	// IsOwn tells whether an actor proposed what a job carries out; nil where no pull
	// requests are followed.
	IsOwn func(ctx context.Context, job stackjob.Job, by stackjob.Actor) (bool, error)
}

// Desk implements api.Backend.
type Desk struct{ o Options }

// New returns a Desk.
func New(o Options) *Desk { return &Desk{o: o} }

var _ api.Backend = (*Desk)(nil)

// Resources lists every Cloud Resource of the newest trees, and every stack whose
// document is gone and that is still there.
func (d *Desk) Resources(ctx context.Context, f api.Filter) ([]api.ResourceStatus, error) {
	stacks, err := d.o.Records.Stacks(ctx, "")
	if err != nil {
		return nil, err
	}
	out := []api.ResourceStatus{}
	seen := map[schema.ResourceKey]bool{}
	for _, repo := range d.o.Reconciler.Repositories() {
		if repo.View == nil {
			continue
		}
		changes := changesByKey(repo.View)
		for _, r := range repo.View.Tree.Resources() {
			seen[r.Key] = true
			if matches(f, r.Key) {
				out = append(out, d.resourceStatus(repo.View, r, stackOf(stacks, r.Key), changes[r.Key]))
			}
		}
	}
	for _, key := range slices.SortedFunc(maps.Keys(stacks), schema.ResourceKey.Compare) {
		if st := stacks[key]; !seen[key] && st.Observed != nil && matches(f, key) {
			out = append(out, d.removedStatus(st))
		}
	}
	slices.SortFunc(out, func(a, b api.ResourceStatus) int { return a.Key.Compare(b.Key) })
	return out, nil
}

func changesByKey(v *reconciler.View) map[schema.ResourceKey]*diff.Change {
	out := make(map[schema.ResourceKey]*diff.Change, len(v.Result.Changes))
	for i := range v.Result.Changes {
		out[v.Result.Changes[i].Key] = &v.Result.Changes[i]
	}
	return out
}

func stackOf(m map[schema.ResourceKey]stackjob.Stack, k schema.ResourceKey) stackjob.Stack {
	if s, ok := m[k]; ok {
		return s
	}
	return stackjob.Stack{Key: k}
}

func (d *Desk) resourceStatus(v *reconciler.View, r *schema.Resource, st stackjob.Stack, ch *diff.Change) api.ResourceStatus {
	s := api.ResourceStatus{Key: r.Key, Name: r.Metadata.Name, Module: r.Module.String(),
		Engine: wanted(r, st, d.o.Reconciler.Settings().DefaultProvisioner).Provisioner,
		File:   r.Pos.File, Line: r.Pos.Line, Policy: flowcontrol.Choose(v.Tree.Policies(), r.Key).Name}
	fillFromStack(&s, st)
	s.Status, s.Reason = "applied", stackjob.Reason{}
	pending := ch != nil && !outdated(st, ch)
	if pending {
		s.Because = ch.Because
	}
	diagnostic, frozen := v.Tree.Frozen(r.Key.Org, r.Key.Env)
	switch {
	case frozen:
		s.Status, s.Reason = "frozen", stackjob.Reason{Code: stackjob.ReasonFrozen, Detail: diagnostic.Pos.String()}
	case st.Open != nil:
		s.Status, s.Reason = openStatus(*st.Open)
	case st.Last != nil && st.Last.State == stackjob.Interrupted:
		s.Status, s.Reason = "interrupted", st.Last.Reason
	case pending && ch.Error != nil:
		s.Status, s.Reason = "failed", *ch.Error
	case pending && ch.Refused != nil:
		s.Status, s.Reason = "waiting", *ch.Refused
	case pending && settled(v, ch, st) != nil:
		last := settled(v, ch, st)
		s.Status, s.Reason = settledStatus(last.State), last.Reason
	case st.Observed == nil && st.Last == nil && !pending:
		s.Status = "new"
	case pending:
		s.Status, s.Reason = "blocked", d.blocker(v, ch)
	}
	return s
}

// outdated tells that a change of the view has been carried out since the view was
// made: one that was refused has not.
func outdated(st stackjob.Stack, ch *diff.Change) bool {
	return ch.Action == stackjob.Apply && ch.Refused == nil && st.Open == nil && st.Observed != nil && st.Observed.Complete &&
		st.Observed.Desired.Digest() == ch.Desired.Digest() && (st.Last == nil || st.Last.State == stackjob.Succeeded)
}

// blocker says which producer keeps a change from becoming a job.
func (d *Desk) blocker(v *reconciler.View, ch *diff.Change) stackjob.Reason {
	changes := changesByKey(v)
	for _, k := range ch.After {
		if p := changes[k]; p != nil && !p.Starts() {
			return stackjob.Reason{Code: stackjob.ReasonBlocked, Detail: k.String()}
		}
	}
	if len(ch.After) > 0 {
		return stackjob.Reason{Code: stackjob.ReasonWaitsForProducer, Detail: ch.After[0].String()}
	}
	return stackjob.Reason{Code: stackjob.ReasonWaitsForProducer}
}

// openStatus is the word for a job that has not ended.
func openStatus(j stackjob.Job) (string, stackjob.Reason) {
	switch {
	case j.State.IsWaiting() && j.Reason.Code == stackjob.ReasonPending:
		return "pending", j.Reason
	case j.State.IsWaiting():
		return "waiting", j.Reason
	case j.Reason.Code == stackjob.ReasonBlocked:
		return "blocked", j.Reason
	}
	return "changed", j.Reason
}

func fillFromStack(s *api.ResourceStatus, st stackjob.Stack) {
	if o := st.Observed; o != nil {
		s.Revision, s.Commit, s.AppliedAt, s.Engine = o.Desired.ModuleRevision, o.Desired.Commit, o.AppliedAt, o.Desired.Provisioner
	}
	switch {
	case st.Open != nil:
		s.Job, s.Engine = st.Open.ID, st.Open.Desired.Provisioner
	case st.Last != nil:
		s.Job = st.Last.ID
	}
}

func (d *Desk) removedStatus(st stackjob.Stack) api.ResourceStatus {
	o := st.Observed
	s := api.ResourceStatus{Key: st.Key, Name: o.Desired.Name, Module: o.Desired.Module.String(), File: o.Desired.File,
		Line: o.Desired.Line, Status: "removed", Because: []stackjob.Because{{Cause: stackjob.CauseRemoved}}}
	fillFromStack(&s, st)
	if st.Open != nil {
		_, s.Reason = openStatus(*st.Open)
		return s
	}
	v := d.o.Reconciler.View(o.Desired.Repository)
	if v == nil {
		// Not read yet, or not followed: nobody knows that its document is gone.
		s.Because = nil
		if s.Status = "applied"; !o.Complete {
			s.Status = "failed"
		}
		if o.Interrupted {
			s.Status = "interrupted"
		}
		return s
	}
	if diagnostic, frozen := v.Tree.Frozen(st.Key.Org, st.Key.Env); frozen {
		s.Because, s.Status = nil, "frozen"
		s.Reason = stackjob.Reason{Code: stackjob.ReasonFrozen, Detail: diagnostic.Pos.String()}
		return s
	}
	s.Policy = flowcontrol.Choose(v.Tree.Policies(), st.Key).Name
	if ch := changesByKey(v)[st.Key]; ch != nil && ch.Refused != nil {
		s.Reason = *ch.Refused
	} else if ch != nil {
		if last := settled(v, ch, st); last != nil {
			s.Reason = last.Reason
		}
	}
	return s
}

func matches(f api.Filter, k schema.ResourceKey) bool {
	return (f.Org == "" || f.Org == k.Org) && (f.Env == "" || f.Env == k.Env) && glob(f.Kind, k.Kind) && glob(f.Name, k.Name)
}

func glob(pattern, s string) bool {
	if pattern == "" {
		return true
	}
	ok, err := path.Match(pattern, s)
	return err == nil && ok
}

// Environments lists the environments of the newest trees.
func (d *Desk) Environments(ctx context.Context, f api.Filter) ([]api.EnvironmentStatus, error) {
	resources, err := d.Resources(ctx, api.Filter{Org: f.Org, Env: f.Env})
	if err != nil {
		return nil, err
	}
	type folder struct{ org, env string }
	byFolder := map[folder]map[string]int{}
	for _, r := range resources {
		k := folder{r.Key.Org, r.Key.Env}
		if byFolder[k] == nil {
			byFolder[k] = map[string]int{}
		}
		byFolder[k][r.Status]++
	}
	out := []api.EnvironmentStatus{}
	for _, repo := range d.o.Reconciler.Repositories() {
		if repo.View == nil {
			continue
		}
		for _, e := range repo.View.Tree.Environments() {
			if f.Org != "" && f.Org != e.Org || f.Env != "" && f.Env != e.Slug {
				continue
			}
			s := api.EnvironmentStatus{Org: e.Org, Name: e.Slug, Description: e.Spec.Description, PromotionOrder: e.Spec.PromotionOrder,
				Protected: e.Spec.Protected, ByStatus: map[string]int{}}
			if m := byFolder[folder{e.Org, e.Slug}]; m != nil {
				s.ByStatus = m
			}
			for _, n := range s.ByStatus {
				s.Resources += n
			}
			if diagnostic, frozen := repo.View.Tree.Frozen(e.Org, e.Slug); frozen {
				s.Frozen = diagnostic.Pos.String() + ": " + diagnostic.Summary()
			}
			out = append(out, s)
		}
	}
	slices.SortStableFunc(out, func(a, b api.EnvironmentStatus) int {
		if a.Org != b.Org {
			if a.Org < b.Org {
				return -1
			}
			return 1
		}
		return a.PromotionOrder - b.PromotionOrder
	})
	return out, nil
}

// Policies lists the policies of the newest trees, with how many resources each is
// in force for.
func (d *Desk) Policies(_ context.Context, f api.Filter) ([]api.PolicyStatus, error) {
	out := []api.PolicyStatus{}
	for _, repo := range d.o.Reconciler.Repositories() {
		if repo.View == nil {
			continue
		}
		inForce := map[string]int{}
		for _, r := range repo.View.Tree.Resources() {
			inForce[flowcontrol.Choose(repo.View.Tree.Policies(), r.Key).Name]++
		}
		for _, p := range repo.View.Tree.Policies() {
			if f.Org != "" && p.Org != "" && p.Org != f.Org || f.Env != "" && p.Env != "" && p.Env != f.Env || !glob(f.Name, p.Metadata.Name) {
				continue
			}
			name := flowcontrol.Name(p)
			out = append(out, api.PolicyStatus{Name: name, Folder: path.Join(p.Org, p.Env), Selector: p.Selector, Controls: p.Controls,
				Prune: p.Prune, Approvals: p.Approvals, Override: p.Override, ApplyBeforeMerge: p.ApplyBeforeMerge, File: p.Pos.File, Line: p.Pos.Line, Resources: inForce[name]})
		}
	}
	return out, nil
}

// Repositories lists the followed repositories.
func (d *Desk) Repositories(context.Context) ([]api.RepositoryStatus, error) {
	out := []api.RepositoryStatus{}
	for _, s := range d.o.Reconciler.Repositories() {
		out = append(out, d.repositoryStatus(s))
	}
	return out, nil
}

func (d *Desk) repositoryStatus(s reconciler.RepositoryState) api.RepositoryStatus {
	r := api.RepositoryStatus{Name: s.Name, URL: s.Address, PolledAt: s.PolledAt}
	if s.Err != nil {
		r.FetchError = s.Err.Error()
	}
	if v := s.View; v != nil {
		r.Branch, r.Commit, r.Subject = v.Revision.Branch, v.Revision.Commit, v.Revision.Subject
		r.Resources, r.ReconciledAt = len(v.Tree.Resources()), v.ComparedAt
		r.Errors, r.Warnings, r.Report = reconciler.Count(v.Tree.Diagnostics())
	}
	return r
}

// Poll looks at a repository now.
func (d *Desk) Poll(ctx context.Context, repository string, _ stackjob.Actor) (api.RepositoryStatus, error) {
	pollErr := d.o.Reconciler.Poll(ctx, repository)
	for _, s := range d.o.Reconciler.Repositories() {
		if s.Name == repository {
			return d.repositoryStatus(s), nil // a failed look is part of the status
		}
	}
	return api.RepositoryStatus{}, pollErr
}

// Changes lists what the newest trees would change, with what has become of each.
func (d *Desk) Changes(ctx context.Context, f api.Filter) ([]api.Change, error) {
	stacks, err := d.o.Records.Stacks(ctx, f.Org)
	if err != nil {
		return nil, err
	}
	out := []api.Change{}
	for _, repo := range d.o.Reconciler.Repositories() {
		if repo.View == nil {
			continue
		}
		for i := range repo.View.Result.Changes {
			ch := &repo.View.Result.Changes[i]
			st := stackOf(stacks, ch.Key)
			if !matches(f, ch.Key) || outdated(st, ch) || ch.Action == stackjob.Destroy && st.Observed == nil {
				continue
			}
			c := api.Change{Key: ch.Key, Action: ch.Action, Because: ch.Because}
			switch {
			case ch.Refused != nil:
				c.Hold = *ch.Refused
			case ch.Error != nil:
				c.Hold = *ch.Error
			case st.Open != nil:
				c.Job = st.Open.ID
				if st.Open.State.IsWaiting() || st.Open.State == stackjob.Queued {
					c.Hold = st.Open.Reason
				}
			case settled(repo.View, ch, st) != nil:
				last := settled(repo.View, ch, st)
				c.Hold, c.Job = last.Reason, last.ID
			default:
				c.Hold = d.blocker(repo.View, ch)
			}
			out = append(out, c)
		}
	}
	return out, nil
}
