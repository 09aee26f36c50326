package terraform

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/hashicorp/terraform-exec/tfexec"

	"github.com/stackreeve/stackreeve/reconciler/engine/telling"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/schema"
)

// The pg backend of Terraform, and of OpenTofu before 1.10, has one lock for all the
// states of a database beside each state's own. A stack that has no state yet holds it
// for as long as it is planned or applied, and meanwhile no other stack of that
// database can be; one that has a state takes it for an instant only (decision 0093).

// locksWhole tells whether the engine and the backend in use have such a lock.
func (p *phase) locksWhole() bool {
	if p.task.Program.Provisioner == schema.OpenTofu && p.engine.atLeast("1.10.0") {
		return false // its lock for states that are made is each schema's own
	}
	in, err := p.backendInUse()
	return err == nil && in.Type == backendPG
}

// lockPatience is how long the engine tries to get its locks; "" for not at all, so
// that whoever waits hears at once who holds the state's. In PostgreSQL nobody is told
// that, and two locks are held for a moment: that of the whole database by every run as
// it begins, and that of a state by a run that was killed, until the server notices.
func (p *phase) lockPatience() string {
	if in, err := p.backendInUse(); err == nil && in.Type == backendPG {
		return "10s"
	}
	return ""
}

// isWholeLocked tells whether the lock that an engine could not have is that of the
// whole database. It says so in words that may be wrapped and framed, and tells
// of nobody who holds it.
func isWholeLocked(said string) bool {
	return strings.Contains(telling.Unframed(strings.ToLower(said)), "already locked for workspace creation:")
}

// wholeLockAdvice says what holds the lock of a whole database, and what a person can
// do when it stays.
const wholeLockAdvice = "The whole database is locked: Terraform does that while it plans or applies anything that has no state there yet. " +
	"This stack was not touched; its job is tried again by itself.\n" +
	"When the lock stays, look whose session holds it (`select * from pg_stat_activity where pid in (select pid from pg_locks where locktype = 'advisory' " +
	"and classid = 4294967295 and objid = 4294967295)`); when its owner is gone, end that session (`select pg_terminate_backend(pid)`)."

// beginState writes an empty state where there is none, so that this stack's first plan
// and apply do not lock the whole database. It is asked for by what initialises the
// backend, which makes tables there anyhow.
func (p *phase) beginState(ctx context.Context) error {
	if !p.locksWhole() {
		return nil
	}
	if r, err := p.readBackendRecord(); err != nil || r != nil && r.samePlace(p.backendNow()) && r.Resources {
		return err
	}
	s, err := p.pullState(ctx)
	if err != nil || s != nil && (s.Lineage != "" || s.Serial > 0 || s.holdsResources()) {
		return err // with no state, an engine prints one that has never been written
	}
	empty, err := json.Marshal(map[string]any{"version": 4, "terraform_version": p.task.Program.Version, "serial": 1, "lineage": newUUID(),
		"outputs": map[string]any{}, "resources": []any{}})
	if err != nil {
		return err
	}
	file, err := p.at.writePrivate("empty.tfstate", empty)
	if err != nil {
		return err
	}
	// Under the lock, and never by force: whatever was written since is refused.
	v := p.voice(stackjob.OpInit, nil)
	err = p.engine.run(ctx, v, []string{"state", "push"}, func(ctx context.Context) error {
		p.engine.quiet(v.stdout())
		return p.engine.tf.StatePush(ctx, file, tfexec.Lock(true), tfexec.LockTimeout(p.lockPatience()))
	})
	if err != nil {
		return engineProblem(ctx, err, "writing an empty state", v)
	}
	return nil
}
