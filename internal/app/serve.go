package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/stackreeve/stackreeve/internal/config"
	"github.com/stackreeve/stackreeve/internal/web"
	"github.com/stackreeve/stackreeve/reconciler/engine"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/reconciler/store"
	"github.com/stackreeve/stackreeve/schema"
	"github.com/stackreeve/stackreeve/schema/diag"
)

// ServeOptions are what a serving daemon is made of.
type ServeOptions struct {
	Options
	// Load reads the configuration anew, after its file or a secret's changed.
	Load func() (config.Config, diag.List, error)
	// Again makes Load be called although no file has changed.
	Again <-chan os.Signal
	// Ready is called once with the address of the HTTP listener, when the
	// daemon answers.
	Ready func(address string)
	// AtEnd says what becomes of engines that are at work when ctx ends.
	AtEnd AtEnd
}

// AtEnd says what becomes of engines that outlive the daemon.
type AtEnd string

// The answers.
const (
	// LeaveEngines lets them go on by themselves; the next daemon takes them over.
	LeaveEngines AtEnd = ""
	// InterruptEngines interrupts them and waits: no next daemon will come.
	InterruptEngines AtEnd = "interrupt"
)

// Serve runs a daemon until ctx ends. When it is the first process of a container
// its runners would be killed with it, so then it interrupts them itself, whatever
// o.AtEnd says.
func Serve(ctx context.Context, o ServeOptions) error {
	beThrifty()
	// Both listeners are taken first: a port in use is found before anything else
	// is touched.
	ln, err := web.Listen(o.Config.Listen)
	if err != nil {
		return err
	}
	defer func() { _ = ln.Close() }()
	a, err := New(ctx, o.Options)
	if err != nil {
		return err
	}
	err = a.serve(ctx, ln, o)
	return errors.Join(err, a.Close())
}

func (a *App) serve(ctx context.Context, ln net.Listener, o ServeOptions) error {
	access, err := accessOf(o.Config, o.Environ)
	if err != nil {
		return err
	}
	server, err := web.New(web.Options{Backend: a.desk, Access: access, Registry: a.registry, Log: a.log, Version: o.Version,
		Schemas: Schemas(), Ready: a.Ready, Webhook: a.webhook})
	if err != nil {
		return err
	}
	sock, err := web.ListenSocket(o.Config.Socket, o.Config.SocketGroup)
	if err != nil {
		return err
	}
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return server.ServeTCP(gctx, ln) })
	g.Go(func() error { return server.ServeSocket(gctx, sock) })
	g.Go(func() error { return a.Work(gctx) })
	g.Go(func() error { return giveBack(gctx) })
	if o.Load != nil {
		g.Go(func() error { return a.watchConfig(gctx, server, o) })
	}
	if o.Ready != nil {
		o.Ready(ln.Addr().String())
	}
	interrupts := os.Getpid() == 1 || o.AtEnd == InterruptEngines
	g.Go(func() error {
		<-gctx.Done()
		if ctx.Err() != nil { // else a part of the daemon failed, and Serve returns why
			engines := "go on by themselves"
			if interrupts {
				engines = "are interrupted"
			}
			a.log.Info("stopping", "reason", context.Cause(ctx).Error(), "engines", engines)
		}
		return nil
	})
	err = g.Wait()
	if errors.Is(err, context.Canceled) {
		err = nil
	}
	if interrupts {
		a.drain(time.Duration(o.Config.Jobs.Grace))
	}
	return err
}

// drainMargin is how long a runner may take to end after its engine's grace time.
const drainMargin = 5 * time.Second

// drain interrupts the engines that are at work and waits until they have ended:
// for the first process of a container, whose end kills everything.
func (a *App) drain(grace time.Duration) {
	// A runner gives its engine the grace time and then kills it; hear of that too.
	ctx, cancel := context.WithTimeout(context.Background(), grace+drainMargin)
	defer cancel()
	jobs, err := a.records.List(ctx, store.JobQuery{States: []stackjob.State{stackjob.Planning, stackjob.Applying}, Limit: 1000})
	if err != nil {
		a.log.Error("cannot tell which engines are at work", "error", err)
		return
	}
	var ending sync.WaitGroup
	for _, j := range jobs {
		ending.Go(func() {
			if err := a.interruptRunner(ctx, j); err != nil {
				a.log.Warn("an engine that was interrupted did not end", "job", j.ID, "error", err)
			}
		})
	}
	ending.Wait()
}

// interruptRunner interrupts the engine of a job and waits until it has ended. Its
// outcome is recorded by the next daemon.
func (a *App) interruptRunner(ctx context.Context, j stackjob.Job) error {
	phase, attempt := engine.PhasePlan, j.Attempt
	switch {
	case j.Purpose == stackjob.RestoreState:
		phase, attempt = engine.PhaseRestore, a.layout.Restores(j.ID)
		if attempt == 0 {
			return nil // no engine has a part in it
		}
	case j.State == stackjob.Applying:
		phase = engine.PhaseApply
	}
	run, err := a.launcher.Attach(ctx, a.layout.Phase(j.ID, attempt, phase))
	if errors.Is(err, engine.ErrLost) || errors.Is(err, engine.ErrNotStarted) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := run.Interrupt(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	_, err = run.Wait(ctx, nil)
	if errors.Is(err, engine.ErrLost) {
		return nil
	}
	return err
}

// accessOf reads the tokens that the configuration names.
func accessOf(c config.Config, environ []string) (web.Access, error) {
	out := web.Access{AllowedHosts: c.AllowedHosts}
	for _, t := range c.Tokens {
		s, err := t.ValueFrom.Read(environ)
		if err != nil {
			return out, fmt.Errorf("token %s: %w", t.Name, err)
		}
		out.Tokens = append(out.Tokens, web.Token{Name: t.Name, Secret: s, Role: t.Role})
	}
	return out, nil
}

// Schemas are the JSON Schemas of the own kinds and of reeve.yaml.
func Schemas() map[string]json.RawMessage {
	out := map[string]json.RawMessage{"config": config.JSONSchema()}
	for _, k := range schema.OwnKinds() {
		out[k], _ = schema.JSONSchema(k)
	}
	return out
}

// watchConfig puts a changed configuration in force. A bad one is shown and the
// old one stays.
func (a *App) watchConfig(ctx context.Context, server *web.Server, o ServeOptions) error {
	return config.Watch(ctx, config.WatchOptions{
		Current: o.Config, Load: o.Load, Again: o.Again,
		Fixed: []string{"jobs.parallel", "log.format", "log.level"},
		Apply: func(c config.Config) error {
			access, err := accessOf(c, o.Environ)
			if err != nil {
				return err
			}
			if err := a.Reload(ctx, c); err != nil {
				return err
			}
			server.SetAccess(access)
			return nil
		},
		Report: func(r config.Reload) {
			switch {
			case r.Err != nil:
				a.log.Error("the changed configuration was refused; the old one stays in force", "error", r.Err)
			case r.Diagnostics.HasErrors():
				a.log.Error("the changed configuration was refused; the old one stays in force",
					"findings", diag.Text(r.Diagnostics, diag.TextOptions{}))
			case r.Applied:
				a.log.Info("the changed configuration is in force", "needRestart", r.NeedRestart)
			}
		},
	})
}
