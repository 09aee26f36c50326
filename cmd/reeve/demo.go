package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/stackreeve/stackreeve/examples"
	"github.com/stackreeve/stackreeve/internal/api"
	"github.com/stackreeve/stackreeve/internal/app"
	"github.com/stackreeve/stackreeve/internal/config"
	"github.com/stackreeve/stackreeve/internal/tool"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/reconciler/store"
	"github.com/stackreeve/stackreeve/schema/diag"
)

func newDemo(c *cli) *cobra.Command {
	var folder string
	var once bool
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Run the whole way once, on an example repository in a temporary folder",
		Long: `demo copies the quickstart example into a new Git repository, starts a daemon on it and
shows what it does: dev is applied at once, prod is planned and waits for an approval. It
uses terraform or tofu from PATH; with neither it builds OpenTofu with the Go toolchain.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if folder != "" {
				return c.demo(cmd.Context(), folder, once)
			}
			tmp, err := os.MkdirTemp("", "reeve-demo-")
			if err != nil {
				return err
			}
			err = c.demo(cmd.Context(), tmp, once)
			return errors.Join(err, os.RemoveAll(tmp))
		},
	}
	cmd.Flags().StringVar(&folder, "dir", "", "folder to keep the demo in (default: a temporary one, removed at the end)")
	cmd.Flags().BoolVar(&once, "once", false, "end when everything is applied or waits for a person")
	return cmd
}

func (c *cli) demo(ctx context.Context, folder string, once bool) error {
	say := func(format string, args ...any) { _, _ = fmt.Fprintf(c.out, format+"\n", args...) }
	name, path, err := tool.EnsureEngine(ctx, c.err)
	if err != nil {
		return err
	}
	say("engine: %s (%s)", name, path)
	repo := filepath.Join(folder, "repository")
	if err := makeRepository(repo); err != nil {
		return fmt.Errorf("make the example repository: %w", err)
	}
	say("config repository: %s", repo)
	file := filepath.Join(folder, "reeve.yaml")
	text := fmt.Sprintf("dataDir: %q\nlisten: 127.0.0.1:0\nsocket: %q\nrepositories:\n  - name: demo\n    path: %q\n    pollInterval: 2s\nengine:\n  default: %s\n  %s: %q\nlog:\n  level: warn\n",
		filepath.Join(folder, "data"), filepath.Join(folder, "reeve.sock"), repo, name, name, path)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return err
	}
	cfg, found, err := config.Load(config.Options{Path: file, Environ: c.environ})
	if err != nil {
		return err
	}
	if found.HasErrors() {
		return errors.New(diag.Text(found, diag.TextOptions{}))
	}
	exe, err := app.Executable()
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	g, gctx := errgroup.WithContext(ctx)
	address := make(chan string, 1)
	g.Go(func() error {
		return app.Serve(gctx, app.ServeOptions{
			Options: app.Options{Config: cfg, Executable: append(exe, "run-job"), Environ: c.environ, Version: thisBuild().Version,
				Log: slog.New(slog.NewTextHandler(c.err, &slog.HandlerOptions{Level: slog.LevelWarn}))},
			Ready: func(a string) { address <- a },
		})
	})
	g.Go(func() error {
		select {
		case a := <-address:
			d := demonstration{cli: c, backend: api.NewClient(api.Options{Socket: cfg.Socket}), config: file, repository: repo, address: a, say: say}
			err := d.run(gctx)
			if err == nil && once {
				stop()
			}
			return err
		case <-gctx.Done():
			return nil
		}
	})
	return g.Wait()
}

// makeRepository makes a Git repository of the quickstart example.
func makeRepository(dir string) error {
	if err := os.CopyFS(dir, examples.Quickstart()); err != nil {
		return err
	}
	r, err := git.PlainInitWithOptions(dir, &git.PlainInitOptions{InitOptions: git.InitOptions{DefaultBranch: plumbing.NewBranchReferenceName("main")}})
	if err != nil {
		return err
	}
	w, err := r.Worktree()
	if err != nil {
		return err
	}
	if err := w.AddWithOptions(&git.AddOptions{All: true}); err != nil {
		return err
	}
	_, err = w.Commit("The quickstart example", &git.CommitOptions{Author: &object.Signature{Name: "reeve demo", Email: "demo@localhost", When: time.Now()}})
	return err
}

// demonstration shows what the daemon does until it has nothing left to do.
type demonstration struct {
	cli                         *cli
	backend                     api.Backend
	config, repository, address string
	say                         func(string, ...any)
}

func (d demonstration) run(ctx context.Context) error {
	d.say("daemon: http://%s/api/v1 (API), /metrics, /healthz\n", d.address)
	wake := d.backend.Watch(ctx)
	p := &progress{out: d.cli.out, backend: d.backend}
	for {
		n, err := p.catchUp(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		if n > 0 {
			continue
		}
		settled, waiting, err := d.settled(ctx)
		if err != nil && ctx.Err() == nil {
			return err
		}
		if settled {
			d.next(waiting)
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-wake:
		case <-time.After(time.Second): // the first comparison makes no event when nothing differs
		}
	}
}

// settled tells whether nothing moves any more without a person.
func (d demonstration) settled(ctx context.Context) (bool, []stackjob.Job, error) {
	repos, err := d.backend.Repositories(ctx)
	if err != nil || len(repos) == 0 || repos[0].Commit == "" {
		return false, nil, err
	}
	open, err := d.backend.Jobs(ctx, store.JobQuery{Open: true})
	if err != nil {
		return false, nil, err
	}
	var waiting []stackjob.Job
	for _, j := range open {
		switch {
		case j.State.IsWaiting():
			waiting = append(waiting, j)
		case j.State == stackjob.Queued && (j.Reason.Code == stackjob.ReasonWaitsForProducer || j.Reason.Code == stackjob.ReasonBlocked):
		default:
			return false, nil, nil
		}
	}
	return len(open) == len(waiting) || len(waiting) > 0, waiting, nil
}

// next says what to type now.
func (d demonstration) next(waiting []stackjob.Job) {
	reeve := os.Args[0] + " --config " + d.config
	d.say("\nWhat you can do now (in another terminal):\n")
	for _, j := range waiting {
		d.say("  %s approve %s   # %s", reeve, j.ID, j.Desired.Key)
	}
	d.say("  %s get resources", reeve)
	d.say("  %s explain acme/prod/TerraformStack/network", reeve)
	d.say("\nA commit to try:\n")
	d.say("  cd %s && sed -i 's/Hello/Good morning/' acme/dev/*.yaml && git commit -qam 'Greet politely'", d.repository)
	d.say("\nThe API: http://%s/api/v1/jobs   Ctrl-C ends the demo.", d.address)
}
