package pull

import (
	"fmt"
	"slices"
	"time"

	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/schema"
)

// Turn is a pull request's place in the queue of a stack: what it applies before it is
// merged, nobody else applies in between. The first of a stack holds it, until it is
// merged, closed or gives it back.
type Turn struct {
	Stack schema.ResourceKey `json:"stack"`
	Pull  Key                `json:"pull"`
	// By asked for it, At is when.
	By stackjob.Actor `json:"by"`
	At time.Time      `json:"at"`
}

// Release is the end of a turn by an operator's word, where the pull request itself could
// not be asked any more.
type Release struct {
	Stack schema.ResourceKey `json:"stack"`
	Pull  Key                `json:"pull"`
	By    stackjob.Actor     `json:"by"`
	At    time.Time          `json:"at"`
	// Reason is why, in the operator's words.
	Reason string `json:"reason"`
	// Applied tells that the pull request may have changed the stack.
	Applied bool `json:"applied,omitempty"`
}

// Turns are the queues of stacks, each in the order in which they asked.
type Turns []Turn

// Holder is the pull request whose turn a stack is; false when it is nobody's.
func (l Turns) Holder(stack schema.ResourceKey) (Key, bool) {
	for _, t := range l {
		if t.Stack == stack {
			return t.Pull, true
		}
	}
	return Key{}, false
}

// Place is the place of a pull request in the queue of a stack: 0 when it holds it, 1
// when it is the next; -1 when it does not wait for it.
func (l Turns) Place(stack schema.ResourceKey, p Key) int {
	n := 0
	for _, t := range l {
		if t.Stack != stack {
			continue
		}
		if t.Pull == p {
			return n
		}
		n++
	}
	return -1
}

// Apply is an apply that a person asked for before the merge.
type Apply struct {
	Stack schema.ResourceKey `json:"stack"`
	// Digest is the plan that stood in the pull request when it was asked for: no
	// other is applied without another word. Desired is the digest of what is wanted.
	Digest  string `json:"digest"`
	Desired string `json:"desired"`
	// Comment and Line name the command.
	Comment string         `json:"comment"`
	Line    int            `json:"line"`
	By      stackjob.Actor `json:"by"`
	At      time.Time      `json:"at"`
	// Job is the job that carries it out; "" before it has its turn. Enqueued tells
	// that it is there: a job that is named and not enqueued is made again.
	Job      stackjob.JobID `json:"job,omitempty"`
	Enqueued bool           `json:"enqueued,omitempty"`
	// Result is the state in which the job ended, or Superseded with a Reason when
	// none was made; "" while it goes on.
	Result stackjob.State  `json:"result,omitempty"`
	Reason stackjob.Reason `json:"reason,omitzero"`
	// Over tells that somebody asked for what is left to be planned again.
	Over bool `json:"over,omitempty"`
}

// Touched tells whether it may have changed the stack.
func (a Apply) Touched() bool {
	switch a.Result {
	case stackjob.Superseded, stackjob.Rejected, stackjob.Expired:
		return false
	}
	return a.Enqueued
}

// Ended tells whether nothing more comes of it.
func (a Apply) Ended() bool { return a.Result != "" }

// Reviewed is a forge's review that was counted.
type Reviewed struct {
	ID string `json:"id"`
	// Plans are those that stood in the pull request when it was made.
	Plans []ShownPlan `json:"plans,omitempty"`
}

// ApplyOf returns the newest apply of a stack, or nil.
func (p *Pull) ApplyOf(stack schema.ResourceKey) *Apply {
	for i := len(p.Applies) - 1; i >= 0; i-- {
		if p.Applies[i].Stack == stack {
			return &p.Applies[i]
		}
	}
	return nil
}

// ShownAt returns what stood in the pull request at a time; nil before anything did.
func (p *Pull) ShownAt(t time.Time) *Shown {
	var found *Shown
	for i := range p.Shown {
		if p.Shown[i].At.Truncate(time.Second).After(t.Truncate(time.Second)) {
			break
		}
		found = &p.Shown[i]
	}
	return found
}

// EndApplies writes down that the turns of stacks are ended from outside: what was asked
// for there is over.
func (p *Pull) EndApplies(stacks []schema.ResourceKey) {
	for i := range p.Applies {
		a := &p.Applies[i]
		if !slices.Contains(stacks, a.Stack) {
			continue
		}
		if !a.Ended() {
			a.Result, a.Reason = stackjob.Superseded, stackjob.Reason{Code: stackjob.ReasonTurnEnded, Detail: p.Key.String()}
		}
		a.Over = true // what comes next is planned against whatever the branch makes of it
	}
	if p.Round != nil {
		p.Round.Stale = true
	}
}

// Tell has it said in the pull request that an operator ended turns.
func (p *Pull) Tell(ended []Release) {
	for i, r := range ended {
		why := "an operator of the daemon gave back " + r.Stack.String() + ": " + r.Reason
		if r.Applied {
			why += " (it was applied from here, and is not as " + p.Proposal.BaseBranch + " wants it: the branch's own plan is made now, and waits for a person whatever the policy says)"
		}
		p.Answers = append(p.Answers, Spoken{Name: fmt.Sprintf("released-%d-%d", r.At.UnixMicro(), i), Command: "reeve unlock", To: r.By.Name, Answer: Yes, Reason: why})
	}
}
