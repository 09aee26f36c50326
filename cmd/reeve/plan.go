package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/stackreeve/stackreeve/internal/api"
	"github.com/stackreeve/stackreeve/internal/app"
	"github.com/stackreeve/stackreeve/internal/config"
	"github.com/stackreeve/stackreeve/reconciler/report"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/schema"
	"github.com/stackreeve/stackreeve/schema/diag"
)

func newPlan(c *cli) *cobra.Command {
	var f pullFlags
	cmd := &cobra.Command{
		Use:   "plan PATH|--pr PULL-REQUEST",
		Short: "Plan a config repository on disk, without a daemon and without changing anything",
		Long: `plan loads the folder as it is, compares it with what a daemon on this machine has
recorded (if there is one) and plans every change, with the same code and the same engine.
With --pr it plans what merging a pull request would do, and posts nothing.
Exit code 1 when the repository has errors or a plan failed.`,
		Example: "  reeve plan .\n  reeve plan . --context acme/dev\n  reeve plan --pr https://git.example.com/acme/infra/pulls/7",
		Args: func(cmd *cobra.Command, args []string) error {
			if f.pull != "" {
				return cobra.NoArgs(cmd, args)
			}
			if len(args) != 1 {
				return fmt.Errorf("expected a folder, or a pull request with --pr; got %d arguments", len(args))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case f.pull != "":
				return c.planOfPull(cmd.Context(), f)
			case f.trust:
				return usage("--trust goes with --pr; a folder is always trusted")
			}
			return c.plan(cmd.Context(), args[0], f.repository, f.quiet)
		},
	}
	f.add(cmd)
	return cmd
}

func (c *cli) plan(ctx context.Context, path, repository string, quiet bool) error {
	f, err := c.filter()
	if err != nil {
		return err
	}
	folder, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	if _, err := loadFolder(ctx, path); err != nil {
		return err
	}
	cfg, err := c.loadConfig(config.ForClient)
	if err != nil {
		return err
	}
	if repository == "" {
		repository = filepath.Base(folder)
		if len(cfg.Repositories) == 1 {
			repository = cfg.Repositories[0].Name
		}
	}
	exe, err := app.Executable()
	if err != nil {
		return err
	}
	o := app.PlanOptions{Config: cfg, Folder: folder, Repository: repository, Executable: append(exe, "run-job"), Environ: c.environ,
		Version: thisBuild().Version, Log: slog.New(slog.NewTextHandler(c.err, &slog.HandlerOptions{Level: slog.LevelWarn})),
		Want: func(k schema.ResourceKey) bool {
			return (f.Org == "" || f.Org == k.Org) && (f.Env == "" || f.Env == k.Env)
		}}
	if !quiet {
		o.Begin = func(ctx context.Context, b api.Backend, after int64) {
			(&progress{out: c.err, backend: b, after: after}).follow(ctx)
		}
	}
	result, err := app.Plan(ctx, o)
	if err != nil {
		return err
	}
	if err := c.print(result, func(w io.Writer) error { return c.writePlan(w, result) }); err != nil {
		return err
	}
	if result.Diagnostics.HasErrors() {
		return findings()
	}
	for _, r := range result.Resources {
		if r.Problem != nil {
			return findings()
		}
	}
	return nil
}

func (c *cli) writePlan(w io.Writer, result app.LocalPlan) error {
	if _, err := io.WriteString(w, diag.Text(result.Diagnostics, diag.TextOptions{Color: c.color()})); err != nil {
		return err
	}
	for _, r := range result.Resources {
		if _, err := fmt.Fprintf(w, "\n%s: %s (%s)\n", r.Key, r.Action, report.Because(r.Because)); err != nil {
			return err
		}
		var text string
		switch {
		case r.Deferred != nil:
			text = fmt.Sprintf("deferred until %s is applied: it reads a value that is not there before\n", r.Deferred)
		case r.Problem != nil:
			text = "no plan: " + r.Problem.String() + "\n" + endOf(r.Log)
		case r.Job != nil && r.Job.Plan != nil:
			text = report.Plan(*r.Job.Plan, report.Style{Color: c.color()})
		}
		if r.MovedFrom != "" {
			text = "its document moved here from " + report.Clean(r.MovedFrom) + "\n" + text
		}
		if r.Refused != nil {
			text += "would not be applied: " + r.Refused.String() + "\n"
		}
		if r.Hold != nil && r.Refused == nil {
			text += "would wait for a person: " + r.Hold.String() + "\n"
		}
		if _, err := io.WriteString(w, text); err != nil {
			return err
		}
	}
	for _, f := range result.Frozen {
		if _, err := fmt.Fprintf(w, "\n%s/%s is left as it is: %s: %s\n", f.Org, f.Env, stackjob.ReasonFrozen.Sentence(), f.Pos); err != nil {
			return err
		}
	}
	for _, l := range result.Engines {
		of := make([]string, len(l.Of))
		for i, k := range l.Of {
			of[i] = k.String()
		}
		if _, err := fmt.Fprintf(w, "\n%s: the next job would fail: %s\n", strings.Join(of, ", "), report.Clean(l.Why)); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(w, "\n%s\n", inAll(result))
	return err
}

// endOf is the end of a log, indented.
func endOf(log string) string {
	var b strings.Builder
	lines := report.Lines(log)
	for _, line := range lines[max(0, len(lines)-report.LogLines):] {
		b.WriteString(strings.TrimRight("  "+line, " ") + "\n")
	}
	return b.String()
}

// inAll is the last line of a plan: how many stacks differ, and what their plans do.
func inAll(result app.LocalPlan) string {
	line := report.Plural(len(result.Resources), "stack") + " differ"
	if len(result.Resources) == 1 {
		line += "s"
	}
	verb := "are"
	if result.Unchanged == 1 {
		verb = "is"
	}
	line += fmt.Sprintf(", %d %s as desired", result.Unchanged, verb)
	var plans []*stackjob.Plan
	unplanned := 0
	for _, r := range result.Resources {
		switch {
		case r.Deferred != nil || r.Problem != nil:
			unplanned++
		case r.Job != nil && r.Job.Plan != nil:
			plans = append(plans, r.Job.Plan)
		}
	}
	var parts []string
	if len(plans) > 0 {
		parts = append(parts, stackjob.BriefOf(plans))
	}
	if unplanned > 0 {
		parts = append(parts, fmt.Sprintf("%d not planned", unplanned))
	}
	if len(parts) == 0 {
		return line
	}
	return line + ": " + strings.Join(parts, ", ")
}
