package terraform

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"regexp"
	"strings"
	"time"

	"github.com/stackreeve/stackreeve/reconciler/engine"
	"github.com/stackreeve/stackreeve/reconciler/engine/telling"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
)

// lockField is a line of the "Lock Info" that both engines print.
var lockField = regexp.MustCompile(`(?m)^[\s│|]*(ID|Path|Operation|Who|Version|Created):[ \t]*(.*?)\s*$`)

var lockedByOther = regexp.MustCompile(`already locked:[\s│|]+ID=(\S+)`)

// parseLock reads the lock that an engine could not have; nil when its text does not
// tell whose it is. asked is when the engine began to run: a lock that was made
// after that is no holder's but the engine's own request, which Terraform's http
// backend and both engines' pg backend print in its place.
func parseLock(text string, asked time.Time) *engine.StateLock {
	head, text, found := strings.Cut(text, "Lock Info:")
	if !found {
		return nil
	}
	var l engine.StateLock
	for _, m := range lockField.FindAllStringSubmatch(text, -1) {
		field, value := m[1], m[2]
		switch {
		case field == "ID" && l.ID == "":
			l.ID = value
		case field == "Path" && l.Path == "":
			l.Path = value
		case field == "Operation" && l.Operation == "":
			l.Operation = value
		case field == "Who" && l.Who == "":
			l.Who = value
		case field == "Version" && l.Version == "":
			l.Version = value
		case field == "Created" && l.CreatedAt.IsZero():
			if at, err := time.Parse("2006-01-02 15:04:05.999999999 -0700 MST", value); err == nil {
				l.CreatedAt = at
			}
		}
	}
	if m := lockedByOther.FindStringSubmatch(head); m != nil && m[1] != l.ID {
		return &engine.StateLock{ID: m[1]}
	}
	if l.ID == "" || !asked.IsZero() && !l.CreatedAt.Before(asked) {
		return nil
	}
	return &l
}

// lockOf is the lock that an error tells of.
func lockOf(err error) *engine.StateLock {
	var pr *telling.Problem
	if errors.As(err, &pr) {
		return pr.Failure.Lock
	}
	return nil
}

// tellLock completes a failure because of a lock: it finds out whose lock it is
// where the engine did not say, and says what a person can do. Any other error comes
// back as it is.
func (p *phase) tellLock(ctx context.Context, err error) error {
	var pr *telling.Problem
	if !errors.As(err, &pr) {
		return err
	}
	switch pr.Failure.Reason.Code {
	case stackjob.ReasonDatabaseLocked:
		p.Say(wholeLockAdvice)
		pr.Failure.Text = strings.TrimSpace(pr.Failure.Text + "\n\n" + wholeLockAdvice)
		return err
	case stackjob.ReasonStateLocked:
	default:
		return err
	}
	in, rerr := p.backendInUse()
	if rerr != nil {
		return errors.Join(err, rerr)
	}
	f := &pr.Failure
	if in.Type == backendHTTP && (f.Lock == nil || f.Lock.Who == "") {
		if held, herr := p.askHolder(ctx, in); herr != nil {
			p.Say("Warning: " + herr.Error())
		} else if held != nil {
			f.Lock = &held.StateLock
		}
	}
	f.Reason.Detail = lockDetail(f.Lock)
	advice := lockAdvice(in.Type, p.task.Program, f.Lock)
	p.Say(advice)
	f.Text = strings.TrimSpace(f.Text + "\n\n" + advice)
	return err
}

func (p *phase) askHolder(ctx context.Context, in backendInUse) (*heldLock, error) {
	h, err := p.openHTTPLock(in)
	if err != nil {
		return nil, err
	}
	return h.holder(ctx)
}

// lockDetail is a lock in a few words.
func lockDetail(l *engine.StateLock) string {
	switch {
	case l == nil:
		return ""
	case l.Who == "":
		return "lock " + l.ID
	}
	return fmt.Sprintf("%s, lock %s", l.Who, l.ID)
}

// lockAdvice says what a person does about a lock that is not released by itself.
func lockAdvice(backend string, program engine.Program, l *engine.StateLock) string {
	var b strings.Builder
	b.WriteString("The state is locked")
	if l != nil && l.Who != "" {
		fmt.Fprintf(&b, " by %s", l.Who)
	}
	if l != nil && !l.CreatedAt.IsZero() {
		fmt.Fprintf(&b, " since %s", l.CreatedAt.UTC().Format(time.RFC3339))
	}
	if l != nil && l.ID != "" {
		fmt.Fprintf(&b, " (lock %s)", l.ID)
	}
	b.WriteString(". A lock is released by itself only when it was surely left behind by an own run that was killed.\n" +
		"When somebody is at work on this state, wait for the end and rerun the job. ")
	switch {
	case backend == backendPG:
		b.WriteString("The lock goes with the database connection that holds it: when its owner is gone and it stays, end that session " +
			"(`select pid from pg_locks where locktype = 'advisory'`, then `select pg_terminate_backend(pid)`) and rerun the job.")
	case l == nil || l.ID == "":
		b.WriteString("When nobody is, look into the backend for whose lock it is, remove it there, and rerun the job.")
	default:
		fmt.Fprintf(&b, "When its owner is gone for good, run `%s force-unlock %s` in a folder that is set up with the same module and backend, and rerun the job.",
			program.Provisioner, l.ID)
	}
	return b.String()
}

// unlock releases a lock by its id, as `force-unlock` does.
func (p *phase) unlock(ctx context.Context, lock engine.StateLock) error {
	if p.isLocal() {
		return nil
	}
	in, err := p.backendInUse()
	if err != nil {
		return err
	}
	if in.Type == backendHTTP {
		return p.unlockHTTP(ctx, in, lock)
	}
	v := p.voice(stackjob.OpPlan, nil)
	err = p.engine.run(ctx, v, []string{"force-unlock", "-force"}, func(ctx context.Context) error {
		p.engine.quiet(v.stdout())
		return p.engine.tf.ForceUnlock(ctx, lock.ID)
	})
	if err != nil {
		return engineProblem(ctx, err, "force-unlock", v)
	}
	return nil
}

// unlockHTTP releases that very lock: it is met, compared, and named to the server.
func (p *phase) unlockHTTP(ctx context.Context, in backendInUse, lock engine.StateLock) error {
	h, err := p.openHTTPLock(in)
	if err != nil {
		return err
	}
	held, err := h.holder(ctx)
	switch {
	case err != nil:
		return fmt.Errorf("release the lock %s: %w", lock.ID, err)
	case held == nil:
		return nil // somebody released it meanwhile
	case held.ID != lock.ID:
		return telling.Person(stackjob.ReasonStateLocked, lockDetail(&held.StateLock),
			fmt.Sprintf("The lock %s is gone, and another is held: %s.\nNothing was released.", lock.ID, lockDetail(&held.StateLock)))
	}
	if err := h.release(ctx, held.document); err != nil {
		return fmt.Errorf("release the lock %s: %w", lock.ID, err)
	}
	return nil
}

// whoWeAre is this account on this machine as engines write it into a lock.
func whoWeAre() string {
	name := ""
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	host, err := os.Hostname()
	if err != nil {
		host = ""
	}
	return name + "@" + host
}
