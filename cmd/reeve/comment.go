package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"github.com/stackreeve/stackreeve/internal/api"
	"github.com/stackreeve/stackreeve/internal/app"
	"github.com/stackreeve/stackreeve/internal/config"
	"github.com/stackreeve/stackreeve/reconciler/report"
)

// forges are the kinds of forge whose limits a comment can keep.
var forges = []string{string(config.GitHub), string(config.GitLab), string(config.Gitea)}

// pullFlags are those of commands about one pull request.
type pullFlags struct {
	pull, repository string
	trust, quiet     bool
}

func (f *pullFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.pull, "pr", "", "the pull request: its number, or the URL of its page")
	cmd.Flags().StringVar(&f.repository, "repository", "", "name under which the daemon follows this repository (default: the only one that fits)")
	cmd.Flags().BoolVar(&f.trust, "trust", false, "run the code of a pull request from a fork, or from somebody who may not write")
	cmd.Flags().BoolVarP(&f.quiet, "quiet", "q", false, "no progress, only the result")
}

func newComment(c *cli) *cobra.Command {
	var f pullFlags
	var branch, base, kind string
	var dryRun bool
	cmd := &cobra.Command{
		Use:   "comment --dry-run",
		Short: "Show the comment that a pull request would get, posting nothing",
		Long: `comment plans what merging a pull request would do, here and with the daemon's own code,
and prints the comment that the daemon would post, as Markdown and within the forge's
limits. With --branch it does so for a branch of the Git repository in this folder, before
there is a pull request. Plans that the daemon has made for the same inputs are taken over.`,
		Example: "  reeve comment --pr 7 --dry-run\n  reeve comment --branch wider-network --base main --dry-run --forge gitlab",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case !dryRun:
				return usage("only the daemon posts comments; --dry-run shows what it would post")
			case (f.pull == "") == (branch == ""):
				return usage("expected either --pr or --branch")
			case branch == "" && base != "":
				return usage("--base goes with --branch; a pull request says itself what it goes into")
			case kind != "" && !slices.Contains(forges, kind):
				return usage("forge %q: expected github, gitlab or gitea", kind)
			case c.output != "text":
				return usage("a comment is Markdown; -o %s is not offered here", c.output)
			}
			o := app.PlanPullOptions{Pull: f.pull, Branch: branch, Base: base, Forge: config.ForgeKind(kind)}
			if branch != "" {
				var err error
				if o.Folder, err = filepath.Abs("."); err != nil {
					return err
				}
			}
			result, err := c.planPull(cmd.Context(), o, f)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(c.out, result.Comment)
			for _, left := range result.Left {
				_, _ = fmt.Fprintln(c.err, "left out of the comment to stay below the forge's limit: "+left)
			}
			if err != nil {
				return err
			}
			return troubled(result)
		},
	}
	f.add(cmd)
	cmd.Flags().StringVar(&branch, "branch", "", "a branch of the Git repository in this folder, instead of a pull request")
	cmd.Flags().StringVar(&base, "base", "", "with --branch, what it would be merged into (default: the branch that the daemon follows, or else the one that is checked out)")
	cmd.Flags().StringVar(&kind, "forge", "", "whose limits to keep: github, gitlab or gitea (default: the repository's own forge, or else github)")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "print the comment; nothing else is offered, for only the daemon posts")
	if err := cmd.RegisterFlagCompletionFunc("forge", cobra.FixedCompletions(forges, cobra.ShellCompDirectiveNoFileComp)); err != nil {
		panic(err) // the flag is defined above
	}
	return cmd
}

// planPull plans a pull request as the flags say.
func (c *cli) planPull(ctx context.Context, o app.PlanPullOptions, f pullFlags) (app.PulledPlan, error) {
	cfg, err := c.loadConfig(config.ForClient)
	if err != nil {
		return app.PulledPlan{}, err
	}
	exe, err := app.Executable()
	if err != nil {
		return app.PulledPlan{}, err
	}
	o.Config, o.Repository, o.Trust = cfg, f.repository, f.trust
	o.Executable, o.Environ, o.Version = append(exe, "run-job"), c.environ, thisBuild().Version
	o.Log = slog.New(slog.NewTextHandler(c.err, &slog.HandlerOptions{Level: slog.LevelWarn}))
	if !f.quiet {
		o.Begin = func(ctx context.Context, b api.Backend, after int64) {
			(&progress{out: c.err, backend: b, after: after}).follow(ctx)
		}
	}
	result, err := app.PlanPull(ctx, o)
	if errors.Is(err, app.ErrCannotFind) {
		return result, usage("%w", err)
	}
	return result, err
}

// troubled ends a command with findings when something could not be planned.
func troubled(p app.PulledPlan) error {
	if p.Refused != nil || p.Diagnostics.HasErrors() {
		return findings()
	}
	for _, r := range p.Resources {
		if r.Problem != nil {
			return findings()
		}
	}
	return nil
}

// planOfPull is `reeve plan --pr`.
func (c *cli) planOfPull(ctx context.Context, f pullFlags) error {
	result, err := c.planPull(ctx, app.PlanPullOptions{Pull: f.pull, Fresh: true}, f)
	if err != nil {
		return err
	}
	filter, err := c.filter()
	if err != nil {
		return err
	}
	kept := result.Resources[:0]
	for _, r := range result.Resources {
		if (filter.Org == "" || filter.Org == r.Key.Org) && (filter.Env == "" || filter.Env == r.Key.Env) {
			kept = append(kept, r)
		}
	}
	result.Resources = kept
	if err := c.print(result, func(w io.Writer) error { return c.writePulledPlan(w, result) }); err != nil {
		return err
	}
	return troubled(result)
}

func (c *cli) writePulledPlan(w io.Writer, p app.PulledPlan) error {
	if _, err := fmt.Fprintf(w, "#%d %s: %.12s into %.12s\n", p.Number, report.Clean(p.Title), p.Head, p.Base); err != nil {
		return err
	}
	if p.Refused == nil {
		return c.writePlan(w, p.LocalPlan)
	}
	if _, err := fmt.Fprintf(w, "\nnothing is planned: %s\n", p.Refused); err != nil {
		return err
	}
	for _, name := range p.Conflicts {
		if _, err := fmt.Fprintln(w, "  "+report.Clean(name)); err != nil {
			return err
		}
	}
	return nil
}
