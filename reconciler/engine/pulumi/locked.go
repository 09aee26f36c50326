package pulumi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/renameio/v2"

	"github.com/stackreeve/stackreeve/reconciler/engine"
	"github.com/stackreeve/stackreeve/reconciler/engine/begun"
	"github.com/stackreeve/stackreeve/reconciler/engine/telling"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
)

// lockLine is what a self-managed backend says of each lock that it met:
//
//	file:///…/locks/organization/demo/dev/UUID.json: created by root@host (pid 42) at 2026-11-21T21:00:00Z
var lockLine = regexp.MustCompile(`(?m)^\s*(\S+/locks/\S+/([^/\s?]+)\.json)\S*: created by (\S+) \(pid (\d+)\) at (\S+)\s*$`)

// parseLock reads the lock that the engine could not have; nil when its text does not
// tell whose it is, or there are several.
func parseLock(text string) *engine.StateLock {
	all := lockLine.FindAllStringSubmatch(text, -1)
	if len(all) != 1 {
		return nil
	}
	m := all[0]
	l := engine.StateLock{ID: m[2], Path: m[1], Who: m[3]}
	l.PID, _ = strconv.Atoi(m[4]) // digits
	if at, err := time.Parse(time.RFC3339, m[5]); err == nil {
		l.CreatedAt = at
	}
	return &l
}

// heldLocks are the locks of a file backend. Of others only an update that is refused
// tells. A lock that is being written counts, for the engine counts it too: who was killed
// at that leaves it so, and every update is refused because of it.
func (p *phase) heldLocks() ([]engine.StateLock, error) {
	dir := p.stack.locks()
	if dir == "" {
		return nil, nil
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.json*"))
	if err != nil {
		return nil, err
	}
	var out []engine.StateLock
	for _, file := range files {
		if strings.HasSuffix(file, ".attrs") {
			continue // fileblob's own, which is no object
		}
		b, err := readIfThere(file)
		if err != nil {
			return nil, err
		}
		if b == nil {
			continue // it was given back meanwhile
		}
		l := engine.StateLock{ID: strings.TrimSuffix(filepath.Base(file), ".json"), Path: file}
		// github.com/pulumi/pulumi/pkg/v3/backend/diy, lockContent
		var content struct {
			PID       int       `json:"pid"`
			Username  string    `json:"username"`
			Hostname  string    `json:"hostname"`
			Timestamp time.Time `json:"timestamp"`
		}
		if json.Unmarshal(b, &content) == nil && content.Username != "" {
			l.PID, l.Who, l.CreatedAt = content.PID, content.Username+"@"+content.Hostname, content.Timestamp
		}
		out = append(out, l)
	}
	return out, nil
}

// refuseLocked refuses to plan while somebody holds the state.
func (p *phase) refuseLocked() error {
	held, err := p.heldLocks()
	if err != nil || len(held) == 0 {
		return err
	}
	return lockedBy(held)
}

func lockedBy(held []engine.StateLock) error {
	pr := telling.Person(stackjob.ReasonStateLocked, "", fmt.Sprintf("The stack is locked by %d update(s).", len(held)))
	if len(held) == 1 {
		pr.Failure.Lock = &held[0]
		pr.Failure.Reason.Detail = lockDetail(&held[0])
	}
	return pr
}

// recover releases the lock of a run of this stack that was killed, and clears what that
// run left pending in the state. It is told of first, by name: it may exist. Only the
// lock that was recognised as ours is released, and only when it is the one that is met;
// a plan that meets no lock clears nothing.
func (p *phase) recover(ctx context.Context, lock engine.StateLock) error {
	if p.before == nil {
		var err error
		if p.before, err = p.readState(ctx, stackjob.OpPlan); err != nil {
			return err
		}
	}
	met, err := p.meetLock(ctx)
	if err != nil {
		return err
	}
	p.tellPending(p.before)
	switch {
	case len(met) == 0:
		return nil // somebody released it meanwhile
	case len(met) > 1 || met[0].ID != lock.ID:
		return lockedBy(met)
	}
	p.Say("Releasing the lock " + lock.ID + " of a run of this stack that was killed.")
	if _, err := p.engine.run(ctx, p.voice(stackjob.OpPlan, nil), p.at.emptyProgram(), nil, true, "cancel", "--yes", "--stack="+p.stack.name()); err != nil {
		return err
	}
	if len(p.before.Pending) == 0 {
		return nil
	}
	return p.clearPending(ctx)
}

// settlePending tells what an update that was killed was at, and clears it when that was an
// apply of ours: a person took its lock away, with `pulumi cancel`, and nothing else would
// ever clear it. What somebody else's update left is told until somebody does.
func (p *phase) settlePending(ctx context.Context) error {
	if len(p.before.Pending) == 0 {
		return nil
	}
	p.tellPending(p.before)
	held, err := p.heldLocks()
	if err != nil || len(held) > 0 {
		return err // the plan is refused
	}
	left, err := begun.Read(begun.FileOf(p.task))
	if err != nil {
		return err
	}
	if !isOurs(p.before.Pending, left) {
		p.Say("It was no apply of this stack's jobs, so it stays in the state, and is told, until `pulumi refresh --clear-pending-creates` or an import of the state takes it out.")
		return nil
	}
	p.Say("It was an apply of this stack's that was killed, and its lock is gone: the state is written again without it.")
	return p.clearPending(ctx)
}

// isOurs tells whether pending operations were left by the apply that a note tells of: it
// names one of them. It need not name all: what the engine began in the moment in which it
// was killed nobody heard of.
func isOurs(pending []pendingOperation, left *begun.Work) bool {
	return left != nil && slices.ContainsFunc(pending, func(o pendingOperation) bool { return slices.Contains(left.Order, o.Resource.URN) })
}

// clearPending writes the state again without its pending operations, and backs it up before.
func (p *phase) clearPending(ctx context.Context) error {
	if err := p.backUp(p.before); err != nil {
		return err
	}
	clean, err := p.before.withoutPending()
	if err != nil {
		return err
	}
	if err := p.importState(ctx, stackjob.OpPlan, clean); err != nil {
		return err
	}
	p.before, err = p.readState(ctx, stackjob.OpPlan)
	return err
}

// meetLock finds the locks that are held. A file backend's are files; elsewhere a write
// of the state as it is meets them.
func (p *phase) meetLock(ctx context.Context) ([]engine.StateLock, error) {
	if p.stack.locks() != "" {
		return p.heldLocks()
	}
	if len(p.before.raw) == 0 {
		return nil, nil
	}
	err := p.importState(ctx, stackjob.OpPlan, p.before)
	var pr *telling.Problem
	if errors.As(err, &pr) && pr.Failure.Lock != nil {
		return []engine.StateLock{*pr.Failure.Lock}, nil
	}
	return nil, err
}

// importState writes a state, as it was exported.
func (p *phase) importState(ctx context.Context, kind stackjob.OperationKind, d *deployment, flags ...string) error {
	b, err := d.export()
	if err != nil {
		return err
	}
	file := filepath.Join(p.at.private, "import.json")
	if err := renameio.WriteFile(file, b, 0o600); err != nil {
		return err
	}
	args := append([]string{"stack", "import", "--stack=" + p.stack.name(), "--file=" + file}, flags...)
	_, err = p.engine.run(ctx, p.voice(kind, nil), p.at.emptyProgram(), nil, true, args...)
	return errors.Join(err, os.Remove(file))
}

// tellLock completes a failure because of a lock: it says what a person can do. Any other
// error comes back as it is.
func (p *phase) tellLock(err error) error {
	var pr *telling.Problem
	if !errors.As(err, &pr) || pr.Failure.Reason.Code != stackjob.ReasonStateLocked {
		return err
	}
	advice := p.lockAdvice(pr.Failure.Lock)
	p.Say(advice)
	pr.Failure.Text = strings.TrimSpace(pr.Failure.Text + "\n\n" + advice)
	return err
}

// lockDetail is a lock in a few words.
func lockDetail(l *engine.StateLock) string {
	switch {
	case l == nil:
		return ""
	case l.Who == "":
		return "lock " + l.ID
	}
	return fmt.Sprintf("%s (pid %d), lock %s", l.Who, l.PID, l.ID)
}

// lockAdvice says what a person does about a lock that is not released by itself.
func (p *phase) lockAdvice(l *engine.StateLock) string {
	var b strings.Builder
	b.WriteString("The state is locked")
	if l != nil && l.Who != "" {
		fmt.Fprintf(&b, " by process %d of %s", l.PID, l.Who)
	}
	if l != nil && !l.CreatedAt.IsZero() {
		fmt.Fprintf(&b, " since %s", l.CreatedAt.UTC().Format(time.RFC3339))
	}
	if l != nil && l.ID != "" {
		fmt.Fprintf(&b, " (lock %s)", l.ID)
	}
	b.WriteString(". A lock is released by itself only when it was surely left behind by an own run that was killed.\n" +
		"When somebody is at work on this state, wait for the end and rerun the job. ")
	backend := "the backend"
	if p.stack.folder() != "" {
		backend = p.stack.backend.String()
	}
	fmt.Fprintf(&b, "When its owner is gone for good, run `pulumi cancel --stack %s` with PULUMI_BACKEND_URL set to %s, and rerun the job.", p.stack.name(), backend)
	return b.String()
}
