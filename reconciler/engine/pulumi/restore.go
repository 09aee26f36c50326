package pulumi

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/stackreeve/stackreeve/reconciler/engine"
	"github.com/stackreeve/stackreeve/reconciler/engine/statefile"
	"github.com/stackreeve/stackreeve/reconciler/engine/telling"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
)

var _ engine.Restorer = (*Driver)(nil)

// Restore puts the export of a state back where the stack's backend keeps it, and an export
// of the state that is there now beside the other backups first.
func (d *Driver) Restore(ctx context.Context, t engine.Task, scratch string, s engine.Sink) engine.Result {
	p := newPhase(d, t, scratch, s)
	defer p.close()
	replaced, err := p.restore(ctx)
	r := engine.Result{Phase: engine.PhaseRestore, Operations: p.Operations, Replaced: replaced}
	if err == nil {
		r.Outcome = &stackjob.Outcome{Result: stackjob.ResultSucceeded}
		return r
	}
	r.Failure, r.Cancelled = p.Failure(err)
	return r
}

func (p *phase) restore(ctx context.Context) (*stackjob.StateVersion, error) {
	text, err := os.ReadFile(p.task.Restore.File)
	if err != nil {
		return nil, fmt.Errorf("read the backup: %w", err)
	}
	wanted, err := parseExport(text)
	if err != nil || len(wanted.raw) == 0 {
		return nil, telling.Person(stackjob.ReasonStateDamaged, filepath.Base(p.task.Restore.File), "The backup cannot be read as a state.\nNothing was replaced.")
	}
	if err := p.prepare(ctx); err != nil {
		return nil, err
	}
	if err := p.initialise(ctx, recordWhenRun); err != nil {
		return nil, p.tellLock(err)
	}
	if lock := p.task.ReleaseLock; lock != nil {
		if err := p.recover(ctx, *lock); err != nil {
			return nil, p.tellLock(err)
		}
	}
	if err := p.refuseLocked(); err != nil {
		return nil, p.tellLock(err)
	}
	op := p.Begin(stackjob.OpBackup)
	replaced, err := p.keepReplaced()
	if err != nil {
		op.Fail(err)
		return nil, err
	}
	op.End(stackjob.ResultSucceeded, stackjob.Reason{})
	return replaced, p.putBack(ctx, wanted)
}

// keepReplaced backs up the state whose place is taken; nil when there is none. What was
// kept for the job when it was begun before is that state: the one that is there now may be
// the restored one.
func (p *phase) keepReplaced() (*stackjob.StateVersion, error) {
	list, err := statefile.New(ExportFormat{}, p.driver.now).List(engine.StateFiles{State: p.at.private, Backups: p.task.StateBackups})
	if err != nil {
		return nil, err
	}
	for _, b := range list.Backups {
		if b.Job == p.task.Job {
			return &stackjob.StateVersion{Backup: b.Name}, nil
		}
	}
	name, err := p.keep(p.before)
	if name == "" || err != nil {
		return nil, err
	}
	return &stackjob.StateVersion{Backup: name}, nil
}

func (p *phase) putBack(ctx context.Context, wanted *deployment) error {
	op := p.Begin(stackjob.OpRestore)
	limited, cancel := telling.WithTimeout(ctx, p.task.Timeouts[stackjob.OpInit])
	defer cancel()
	var flags []string
	if p.task.Restore.Force {
		flags = append(flags, "--force")
	}
	p.engine.cmd.processes = 0
	err := p.importState(limited, stackjob.OpRestore, wanted, flags...)
	op.Record.EngineProcesses = p.engine.cmd.processes
	if err != nil {
		op.Fail(err)
		return p.tellLock(err)
	}
	// The state is back. What is known of it here is put right by the next plan at the latest.
	if err := p.remember(wanted); err != nil {
		p.Say("Warning: " + err.Error())
	}
	op.End(stackjob.ResultSucceeded, stackjob.Reason{})
	return nil
}
