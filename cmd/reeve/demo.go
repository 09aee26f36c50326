package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/go-git/go-git/v5"
	gitconfig "github.com/go-git/go-git/v5/config"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/stackreeve/stackreeve/examples"
	"github.com/stackreeve/stackreeve/internal/api"
	"github.com/stackreeve/stackreeve/internal/app"
	"github.com/stackreeve/stackreeve/internal/config"
	"github.com/stackreeve/stackreeve/internal/program"
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
uses terraform or tofu from PATH; with neither it builds OpenTofu with the Go toolchain.
Where there is Pulumi with its host for programs in YAML, dev has a Pulumi stack, too.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			mode := untilStopped
			if once {
				mode = untilSettled
			}
			if folder != "" {
				abs, err := filepath.Abs(folder)
				if err != nil {
					return err
				}
				return c.demo(cmd.Context(), abs, mode)
			}
			tmp, err := os.MkdirTemp("", "reeve-demo-")
			if err != nil {
				return err
			}
			err = c.demo(cmd.Context(), tmp, mode)
			return errors.Join(err, os.RemoveAll(tmp))
		},
	}
	cmd.Flags().StringVar(&folder, "dir", "", "folder to keep the demo in (default: a temporary one, removed at the end)")
	cmd.Flags().BoolVar(&once, "once", false, "end when everything is applied or waits for a person")
	return cmd
}

func (c *cli) demo(ctx context.Context, folder string, mode mode) error {
	say := func(format string, args ...any) { _, _ = fmt.Fprintf(c.out, format+"\n", args...) }
	repo := filepath.Join(folder, "repository")
	if _, err := os.Stat(repo); err == nil {
		return usage("%s is there already: name a new folder", repo)
	}
	name, engine, err := tool.EnsureEngine(ctx, c.err)
	if err != nil {
		return err
	}
	say("engine: %s (%s)", name, engine)
	programs := fmt.Sprintf("  default: %s\n  %s: %q\n", name, name, engine)
	var more []string
	pulumi, err := c.findPulumi(ctx)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		say("no Pulumi stack: %s", noPulumi(err))
	default:
		say("engine: pulumi (%s)", pulumi)
		programs += fmt.Sprintf("  pulumi: %q\n", pulumi)
		more = pulumiFiles
	}
	if err := makeRepository(repo, more); err != nil {
		return fmt.Errorf("make the example repository: %w", err)
	}
	say("config repository: %s", repo)
	file := filepath.Join(folder, "reeve.yaml")
	text := fmt.Sprintf("dataDir: %q\nlisten: 127.0.0.1:0\nsocket: %q\nrepositories:\n  - name: demo\n    path: %q\n    pollInterval: 2s\njobs:\n  grace: 10s\nengine:\n%slog:\n  level: warn\n",
		filepath.Join(folder, "data"), filepath.Join(folder, "reeve.sock"), repo, programs)
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
			AtEnd: app.InterruptEngines,
		})
	})
	g.Go(func() error {
		select {
		case a := <-address:
			d := demonstration{cli: c, backend: api.NewClient(api.Options{Socket: cfg.Socket}), repository: repo, address: a, say: say,
				reeve: invocation(os.Args[0]) + " --config " + quoted(file)}
			defer stop() // the daemon ends with it
			return d.run(gctx, mode)
		case <-gctx.Done():
			return nil
		}
	})
	return g.Wait()
}

// findPulumi finds a Pulumi that runs programs in YAML: one that a daemon would find that
// nobody has configured, else the one that was built for tests.
func (c *cli) findPulumi(ctx context.Context) (path string, err error) {
	cfg, _, err := config.Load(config.Options{Path: "reeve.yaml", Bytes: []byte{}, Environ: c.environ, Purpose: config.ForClient})
	if err != nil {
		return "", err
	}
	p, err := app.FindPulumi(ctx, cfg, c.environ, "yaml")
	if err == nil {
		return p.Path, nil
	}
	if built, ok := tool.BuiltPulumi(); ok {
		return built.Path, nil
	}
	return "", err
}

// noPulumi says in one line why the demo shows no Pulumi stack.
func noPulumi(err error) string {
	var none *program.NoneFits
	if errors.As(err, &none) && len(none.There) == 0 {
		if len(none.Broken) > 0 {
			return none.Broken[0].Path + " does not work: " + none.Broken[0].Err
		}
		// Its own words name every folder of PATH.
		return "there is no pulumi on this machine; `reeve engine install pulumi` gets it"
	}
	var lack app.EngineLack
	if errors.As(err, &lack) {
		return lack.What() + "; " + lack.Instead()
	}
	return err.Error()
}

// pulumiFiles are the files of the Pulumi example that the quickstart can do with: the
// program, and its stack in dev.
var pulumiFiles = []string{"modules/site/Pulumi.yaml", "acme/dev/site.yaml"}

// makeRepository makes a Git repository of the quickstart example and some files of the
// Pulumi example.
func makeRepository(dir string, more []string) error {
	if err := os.CopyFS(dir, examples.Quickstart()); err != nil {
		return err
	}
	for _, name := range more {
		text, err := fs.ReadFile(examples.Pulumi(), name)
		if err != nil {
			return err
		}
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(file, text, 0o644); err != nil {
			return err
		}
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
	if err := nameCommitter(r); err != nil {
		return err
	}
	_, err = w.Commit("The quickstart example", &git.CommitOptions{Author: &object.Signature{Name: demoName, Email: demoEmail, When: time.Now()}})
	return err
}

// nameCommitter lets the person who tries the demo commit on a machine where Git
// has not been told who they are.
func nameCommitter(r *git.Repository) error {
	all, err := r.ConfigScoped(gitconfig.SystemScope)
	if err != nil || all.User.Name != "" && all.User.Email != "" {
		return nil // what Git itself cannot read, it will say
	}
	own, err := r.Config()
	if err != nil {
		return err
	}
	own.User.Name, own.User.Email = demoName, demoEmail
	return r.SetConfig(own)
}

// Who commits the example.
const demoName, demoEmail = "reeve demo", "demo@localhost"

// demonstration shows what the daemon does until it has nothing left to do.
type demonstration struct {
	cli     *cli
	backend api.Backend
	// reeve is how a command to this daemon begins.
	reeve               string
	repository, address string
	say                 func(string, ...any)
}

// mode tells when a demonstration ends.
type mode string

const (
	untilStopped mode = "until stopped"
	untilSettled mode = "until settled"
)

func (d demonstration) run(ctx context.Context, mode mode) error {
	d.say("daemon: http://%s/api/v1 (API), /metrics, /healthz\n", d.address)
	wake := d.backend.Watch(ctx)
	p := &progress{out: d.cli.out, backend: d.backend}
	var asked []stackjob.JobID
	introduced := false
	for {
		waiting, settled, err := d.settled(ctx)
		n := 0
		if err == nil {
			n, err = p.catchUp(ctx) // after: what has settled is shown before it is said
		}
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		if n > 0 {
			continue
		}
		if settled && !introduced {
			introduced = true
			if mode == untilSettled {
				d.conclude(waiting)
				return nil
			}
			if err := d.introduce(ctx, waiting); err != nil {
				return err
			}
		} else if settled && !slices.Equal(asked, ids(waiting)) {
			if err := d.ask(ctx, waiting); err != nil {
				return err
			}
		}
		if settled {
			asked = ids(waiting)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-wake:
		case <-time.After(time.Second): // the first comparison makes no event when nothing differs
		}
	}
}

func ids(jobs []stackjob.Job) []stackjob.JobID {
	out := make([]stackjob.JobID, 0, len(jobs))
	for _, j := range jobs {
		out = append(out, j.ID)
	}
	return out
}

// settled tells whether nothing moves any more without a person, and what waits
// for one.
func (d demonstration) settled(ctx context.Context) (waiting []stackjob.Job, settled bool, err error) {
	repos, err := d.backend.Repositories(ctx)
	if err != nil || len(repos) == 0 || repos[0].Commit == "" {
		return nil, false, err
	}
	open, err := d.backend.Jobs(ctx, store.JobQuery{Open: true, Limit: 1000})
	if err != nil {
		return nil, false, err
	}
	byKey := map[string]bool{}
	for _, j := range open {
		byKey[j.Desired.Key.String()] = true
	}
	for _, j := range slices.Backward(open) { // oldest first
		switch {
		case j.State.IsWaiting():
			waiting = append(waiting, j)
		case j.State == stackjob.Queued && j.Reason.Code == stackjob.ReasonBlocked:
		case j.State == stackjob.Queued && j.Reason.Code == stackjob.ReasonWaitsForProducer && byKey[j.Reason.Detail]:
			// Its producer moves, and is judged by itself, or waits. One that has no
			// job any more has just succeeded.
		default:
			return nil, false, nil
		}
	}
	return waiting, true, nil
}

// conclude says what a daemon that ends now leaves to a person.
func (d demonstration) conclude(waiting []stackjob.Job) {
	for _, j := range waiting {
		d.say("%s is planned and waits for an approval", j.Desired.Key)
	}
	d.say("The demo ends here. Without --once its daemon goes on and is there to be asked.")
}

// introduce says what to type now.
func (d demonstration) introduce(ctx context.Context, waiting []stackjob.Job) error {
	failures, err := d.failures(ctx)
	if err != nil {
		return err
	}
	if failures == 0 {
		d.say("\nDev and staging are applied; prod is planned and waits for you. In another terminal:\n")
	}
	for _, j := range waiting {
		d.say("  %s approve %s   # %s", d.reeve, j.ID, j.Desired.Key)
	}
	d.say("  %s explain acme/prod/TerraformStack/network", d.reeve)
	d.say("  %s get resources", d.reeve)
	d.say("\nA commit to try:\n")
	d.say("  cd %s && sed -i.old 's/Hello!/Good morning!/' acme/dev/greetings.yaml && git commit -qam 'Greet politely'", quoted(d.repository))
	d.say("\nThe API: http://%s/api/v1/jobs   Its description: http://%s/api/v1/openapi.json", d.address, d.address)
	d.say("What happens is shown here. Ctrl-C ends the demo.\n")
	return nil
}

// ask says what waits now, after something has moved.
func (d demonstration) ask(ctx context.Context, waiting []stackjob.Job) error {
	failures, err := d.failures(ctx)
	if err != nil {
		return err
	}
	if len(waiting) == 0 && failures == 0 {
		d.say("\nNothing waits: everything is as the repository says.\n")
	}
	if len(waiting) > 0 {
		d.say("\nWaits for you:\n")
	}
	for _, j := range waiting {
		d.say("  %s approve %s   # %s", d.reeve, j.ID, j.Desired.Key)
	}
	if len(waiting) > 0 {
		d.say("")
	}
	return nil
}

// failures shows what did not go well and tells how much it is.
func (d demonstration) failures(ctx context.Context) (int, error) {
	all, err := d.backend.Resources(ctx, api.Filter{})
	if err != nil {
		return 0, err
	}
	n := 0
	for _, r := range all {
		if r.Status != "failed" && r.Status != "interrupted" && r.Status != "frozen" {
			continue
		}
		if n == 0 {
			d.say("\nThis did not go well:\n")
		}
		n++
		d.say("  %s %s: %s", r.Key, r.Status, r.Reason)
		if r.Job != "" {
			d.say("    %s logs %s", d.reeve, r.Job)
		}
	}
	return n, nil
}

// invocation is how this program is called from any folder: by its name when the
// shell finds it, else by its path.
func invocation(arg0 string) string {
	if !strings.ContainsRune(arg0, filepath.Separator) {
		return arg0
	}
	if abs, err := filepath.Abs(arg0); err == nil {
		arg0 = abs
	}
	return quoted(arg0)
}

// plainPath needs no quotes in any shell.
var plainPath = regexp.MustCompile(`^[-+./:=@_0-9A-Za-z]+$`)

// quoted is a path as a shell reads it.
func quoted(path string) string {
	if !plainPath.MatchString(path) {
		return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
	}
	return path
}
