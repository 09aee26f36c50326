package terraform

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/hashicorp/terraform-exec/tfexec"

	"github.com/stackreeve/stackreeve/reconciler/engine/telling"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
)

// recording says whether an init that was not needed is worth a record.
type recording int

const (
	recordAlways recording = iota
	// recordWhenRun is for the apply phase: a record of the same kind would
	// take the place of the plan phase's.
	recordWhenRun
)

// initRecord is what the last good init was made for and what it left.
type initRecord struct {
	Digest string `json:"digest"`
	// Left are paths below the data folder, through links, that must still be
	// there.
	Left []string `json:"left"`
}

// prepare makes the workspace show the module and opens the engine.
func (p *phase) prepare() error {
	if err := checkPaths(p.task, p.at.private); err != nil {
		return err
	}
	if err := p.at.makeFolders(); err != nil {
		return fmt.Errorf("prepare the workspace: %w", err)
	}
	if err := p.plantFarm(); err != nil {
		return err
	}
	if err := p.writeOverride(); err != nil {
		return err
	}
	var err error
	p.engine, err = p.open()
	return err
}

// initialise runs init, unless nothing moved that it depends on and what it left
// is still there.
func (p *phase) initialise(ctx context.Context, rec recording) error {
	digest, err := p.initDigest()
	if err != nil {
		return err
	}
	move, err := p.backendMove()
	if err != nil {
		return err
	}
	if move == nil && p.initHolds(digest) {
		if rec == recordAlways {
			p.Skip(stackjob.OpInit)
		}
		return nil
	}
	op := p.Begin(stackjob.OpInit)
	if err := p.runInit(ctx, op, move); err != nil {
		op.Fail(err)
		return err
	}
	op.End(stackjob.ResultSucceeded, stackjob.Reason{})
	return nil
}

func (p *phase) runInit(ctx context.Context, op *telling.Operation, move *backendMove) error {
	ctx, cancel := telling.WithTimeout(ctx, p.task.Timeouts[stackjob.OpInit])
	defer cancel()
	// From here on the old record tells nothing.
	if err := os.Remove(p.at.initFile); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	cache, err := p.openProviderCache(ctx)
	if err != nil {
		return err
	}
	defer cache.close()
	p.engine.processes = 0
	defer func() { op.Record.EngineProcesses = p.engine.processes }()
	if err := p.initOnce(ctx, move); err != nil {
		return err
	}
	if err := cache.filled(); err != nil {
		return err
	}
	if move != nil {
		if err := p.proveMoved(ctx, *move); err != nil {
			return err
		}
	}
	if err := p.beginState(ctx); err != nil {
		return err
	}
	return p.recordInit()
}

// initOnce runs init. When the module's own backend block moved, the engine
// refuses; then the move is treated like one of ours: init again for the new
// place, and go on only when the state is there.
func (p *phase) initOnce(ctx context.Context, move *backendMove) error {
	reconfigure := p.task.Backend.Type != backendModule || move != nil
	err := p.initProcess(ctx, reconfigure)
	var pr *telling.Problem
	if err == nil || reconfigure || !errors.As(err, &pr) || !isBackendChanged(pr.Failure.Text) {
		return err
	}
	held, err := p.readBackendRecord()
	if err != nil {
		return err
	}
	if err := p.initProcess(ctx, true); err != nil {
		return err
	}
	if held != nil && held.Resources {
		return p.proveMoved(ctx, backendMove{from: *held})
	}
	return nil
}

func (p *phase) initProcess(ctx context.Context, reconfigure bool) error {
	opts := []tfexec.InitOption{tfexec.Reconfigure(reconfigure)}
	settings, err := p.backendSettings()
	if err != nil {
		return err
	}
	if settings != "" {
		opts = append(opts, tfexec.BackendConfig(settings))
	}
	// The pg backend makes what all states of a database share when it is not there
	// yet, and PostgreSQL lets only one of several at once do that.
	for tries := 1; ; tries++ {
		err := p.initEngine(ctx, opts)
		var pr *telling.Problem
		switch {
		case err == nil || tries == telling.FirstUses || !errors.As(err, &pr):
			return err
		case telling.IsFirstUse(pr.Failure.Text):
			p.Say(telling.FirstUseAgain)
		case p.usesCache() && isCacheRefused(pr.Failure.Text):
			p.Say(cacheRefusedAgain)
			if err := p.leaveCache(); err != nil {
				return err
			}
		default:
			return err
		}
	}
}

// initEngine runs init once.
func (p *phase) initEngine(ctx context.Context, opts []tfexec.InitOption) error {
	v := p.voice(stackjob.OpInit, nil)
	// JSON came with 1.9 in both engines; before, init speaks to people only.
	words, do := []string{"init"}, func(ctx context.Context) error {
		p.engine.quiet(v.stdout())
		return p.engine.tf.Init(ctx, opts...)
	}
	if p.engine.atLeast("1.9.0") {
		words, do = append(words, "-json"), func(ctx context.Context) error { return p.engine.tf.InitJSON(ctx, v.stdout(), opts...) }
	}
	if err := p.engine.run(ctx, v, words, do); err != nil {
		return engineProblem(ctx, err, "init", v)
	}
	return nil
}

// initDigest is over all that init depends on.
func (p *phase) initDigest() (string, error) {
	lock, err := readIfThere(p.at.lockFile())
	if err != nil {
		return "", err
	}
	t := p.task
	b, err := json.Marshal([]any{t.ModuleRoot, t.ModuleRevision, t.ModulePath, string(lock), p.backendNow(),
		t.Program.Provisioner, t.Program.Version, t.Program.Path})
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:]), nil
}

// initHolds tells whether the last init was made for the same and left what is
// still there.
func (p *phase) initHolds(digest string) bool {
	b, err := readIfThere(p.at.initFile)
	if err != nil || b == nil {
		return false
	}
	var r initRecord
	if json.Unmarshal(b, &r) != nil || r.Digest != digest || !isFolder(p.at.data) {
		return false
	}
	for _, left := range r.Left {
		if _, err := os.Stat(filepath.Join(p.at.data, left)); err != nil {
			return false
		}
	}
	return true
}

// recordInit writes down what init was made for; the lock file may have moved.
func (p *phase) recordInit() error {
	digest, err := p.initDigest()
	if err != nil {
		return err
	}
	r := initRecord{Digest: digest}
	// host/namespace/type/version/platform: a link into a cache or mirror that
	// may go.
	for _, pattern := range []string{"*", "providers/*/*/*/*/*"} {
		found, err := filepath.Glob(filepath.Join(p.at.data, pattern))
		if err != nil {
			return err
		}
		for _, f := range found {
			if name, err := filepath.Rel(p.at.data, f); err == nil {
				r.Left = append(r.Left, name)
			}
		}
	}
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if err := p.recordBackend(nil); err != nil {
		return err
	}
	return writeFile(p.at.initFile, b)
}
