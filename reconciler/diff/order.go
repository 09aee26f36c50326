package diff

import (
	"cmp"
	"container/heap"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/schema"
)

// brake holds every destroy of an environment in which too many would happen at once, and
// all of them when they are too many together: one removal in each of many environments is
// a mass deletion too.
// What was to be removed earlier and is still recorded counts, whatever has become of
// it. Once pulled, the brake stays so until every destroy that it holds was answered or
// called off, in the environment or everywhere, as it was pulled: the next removal would
// else go by itself in the midst of them.
func (c *comparison) brake() {
	going, recorded, pulled := map[folderKey]int{}, map[folderKey]int{}, map[folderKey]bool{}
	total, everywhere := 0, false
	for _, ch := range c.changes {
		if ch.Action == stackjob.Destroy && ch.Refused == nil {
			k := folderKey{ch.Key.Org, ch.Key.Env}
			going[k]++
			total++
			hold := c.unanswered(ch)
			pulled[k] = pulled[k] || hold == stackjob.ReasonMassDeletion
			everywhere = everywhere || hold == stackjob.ReasonMassRemoval
		}
	}
	if total == 0 {
		return
	}
	for key, st := range c.in.Stacks {
		if st.Observed != nil && st.Observed.Desired.Repository == c.in.Repository {
			recorded[folderKey{key.Org, key.Env}]++
		}
	}
	tooMany := c.in.Brake.counts(total)
	for _, ch := range c.changes {
		k := folderKey{ch.Key.Org, ch.Key.Env}
		here := c.in.Brake.holds(going[k], recorded[k])
		if ch.Action != stackjob.Destroy || ch.Refused != nil || !tooMany && !here && !everywhere && !pulled[k] {
			continue
		}
		if !tooMany && !here && isBrake(ch.Hold) {
			continue // what held its last job says more
		}
		why := stackjob.Reason{Code: stackjob.ReasonMassDeletion, Detail: fmt.Sprintf("%d of the %d recorded stacks of %s/%s", going[k], recorded[k], k.org, k.env)}
		if tooMany || everywhere {
			why.Code = stackjob.ReasonMassRemoval
		}
		switch {
		case tooMany && len(going) > 1:
			why.Detail += fmt.Sprintf(", %d in %d environments", total, len(going))
		case everywhere && !tooMany:
			why.Detail += ", in whose repository removals wait for a person already"
		case !tooMany && !here:
			why.Detail += ", where removals wait for a person already"
		}
		if ch.Hold != nil && !isBrake(ch.Hold) {
			why.Detail += "; also: " + ch.Hold.String()
		}
		ch.Hold = &why
	}
}

func isBrake(r *stackjob.Reason) bool {
	return r != nil && (r.Code == stackjob.ReasonMassDeletion || r.Code == stackjob.ReasonMassRemoval)
}

// unanswered is how the brake holds a destroy to which nobody has said yes or no yet; ""
// when it does not. Without an open job it is what held the last one, when that came to
// nothing and another is about to take its place.
func (c *comparison) unanswered(ch *Change) stackjob.ReasonCode {
	hold := ch.Hold
	if j := c.in.Stacks[ch.Key].Open; j != nil {
		hold = j.Hold
		if j.Action != stackjob.Destroy || j.State == stackjob.Ready || j.State == stackjob.Applying {
			return ""
		}
	} else if ch.Settled != nil {
		return ""
	}
	if !isBrake(hold) {
		return ""
	}
	return hold.Code
}

// counts tells whether so many removals are too many together.
func (b Brake) counts(total int) bool { return b.Count >= 0 && total > b.Count }

// holds tells whether so many removals are too many for one environment.
func (b Brake) holds(going, recorded int) bool {
	return b.Share >= 0 && going > 1 && float64(going) > b.Share*float64(recorded)
}

// order fills in After, sorts the changes by it and refuses what waits for something
// that does not happen.
//
// An apply waits for the applies of its producers, as the tree has them. A destroy
// waits for every change of a stack that, as recorded, reads it. No apply waits for a
// destroy, so the two kinds of edges cannot close a circle between them: a circle
// can only lie among destroys, when records of different commits contradict each
// other. It is broken at its smallest key, which then waits for nobody on the circle.
func (c *comparison) order() {
	for _, ch := range c.changes {
		if ch.Action != stackjob.Apply {
			continue
		}
		for _, p := range ch.Desired.Producers {
			if other, ok := c.changes[p]; ok && other.Action == stackjob.Apply && p != ch.Key {
				ch.After = append(ch.After, p)
			}
		}
	}
	c.refuseUnmerged()
	c.orderDestroys()
	for _, ch := range c.changes {
		slices.SortFunc(ch.After, schema.ResourceKey.Compare)
		ch.After = slices.Compact(ch.After)
	}
	c.sorted = c.topological()
	c.refuseBlocked()
}

// refuseUnmerged refuses what reads a stack that a pull request applied and that is as its
// document wants it only because what it reads is not: its outputs are made of what no
// branch has. When that is merged, nothing is left to refuse; when it is taken back, the
// stack between them changes too and goes first. To wait for it would not do: then both
// would be free in the same moment.
func (c *comparison) refuseUnmerged() {
	for _, ch := range c.changes {
		if ch.Action != stackjob.Apply || !ch.Starts() {
			continue
		}
		var by []string
		seen := map[schema.ResourceKey]bool{ch.Key: true}
		var through func(k schema.ResourceKey)
		through = func(k schema.ResourceKey) {
			o := c.in.Stacks[k].Observed
			if _, differs := c.changes[k]; seen[k] || differs || o == nil || o.Pull == "" {
				return
			}
			seen[k] = true
			for _, p := range o.Desired.Producers {
				other, differs := c.changes[p]
				if !differs {
					through(p)
					continue
				}
				why := "it is not as wanted"
				if !other.Starts() {
					why = notStarting(other)
				}
				by = append(by, p.String()+" ("+why+"), by way of "+k.String())
			}
		}
		for _, p := range ch.Desired.Producers {
			through(p)
		}
		if len(by) > 0 {
			slices.Sort(by)
			ch.Refused, ch.ReadsUnmerged = &stackjob.Reason{Code: stackjob.ReasonBlocked, Detail: nameSome(slices.Compact(by))}, true
		}
	}
}

// orderDestroys makes each destroy wait for the stacks that read it, and refuses it
// when one of them stays.
func (c *comparison) orderDestroys() {
	readers := map[schema.ResourceKey][]schema.ResourceKey{}
	for key, st := range c.in.Stacks {
		if st.Observed == nil {
			continue
		}
		for _, p := range st.Observed.Desired.Producers {
			if ch, ok := c.changes[p]; ok && ch.Action == stackjob.Destroy && p != key {
				readers[p] = append(readers[p], key)
			}
		}
	}
	for p, keys := range readers {
		ch := c.changes[p]
		var staying []string
		for _, k := range keys {
			reader, ok := c.changes[k]
			if !ok || reader.Action == stackjob.Apply && slices.Contains(reader.Desired.Producers, p) {
				staying = append(staying, k.String())
				continue
			}
			ch.After = append(ch.After, k)
		}
		if len(staying) > 0 && ch.Refused == nil {
			slices.Sort(staying)
			ch.Refused = &stackjob.Reason{Code: stackjob.ReasonStillNeeded, Detail: nameSome(slices.Compact(staying))}
		}
	}
}

// refuseBlocked refuses every change that waits for one that does not start. It names
// the changes at the root, not the ones between.
func (c *comparison) refuseBlocked() {
	roots := map[schema.ResourceKey][]string{}
	for _, ch := range c.sorted {
		var by []string
		for _, k := range ch.After {
			if why, ok := roots[k]; ok {
				by = append(by, why...)
				continue
			}
			if other := c.changes[k]; !other.Starts() {
				by = append(by, k.String()+" ("+notStarting(other)+")")
			}
		}
		if len(by) == 0 || !ch.Starts() {
			continue
		}
		slices.Sort(by)
		by = slices.Compact(by)
		roots[ch.Key] = by
		ch.Refused = &stackjob.Reason{Code: stackjob.ReasonBlocked, Detail: nameSome(by)}
	}
}

// notStarting says in a few words why a change does not start by itself.
func notStarting(ch *Change) string {
	switch {
	case ch.Error != nil:
		return string(ch.Error.Code)
	case ch.Refused != nil:
		return string(ch.Refused.Code)
	}
	return string(ch.Settled.State) + " in " + string(ch.Settled.ID)
}

// maxNamed is how many resources a reason names.
const maxNamed = 3

func nameSome(names []string) string {
	if len(names) > maxNamed {
		return strings.Join(names[:maxNamed], ", ") + fmt.Sprintf(" and %d more", len(names)-maxNamed)
	}
	return strings.Join(names, ", ")
}

// topological sorts the changes so that each stands behind its After; among those
// that are free, applies come first and then the smaller key.
func (c *comparison) topological() []*Change {
	open := map[schema.ResourceKey]int{}
	followers := map[schema.ResourceKey][]schema.ResourceKey{}
	free := &queue{}
	for k, ch := range c.changes {
		open[k] = len(ch.After)
		for _, a := range ch.After {
			followers[a] = append(followers[a], k)
		}
		if len(ch.After) == 0 {
			*free = append(*free, ch)
		}
	}
	heap.Init(free)
	out := make([]*Change, 0, len(c.changes))
	for {
		for free.Len() > 0 {
			ch := heap.Pop(free).(*Change)
			out = append(out, ch)
			delete(open, ch.Key)
			for _, f := range followers[ch.Key] {
				if _, waiting := open[f]; !waiting {
					continue
				}
				if open[f]--; open[f] == 0 {
					heap.Push(free, c.changes[f])
				}
			}
		}
		if len(open) == 0 {
			return out
		}
		if ch := c.breakCircle(open); open[ch.Key] == 0 {
			heap.Push(free, ch)
		}
	}
}

// breakCircle takes the smallest key that waits for itself and drops what it waits
// for on its circles. It is called when no change is free, so there is one; each call
// drops something, so the calls come to an end.
func (c *comparison) breakCircle(open map[schema.ResourceKey]int) *Change {
	for _, k := range slices.SortedFunc(maps.Keys(open), schema.ResourceKey.Compare) {
		ch := c.changes[k]
		kept := slices.DeleteFunc(slices.Clone(ch.After), func(a schema.ResourceKey) bool { return c.waitsFor(a, k, open) })
		if dropped := len(ch.After) - len(kept); dropped > 0 {
			ch.After = kept
			open[k] -= dropped
			return ch
		}
	}
	panic("diff: changes wait for each other without a circle")
}

// waitsFor tells whether a, one of the changes in open, is b or waits for b, however far.
func (c *comparison) waitsFor(a, b schema.ResourceKey, open map[schema.ResourceKey]int) bool {
	seen := map[schema.ResourceKey]bool{}
	todo := []schema.ResourceKey{a}
	for len(todo) > 0 {
		k := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if _, waiting := open[k]; !waiting || seen[k] {
			continue
		}
		if k == b {
			return true
		}
		seen[k] = true
		todo = append(todo, c.changes[k].After...)
	}
	return false
}

// queue is a heap of changes that wait for nothing any more.
type queue []*Change

func (q queue) Len() int { return len(q) }
func (q queue) Less(i, j int) bool {
	return cmp.Or(cmp.Compare(q[i].Action, q[j].Action), q[i].Key.Compare(q[j].Key)) < 0
}
func (q queue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }

// Push and Pop are container/heap's.
func (q *queue) Push(x any) { *q = append(*q, x.(*Change)) }

// Pop takes the last one.
func (q *queue) Pop() any {
	old := *q
	x := old[len(old)-1]
	*q = old[:len(old)-1]
	return x
}
