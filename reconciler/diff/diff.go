// Package diff compares a tree with what is recorded and says what differs, and why:
// step four of the way of the data.
//
//	Tree × Stacks ─▶ Compare ─▶ Changes (producers first, removed consumers first)
//
// There is one [Change] for every stack that is not as its document wants it. A
// change names every cause (which input moved), what must succeed before it (After)
// and what keeps it from starting by itself, each in a field of its own:
//
//	Hold     it starts, and waits for a person at the apply gate whatever the policy says
//	Refused  it may not happen as things stand: a rule forbids it, or what it needs did not succeed
//	Settled  this very desired state was tried and ended without success; a person reruns it
//	Error    it cannot be planned at all
//
// A change with none of Refused, Settled and Error becomes a job.
//
// The comparison trusts only two things: a folder of the tree without errors, and
// what is recorded as applied. A folder with errors (Frozen) changes nothing; a
// removal is concluded only for a stack that this repository made, and it is destroyed
// with the inputs that it was last applied with.
//
// The package is pure and total: equal inputs give equal results, and it writes
// nothing. Flow control has no part in it: policies judge changes, they cause none.
package diff

import (
	"cmp"
	"maps"
	"slices"

	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/schema"
	"github.com/stackreeve/stackreeve/schema/diag"
)

// Input is everything a comparison reads. Nothing in it is changed.
type Input struct {
	// Tree is the newest commit, understood. Without one nothing is compared.
	Tree *schema.Tree
	// Repository and Commit name where the tree comes from. Only stacks that were
	// recorded for Repository are touched.
	Repository, Commit string
	// Revisions and ModuleErrors are what gitsource.Modules said of every module
	// source of the tree.
	Revisions    map[schema.ModuleSource]string
	ModuleErrors map[schema.ModuleSource]string
	// Stacks is what is recorded of every stack, of other repositories too.
	Stacks map[schema.ResourceKey]stackjob.Stack
	// DefaultProvisioner is the engine of a resource for which neither its
	// document nor its environment nor its organization names one.
	DefaultProvisioner schema.Provisioner
	Brake              Brake
	// Held are stacks that a pull request applies before its merge, with its name: they
	// are left as they are until it gives them back.
	Held map[schema.ResourceKey]string
	// Hash is the keyed hash of values, the one that Observed.References was
	// written with. Without it only outputs as a whole are compared.
	Hash func([]byte) string
	// Seal encrypts what is written down of secret configuration.
	Seal func([]byte) ([]byte, error)
}

// Brake stops mass deletion: when more would be destroyed at once, in all environments of
// the repository or in one, every destroy there waits for a person, and so does what is
// removed there before those are answered. The zero Brake holds every
// destroy; a negative field is no limit.
type Brake struct {
	// Count is the number of stacks that may go at once, in all environments together.
	Count int
	// Share is the part of the environment's recorded stacks that may go at once,
	// 0.3 for 30 %. It is not applied to a single stack, or else the only
	// resource of an environment could never be removed.
	Share float64
}

// DefaultBrake is the documented default.
var DefaultBrake = Brake{Count: 10, Share: 0.30}

// Change is one stack that is not as its document wants it.
type Change struct {
	Key    schema.ResourceKey
	Action stackjob.Action
	// Because are all causes, in the order of their declaration.
	Because []stackjob.Because
	// Desired is what a job would run; for a destroy the last applied one.
	Desired stackjob.Desired
	// After are the changes of the same result that must succeed first, sorted.
	After []schema.ResourceKey
	// Hold makes its job wait for a person whatever the policy says: the brake,
	// an earlier apply that was interrupted, or what held a job that came to nothing.
	Hold *stackjob.Reason
	// Refused says why it may not happen as things stand.
	Refused *stackjob.Reason
	// ReadsUnmerged tells that it is refused because of what it would read: a job that is
	// there already must not read that either.
	ReadsUnmerged bool
	// Settled is the job that already tried the same desired state and ended
	// without success. A rerun, a new desired state, the same one after it was not
	// wanted for a while, or a producer that was applied since starts it again. When its Reason is a rule's refusal, the
	// caller may judge the rule again: policies are not part of the state.
	Settled *stackjob.LastJob
	// Error says why it cannot be planned.
	Error *stackjob.Reason
}

// Starts tells whether the change becomes a job by itself.
func (c Change) Starts() bool { return c.Refused == nil && c.Settled == nil && c.Error == nil }

// Frozen is a folder in which nothing is changed, with the first error in it.
type Frozen struct {
	Org, Env   string
	Diagnostic diag.Diagnostic
}

// Unverified is a stack that is as desired as far as anybody can tell: its module
// could not be asked for its revision. It stays as it is.
type Unverified struct {
	Key    schema.ResourceKey
	Reason stackjob.Reason
}

// Result is what a comparison says.
type Result struct {
	// Changes stand in an order in which everything in a change's After stands
	// before it.
	Changes []Change
	// Unchanged counts the resources that are as desired.
	Unchanged int
	// Unverified are those among Unchanged whose module could not be asked, by key.
	Unverified []Unverified
	// Frozen are the folders in which nothing is changed, sorted.
	Frozen []Frozen
	// Over are the last jobs, sorted, that ended without success and whose wish the tree
	// no longer has: the stack is as desired, or the opposite is wanted. Their record
	// is to say so (stackjob.LastJob.Over), or else the same wish would stay settled
	// when it is made again later.
	Over []stackjob.JobID
}

// Compare says what differs between the tree and what is recorded.
func Compare(in Input) Result {
	if in.Tree == nil {
		return Result{}
	}
	c := &comparison{in: in, folders: map[folderKey]folder{}, changes: map[schema.ResourceKey]*Change{}}
	for _, r := range in.Tree.Resources() {
		c.resource(r)
	}
	c.removals()
	c.brake()
	c.order()
	return c.result()
}

// comparison is the work sheet of one Compare.
type comparison struct {
	in         Input
	folders    map[folderKey]folder
	changes    map[schema.ResourceKey]*Change
	sorted     []*Change
	unchanged  int
	unverified []Unverified
	over       []stackjob.JobID
	// places are the stacks of the tree by the place that they name for their state;
	// nil until a removal asks.
	places map[string]schema.ResourceKey
}

type folderKey struct{ org, env string }

// folder is what a comparison wants to know of an environment's folder, asked once.
type folder struct {
	frozen      bool
	diagnostic  diag.Diagnostic
	provisioner schema.Provisioner
	protected   bool
}

func (c *comparison) folder(org, env string) folder {
	k := folderKey{org, env}
	f, ok := c.folders[k]
	if ok {
		return f
	}
	f.diagnostic, f.frozen = c.in.Tree.Frozen(org, env)
	e, ok := c.in.Tree.Environment(org, env)
	if ok {
		f.protected = e.Spec.Protected
	}
	f.provisioner = folderProvisioner(c.in, org, env)
	c.folders[k] = f
	return f
}

// resource compares one document with its stack.
func (c *comparison) resource(r *schema.Resource) {
	f := c.folder(r.Key.Org, r.Key.Env)
	if f.frozen {
		return
	}
	st := c.in.Stacks[r.Key]
	desired, broken := desire(c.in, r, f.provisioner)
	desired = EngineOf(r, desired, st)
	if owner := st.Observed; owner != nil && owner.Desired.Repository != c.in.Repository {
		c.changes[r.Key] = &Change{Key: r.Key, Action: stackjob.Apply, Desired: desired, Error: &stackjob.Reason{
			Code:   stackjob.ReasonOtherRepository,
			Detail: quoteName(owner.Desired.Repository) + ", not " + quoteName(c.in.Repository),
		}}
		return
	}
	because := c.because(r, desired, st, broken != nil)
	holder, isHeld := c.in.Held[r.Key]
	if !isHeld {
		c.noteOver(st, stackjob.Apply, len(because) > 0 || broken != nil)
	}
	if len(because) == 0 {
		c.unchanged++
		if broken != nil {
			c.unverified = append(c.unverified, Unverified{Key: r.Key, Reason: *broken})
		}
		return
	}
	ch := &Change{Key: r.Key, Action: stackjob.Apply, Because: because, Desired: desired, Error: broken, Hold: held(st, stackjob.Apply)}
	switch {
	case isHeld:
		ch.Refused = &stackjob.Reason{Code: stackjob.ReasonHeldByPull, Detail: holder}
	default:
		if ch.Refused = EngineRefused(r, desired, st); ch.Refused == nil && ch.Error == nil {
			ch.Settled = c.settled(ch, st)
		}
	}
	c.changes[r.Key] = ch
}

// removals plans the end of every stack that this repository made and whose document
// is gone from a folder that can be trusted.
func (c *comparison) removals() {
	for key, st := range c.in.Stacks {
		if st.Observed == nil || st.Observed.Desired.Repository != c.in.Repository {
			continue
		}
		f := c.folder(key.Org, key.Env)
		if _, there := c.in.Tree.Resource(key); there || f.frozen {
			continue
		}
		holder, isHeld := c.in.Held[key]
		if !isHeld {
			c.noteOver(st, stackjob.Destroy, true)
		}
		ch := &Change{
			Key: key, Action: stackjob.Destroy, Desired: st.Observed.Desired,
			Because: append([]stackjob.Because{{Cause: stackjob.CauseRemoved, Detail: st.Observed.Desired.File}}, unfinished(st)...),
			Hold:    held(st, stackjob.Destroy),
		}
		heir, inherited := c.heir(st.Observed.Desired)
		switch {
		case isHeld:
			ch.Refused = &stackjob.Reason{Code: stackjob.ReasonHeldByPull, Detail: holder}
		case inherited:
			ch.Refused = &stackjob.Reason{Code: stackjob.ReasonStateInUse, Detail: heir.String()}
		case f.protected: // said first: its resources are recorded as prevent-destroy too
			ch.Refused = &stackjob.Reason{Code: stackjob.ReasonPreventDestroy, Detail: "the environment " + key.Org + "/" + key.Env + " is protected"}
		case st.Observed.Desired.PreventDestroy:
			ch.Refused = &stackjob.Reason{Code: stackjob.ReasonPreventDestroy,
				Detail: "put the document back, take prevent-destroy (or its environment's protection) away, let that be applied, then remove it"}
		default:
			ch.Settled = c.settled(ch, st)
		}
		c.changes[key] = ch
	}
}

// heir is the stack whose document names the place of a state that was recorded for
// another one: a stack that was given another name, above all. To destroy what is in
// that state would destroy what is the heir's.
func (c *comparison) heir(d stackjob.Desired) (schema.ResourceKey, bool) {
	where := d.StatePlace()
	if where == "" {
		return schema.ResourceKey{}, false
	}
	if c.places == nil {
		c.places = map[string]schema.ResourceKey{}
		for _, r := range c.in.Tree.Resources() {
			wanted := stackjob.Desired{Module: r.Module, Backend: r.Backend, Pulumi: c.in.Tree.PulumiSettings(r)}
			if p := wanted.StatePlace(); p != "" {
				c.places[p] = r.Key
			}
		}
	}
	k, ok := c.places[where]
	return k, ok
}

// noteOver notes that what the stack's last job was to do is not wanted any more.
// wanted tells whether the action a is, or may be.
func (c *comparison) noteOver(st stackjob.Stack, a stackjob.Action, wanted bool) {
	if l := st.Last; l != nil && !l.Over && endedInVain(l.State) && (l.Action != a || !wanted) {
		c.over = append(c.over, l.ID)
	}
}

func endedInVain(s stackjob.State) bool {
	switch s {
	case stackjob.Failed, stackjob.Rejected, stackjob.Cancelled, stackjob.Expired:
		return true
	}
	return false
}

// settled returns the stack's last job when it tried the same and did not succeed.
func (c *comparison) settled(ch *Change, st stackjob.Stack) *stackjob.LastJob {
	last := st.Last
	if last == nil || last.Over || last.Action != ch.Action || last.Reason.Code == stackjob.ReasonStopping {
		return nil
	}
	if last.Reason.Code == stackjob.ReasonStalePlan {
		return nil // nothing was tried: a fresh plan is made, and gated again
	}
	if last.Reason.Code == stackjob.ReasonEngineVersion && last.EngineVersion != ch.Desired.EngineVersion.Constraint {
		return nil // no program fitted, and now another constraint asks
	}
	if !endedInVain(last.State) || last.DesiredDigest != ch.Desired.Digest() {
		return nil
	}
	// The digest knows references, not their values: a producer that was applied
	// since may have given the values that were missing or wrong.
	for _, p := range ch.Desired.Producers {
		if o := c.in.Stacks[p].Observed; ch.Action == stackjob.Apply && o != nil && o.AppliedAt.After(last.EndedAt) {
			return nil
		}
	}
	l := *last
	return &l
}

func (c *comparison) result() Result {
	slices.Sort(c.over)
	res := Result{Unchanged: c.unchanged, Unverified: c.unverified, Over: c.over}
	for _, ch := range c.sorted {
		res.Changes = append(res.Changes, *ch)
	}
	for _, e := range c.in.Tree.Environments() {
		c.folder(e.Org, e.Slug)
	}
	keys := slices.SortedFunc(maps.Keys(c.folders), func(a, b folderKey) int {
		return cmp.Or(cmp.Compare(a.org, b.org), cmp.Compare(a.env, b.env))
	})
	for _, k := range keys {
		if f := c.folders[k]; f.frozen {
			res.Frozen = append(res.Frozen, Frozen{Org: k.org, Env: k.env, Diagnostic: f.diagnostic})
		}
	}
	return res
}
