package reconciler

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/stackreeve/stackreeve/gitsource"
	"github.com/stackreeve/stackreeve/reconciler/diff"
	"github.com/stackreeve/stackreeve/reconciler/flowcontrol"
	"github.com/stackreeve/stackreeve/reconciler/pull"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/reconciler/store"
	"github.com/stackreeve/stackreeve/schema"
)

// Proposal is a merge that is to be planned and not applied.
type Proposal struct {
	Key pull.Key
	// Base and Merge are the followed branch and what merging the head into it makes.
	Base, Merge gitsource.Revision
	// Round is the number of the round, and Before the round before it: plans of it
	// that would come out the same are taken over, its other jobs end. Before may be
	// the same round, when its jobs are to be carried on after a restart.
	Round  int
	Before *pull.Round
	// Fresh makes every plan anew.
	Fresh bool
}

// Propose compares a merge with its base and enqueues a plan-only job for every affected
// resource that can be planned. The result has no Head: the caller knows it.
func (r *Reconciler) Propose(ctx context.Context, p Proposal) (pull.Round, error) {
	round := pull.Round{Number: p.Round, Base: p.Base.Commit, Merge: p.Merge.Commit, StartedAt: r.o.Now()}
	repo := r.repository(p.Key.Repository)
	if repo == nil {
		return round, fmt.Errorf("repository %q: %w", p.Key.Repository, store.ErrNotFound)
	}
	base, err := r.proposalInput(ctx, repo, p.Base)
	if err != nil {
		return round, err
	}
	merged, err := r.proposalInput(ctx, repo, p.Merge)
	if err != nil {
		return round, err
	}
	round.Errors, round.Warnings, round.Report = Count(merged.Tree.Diagnostics())
	round.Policies = flowcontrol.Moves(base.Tree.Policies(), merged.Tree.Policies())
	s := proposing{r: r, p: p, base: base, merged: merged, round: &round, deferred: map[schema.ResourceKey]bool{}}
	e := store.Enqueue{}
	for _, a := range diff.Between(base, merged) {
		row, job, err := s.row(ctx, a)
		if err != nil {
			return round, err
		}
		round.Rows = append(round.Rows, row)
		if job != nil {
			e.Jobs = append(e.Jobs, *job)
		}
	}
	if round.Engines, err = r.engineLacks(ctx, base, merged, &round); err != nil {
		return round, err
	}
	r.setProposal(p.Key, merged.Tree)
	ids, err := r.o.Records.Enqueue(ctx, e)
	if err != nil {
		return round, fmt.Errorf("enqueue the plans of %s: %w", p.Key, err)
	}
	return round, s.settle(ctx, e.Jobs, ids)
}

// Untouched tells whether a merge changes nothing: no resource, no policy, nothing that is
// wrong. It is for what a stranger proposes: it reads what the merge holds, runs nothing of
// it, and asks no remote that the base does not name. The round is empty, and has no Head.
func (r *Reconciler) Untouched(ctx context.Context, p Proposal) (_ pull.Round, is bool, err error) {
	round := pull.Round{Number: p.Round, Base: p.Base.Commit, Merge: p.Merge.Commit, StartedAt: r.o.Now()}
	repo := r.repository(p.Key.Repository)
	if repo == nil {
		return round, false, fmt.Errorf("repository %q: %w", p.Key.Repository, store.ErrNotFound)
	}
	base, err := r.proposalInput(ctx, repo, p.Base)
	if err != nil {
		return round, false, err
	}
	merged, known, err := r.readInput(ctx, repo, p.Merge, base)
	if err != nil || !known {
		return round, false, err
	}
	round.Errors, round.Warnings, round.Report = Count(merged.Tree.Diagnostics())
	if round.Engines, err = r.engineLacks(ctx, base, merged, &round); err != nil {
		return round, false, err
	}
	is = round.Errors == 0 && len(flowcontrol.Moves(base.Tree.Policies(), merged.Tree.Policies())) == 0 && len(diff.Between(base, merged)) == 0
	return round, is, nil
}

// readInput is the merged side for [Reconciler.Untouched]: with the revisions of the modules
// that are folders of the merge, and of the others what the base was told. known is false
// when it names one that the base does not name.
func (r *Reconciler) readInput(ctx context.Context, repo *repository, rev gitsource.Revision, base diff.Input) (_ diff.Input, known bool, err error) {
	repo.proposing.Lock()
	defer repo.proposing.Unlock()
	in := diff.Input{Repository: rev.Repository, Commit: rev.Commit, DefaultProvisioner: base.DefaultProvisioner, Hash: r.o.Hasher.Hash, Seal: r.o.Hasher.Seal,
		Revisions: maps.Clone(base.Revisions), ModuleErrors: maps.Clone(base.ModuleErrors)}
	snap, err := repo.o.Source.Snapshot(ctx, rev)
	if err != nil {
		return in, false, fmt.Errorf("open %s: %w", rev.Short(), err)
	}
	if in.Tree, err = repo.proposals.Load(ctx, snap); err != nil {
		return in, false, fmt.Errorf("load %s: %w", rev.Short(), err)
	}
	read := map[schema.ModuleSource]bool{}
	for _, res := range in.Tree.Resources() {
		src := res.Module
		switch _, there := base.Revisions[src]; {
		case read[src]:
			continue
		case !src.IsLocal() && !there && base.ModuleErrors[src] == "":
			return in, false, nil
		case !src.IsLocal():
			continue
		}
		read[src] = true
		delete(in.Revisions, src)
		delete(in.ModuleErrors, src)
		revision, err := r.o.Modules.Revision(ctx, snap, src)
		if ctx.Err() != nil {
			return in, false, ctx.Err()
		}
		if err != nil {
			in.ModuleErrors[src] = err.Error()
			continue
		}
		in.Revisions[src] = revision
	}
	return in, true, nil
}

// proposalInput is one side of the comparison.
func (r *Reconciler) proposalInput(ctx context.Context, repo *repository, rev gitsource.Revision) (diff.Input, error) {
	repo.proposing.Lock() // one loader, one load at a time
	defer repo.proposing.Unlock()
	snap, err := repo.o.Source.Snapshot(ctx, rev)
	if err != nil {
		return diff.Input{}, fmt.Errorf("open %s: %w", rev.Short(), err)
	}
	in := diff.Input{Repository: rev.Repository, Commit: rev.Commit, DefaultProvisioner: r.Settings().DefaultProvisioner, Hash: r.o.Hasher.Hash, Seal: r.o.Hasher.Seal}
	var answers moduleAnswers
	if v := repo.view.Load(); v != nil && v.Revision.Commit == rev.Commit {
		in.Tree = v.Tree
		answers.revisions, answers.failures, err = r.moduleRevisions(ctx, in.Tree, snap)
	} else {
		in.Tree, answers, err = r.load(ctx, repo.proposals, rev, snap)
	}
	in.Revisions, in.ModuleErrors = answers.revisions, answers.failures
	return in, err
}

// proposing is the work on one round.
type proposing struct {
	r            *Reconciler
	p            Proposal
	base, merged diff.Input
	round        *pull.Round
	deferred     map[schema.ResourceKey]bool
}

// row makes the row of an affected resource, and its job when it needs a new one.
func (s *proposing) row(ctx context.Context, a diff.Affected) (pull.Row, *stackjob.Job, error) {
	row := pull.Row{Key: a.Key, Action: a.Action, Because: a.Because, MovedFrom: a.MovedFrom, After: a.After}
	if a.Error != nil {
		row.Error = *a.Error
		return row, nil, nil
	}
	if len(a.Because) == 0 {
		row.Unchanged = true // only its document moved
		return row, nil, nil
	}
	st, err := s.r.o.Records.Stack(ctx, a.Key)
	if err != nil {
		return row, nil, err
	}
	if st.Observed != nil {
		row.Observed = st.Observed.JobID
	}
	if o := st.Observed; o != nil && o.Desired.Repository != s.p.Key.Repository {
		row.Error = stackjob.Reason{Code: stackjob.ReasonOtherRepository, Detail: o.Desired.Repository}
		return row, nil, nil
	}
	if r, there := s.merged.Tree.Resource(a.Key); there && a.Action == stackjob.Apply {
		a.Desired = diff.EngineOf(r, a.Desired, st)
		row.Engine = a.Desired.Provisioner
		if why := diff.EngineRefused(r, a.Desired, st); why != nil {
			row.Error = *why
			return row, nil, nil
		}
	}
	if a.Action == stackjob.Destroy {
		if st.Observed == nil {
			row.Unchanged = true // nothing was ever made of it
			return row, nil, nil
		}
		protected := a.Desired.PreventDestroy // as the base says now, whatever was recorded
		a.Desired = st.Observed.Desired
		row.Engine = a.Desired.Provisioner
		a.Desired.PreventDestroy = a.Desired.PreventDestroy || protected
		if why, forbidden := s.forbidden(a); forbidden {
			row.Error = why
			return row, nil, nil
		}
	}
	basis, producer, err := s.basis(ctx, a, st, &row)
	if err != nil {
		return row, nil, err
	}
	if producer != nil {
		s.deferred[a.Key] = true
		row.Deferred = producer
		return row, nil, nil
	}
	row.Basis = basis
	if old := s.p.Before.Row(a.Key); old != nil && old.Job != "" && old.Basis == basis && !s.p.Fresh {
		usable, err := s.usable(ctx, old.Job)
		if err != nil {
			return row, nil, err
		}
		if usable {
			row.Job, row.Reused = old.Job, true
			return row, nil, nil
		}
	}
	job := s.r.newJob(diff.Change{Key: a.Key, Action: a.Action, Desired: a.Desired, Because: a.Because})
	job.Purpose, job.Pull = stackjob.PlanOnly, s.p.Key.String()
	row.Job = job.ID
	return row, &job, nil
}

// forbidden is what no approval helps against, judged by the target branch.
func (s *proposing) forbidden(a diff.Affected) (stackjob.Reason, bool) {
	choice := flowcontrol.Choose(s.base.Tree.Policies(), a.Key)
	v := flowcontrol.AtStart(stackjob.Job{Purpose: stackjob.Reconcile, Action: a.Action, Desired: a.Desired, DesiredDigest: a.Desired.Digest()}, choice)
	return v.Reason, v.Decision == stackjob.Refuse
}

// basis is a hash over all that a plan is made of: what is wanted, what was last
// made, and the values that it reads. producer is set when one of these cannot be had
// before another resource is applied. What it reads of other rows is put into row: their
// plans tell whether the values hold.
func (s *proposing) basis(ctx context.Context, a diff.Affected, st stackjob.Stack, row *pull.Row) (basis string, producer *schema.ResourceKey, err error) {
	// The constraint picks the program: what another version planned is another plan.
	parts := []string{string(a.Action), a.Desired.Digest(), a.Desired.EngineVersion.Constraint}
	if st.Observed != nil {
		parts = append(parts, string(st.Observed.JobID))
	}
	refs, err := schema.ReferencesIn(a.Desired.Inputs)
	if err != nil || a.Action == stackjob.Destroy {
		refs = nil // the job will say so
	}
	for _, ref := range refs {
		ref.To.Org = a.Key.Org // references stay inside the organization
		if s.deferred[ref.To] {
			return "", &ref.To, nil
		}
		from, err := s.r.o.Records.Stack(ctx, ref.To)
		if err != nil {
			return "", nil, err
		}
		if s.applies(ref.To) {
			if diff.SpecMoves(ref, from, s.merged.Tree) {
				return "", &ref.To, nil
			}
			row.Reads = append(row.Reads, pull.Read{Of: ref.To, Path: ref.FieldPath})
		}
		v, missing := diff.ResolveValue(ref, from, s.merged.Tree)
		switch {
		case missing != nil && from.Observed == nil:
			if _, there := s.merged.Tree.Resource(ref.To); there {
				return "", &ref.To, nil
			}
			parts = append(parts, missing.String())
		case missing != nil:
			// The output is not there now; the change of its producer may bring it.
			if slices.ContainsFunc(s.round.Rows, func(row pull.Row) bool { return row.Key == ref.To && !row.Unchanged }) {
				return "", &ref.To, nil
			}
			parts = append(parts, missing.String())
		default:
			parts = append(parts, diff.ReferenceName(ref)+"="+v.Hash+string(v.JSON))
		}
	}
	hashed := ""
	for _, part := range parts {
		hashed = s.r.o.Hasher.Hash([]byte(hashed + "\n" + part))
	}
	return hashed, nil, nil
}

// applies tells whether a resource is a row of this round that may be applied.
func (s *proposing) applies(key schema.ResourceKey) bool {
	row := s.round.Row(key)
	return row != nil && !row.Unchanged && row.Action == stackjob.Apply
}

// usable tells whether the plan of an earlier round stands, or is being made.
func (s *proposing) usable(ctx context.Context, id stackjob.JobID) (bool, error) {
	job, err := s.r.o.Records.Job(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if job.State.IsFinal() {
		return job.State == stackjob.Succeeded && job.Plan != nil, nil
	}
	return job.CancelledBy == nil, nil
}

// settle wakes what waited for this round and ends jobs of the round before that it
// does not use.
func (s *proposing) settle(ctx context.Context, jobs []stackjob.Job, written []stackjob.JobID) error {
	for i := range s.round.Rows {
		row := &s.round.Rows[i]
		if row.Job == "" || row.Reused || slices.Contains(written, row.Job) {
			continue
		}
		// An open job of this pull request does the same already.
		open, err := s.r.openPlan(ctx, s.p.Key, row.Key)
		if err != nil {
			return err
		}
		if open == nil {
			return fmt.Errorf("the plan of %s was not enqueued and is not there", row.Key)
		}
		row.Job = open.ID
	}
	used := map[stackjob.JobID]bool{}
	var awake []stackjob.JobID // they waited for the tree of this round
	for _, row := range s.round.Rows {
		used[row.Job] = true
		if row.Job == "" || slices.Contains(written, row.Job) {
			continue // those that were just written are awake
		}
		if job, err := s.r.o.Records.Job(ctx, row.Job); err == nil && !job.State.IsFinal() {
			awake = append(awake, row.Job)
		}
	}
	if err := s.r.o.Records.WakeAll(ctx, awake); err != nil {
		return err
	}
	if s.p.Before == nil {
		return nil
	}
	for _, row := range s.p.Before.Rows {
		if row.Job == "" || used[row.Job] {
			continue
		}
		if err := s.r.Abandon(ctx, row.Job); err != nil {
			return err
		}
	}
	return nil
}

// openPlan finds the open plan-only job of a resource for a pull request.
func (r *Reconciler) openPlan(ctx context.Context, key pull.Key, k schema.ResourceKey) (*stackjob.Job, error) {
	jobs, err := r.o.Records.List(ctx, store.JobQuery{Org: k.Org, Env: k.Env, Kind: k.Kind, Name: k.Name, Open: true})
	if err != nil {
		return nil, err
	}
	for _, j := range jobs {
		if j.Purpose == stackjob.PlanOnly && j.Pull == key.String() {
			return &j, nil
		}
	}
	return nil, nil
}

// Abandon ends a plan-only job that nobody needs any more: at once when no engine runs
// for it, else by interrupting the engine.
func (r *Reconciler) Abandon(ctx context.Context, id stackjob.JobID) error {
	job, err := r.o.Records.Job(ctx, id)
	if errors.Is(err, store.ErrNotFound) || err == nil && (job.State.IsFinal() || job.Purpose != stackjob.PlanOnly) {
		return nil
	}
	if err != nil {
		return err
	}
	_, err = r.Stop(ctx, id, stackjob.System)
	if isRaced(err) {
		return nil // it ended in this moment
	}
	return err
}

// Stop is Cancel with the engine's interrupt.
func (r *Reconciler) Stop(ctx context.Context, id stackjob.JobID, by stackjob.Actor) (stackjob.Job, error) {
	return r.Cancel(ctx, id, by, r.interrupt)
}

// setProposal keeps the tree that a pull request's plans read; nil forgets it.
func (r *Reconciler) setProposal(key pull.Key, tree *schema.Tree) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if tree == nil {
		delete(r.proposed, key.String())
		return
	}
	r.proposed[key.String()] = tree
}

// ForgetProposal gives up the tree of a pull request whose plans have all ended.
func (r *Reconciler) ForgetProposal(key pull.Key) { r.setProposal(key, nil) }

// Proposed tells whether the plans of a pull request can be carried on: after a
// restart its tree must be made again first (Propose).
func (r *Reconciler) Proposed(key pull.Key) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.proposed[key.String()] != nil
}

// ProposedTree is the tree that the plans of a pull request are made from; nil when there
// is none (see Proposed).
func (r *Reconciler) ProposedTree(key pull.Key) *schema.Tree {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.proposed[key.String()]
}

// treeOf is the tree that the references of a job are resolved with; nil when there is
// none yet.
func (r *Reconciler) treeOf(job stackjob.Job, view *View) *schema.Tree {
	if job.Pull == "" {
		return view.Tree
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.proposed[job.Pull]
}

// isRaced tells that a job is no longer as it was read.
func isRaced(err error) bool {
	var illegal *stackjob.IllegalMove
	return errors.As(err, &illegal) || errors.Is(err, stackjob.ErrFenced)
}
