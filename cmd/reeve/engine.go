package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/stackreeve/stackreeve/internal/api"
	"github.com/stackreeve/stackreeve/internal/app"
	"github.com/stackreeve/stackreeve/internal/config"
	"github.com/stackreeve/stackreeve/internal/program"
	"github.com/stackreeve/stackreeve/internal/program/install"
	"github.com/stackreeve/stackreeve/reconciler/report"
	"github.com/stackreeve/stackreeve/reconciler/store"
)

func newEngine(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "engine",
		Short: "List and install the programs that plan and apply: Terraform, OpenTofu and Pulumi",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newEngineList(c), newEngineInstall(c), newEngineWhich(c))
	return cmd
}

func newEngineList(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the engines on this machine; exit code 1 when there is none that works",
		Long: `list shows the engines that a daemon with this configuration finds: those that it names, those
in its folders, those that were installed by reeve, and those on PATH. Of each engine the one
that is preferred comes first; a stack gets the first that its constraint allows.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := c.loadConfig(config.ForClient)
			if err != nil {
				return err
			}
			w := c.waiting()
			list, err := app.Engines(cmd.Context(), cfg, c.environ, w.at)
			w.end()
			if err != nil {
				return err
			}
			err = c.print(list, func(w io.Writer) error {
				t := report.Table{Header: []string{"ENGINE", "VERSION", "USED", "FROM", "PATH", "NOTE"}}
				for _, e := range list {
					t.Rows = append(t.Rows, []string{string(e.Engine), e.Version, usedAs(e), e.Origin.Sentence(), e.Path, noteOf(e)})
				}
				return writeTable(w, t, "no engine was found; `reeve engine install tofu` gets one")
			})
			if err != nil {
				return err
			}
			for _, e := range list {
				if e.Problem == "" {
					return nil
				}
			}
			return findings()
		},
	}
}

// usedAs says who gets a program that no constraint asks for.
func usedAs(e app.EngineStatus) string {
	switch {
	case e.Default:
		return "by default"
	case e.Best:
		return "for " + string(e.Engine)
	}
	return ""
}

func noteOf(e app.EngineStatus) string {
	if e.Problem != "" {
		return e.Problem
	}
	var runtimes []string
	for _, h := range e.Hosts {
		runtimes = append(runtimes, h.Runtime)
	}
	if len(runtimes) > 0 {
		return "languages: " + strings.Join(runtimes, ", ")
	}
	return ""
}

func newEngineInstall(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "install NAME[@VERSION|CONSTRAINT]",
		Short: "Install an engine into the data folder, beside what is there",
		Long: `install gets Terraform, OpenTofu or Pulumi: the newest release, one version, or the newest that
a constraint allows. Checksums are checked, and the signatures of Terraform's and OpenTofu's;
those of Pulumi's (Sigstore's) are not: for it the address and TLS are trusted. Nothing is
downloaded when the version, or one that the constraint allows, is there already. Where it
comes from can be changed: engine.mirrors in reeve.yaml.`,
		Example: "  reeve engine install tofu\n  reeve engine install terraform@1.9.8\n  reeve engine install 'pulumi@~>3.200'",
		Args:    cobra.ExactArgs(1),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
			var out []cobra.Completion
			for _, p := range program.Names() {
				out = append(out, string(p))
			}
			return out, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := install.Parse(args[0])
			if err != nil {
				return usage("%v", err)
			}
			cfg, err := c.loadConfig(config.ForClient)
			if err != nil {
				return err
			}
			bar := &installProgress{out: c.err, live: c.isTerminal()}
			done, err := app.InstallEngine(cmd.Context(), cfg, c.environ, r, bar.show)
			bar.end()
			if err != nil {
				return err
			}
			return c.print(done, func(w io.Writer) error {
				what := "is installed"
				if done.Already {
					what = "is there already"
				}
				_, err := fmt.Fprintf(w, "%s %s: %s\n", done.Program, what, done.Path)
				return err
			})
		},
	}
}

// installProgress shows how far an install is: on a screen in one line that changes, else
// a line when something begins, and with each quarter of a download.
type installProgress struct {
	out  io.Writer
	live bool
	last string
	part int64
}

func (b *installProgress) show(p install.Progress) {
	line := p.What
	part := int64(0)
	switch {
	case p.Total > 0:
		line += fmt.Sprintf(" %d of %d MB", p.Done>>20, p.Total>>20)
		part = p.Done * 4 / p.Total
	case p.Done > 0:
		line += fmt.Sprintf(" %d MB", p.Done>>20)
	}
	switch {
	case b.live:
		_, _ = fmt.Fprintf(b.out, "\r\033[K%s", line)
	case p.What != b.last || part != b.part:
		_, _ = fmt.Fprintln(b.out, line)
	}
	b.last, b.part = p.What, part
}

func (b *installProgress) end() {
	if b.live && b.last != "" {
		_, _ = fmt.Fprint(b.out, "\r\033[K")
	}
}

func newEngineWhich(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:               "which ORG/ENV/KIND/NAME",
		Short:             "Say which engine a resource would get now, and why; exit code 1 when it would get none",
		Example:           "  reeve engine which acme/prod/TerraformStack/network",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: c.completeResources(),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.withBackend(cmd.Context(), func(ctx context.Context, b api.Backend, f api.Filter) error {
				key, err := findResource(ctx, b, f, args[0])
				if err != nil {
					return err
				}
				choice, err := b.Engine(ctx, key)
				if errors.Is(err, store.ErrNotFound) {
					return fmt.Errorf("there is no resource %s; `reeve get resources` lists them", key)
				}
				if err != nil {
					return err
				}
				err = c.print(choice, func(w io.Writer) error {
					_, err := io.WriteString(w, chosen(choice))
					return err
				})
				if err == nil && choice.Problem != "" {
					return findings()
				}
				return err
			})
		},
	}
}

// chosen is a choice in sentences.
func chosen(e api.EngineChoice) string {
	var b strings.Builder
	switch {
	case e.Problem != "":
		fmt.Fprintf(&b, "%s: a job would fail or not begin: %s.\n", e.Key, report.Clean(e.Problem))
	default:
		fmt.Fprintf(&b, "%s gets %s %s (%s), %s.\n", e.Key, e.Engine, e.Version, e.Path, program.Origin(e.Origin).Sentence())
	}
	switch e.EngineFrom {
	case "documents":
		fmt.Fprintf(&b, "Engine: %s, which its documents name.\n", e.Engine)
	case "recorded":
		fmt.Fprintf(&b, "Engine: %s, which made it; no document names one.\n", e.Engine)
	default:
		fmt.Fprintf(&b, "Engine: %s, the daemon's default; no document names one.\n", e.Engine)
	}
	if e.Constraint != "" {
		fmt.Fprintf(&b, "Version: %q, as %s says.\n", e.Constraint, e.ConstraintAt)
	} else {
		b.WriteString("Version: any; no document says which.\n")
	}
	if e.Recorded != "" {
		fmt.Fprintf(&b, "Last applied with %s.\n", e.Recorded)
	}
	return b.String()
}
