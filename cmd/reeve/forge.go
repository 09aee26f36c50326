package main

import (
	"io"

	"github.com/spf13/cobra"

	"github.com/stackreeve/stackreeve/internal/app"
	"github.com/stackreeve/stackreeve/internal/config"
	"github.com/stackreeve/stackreeve/reconciler/report"
)

func newForge(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "forge",
		Short: "Set up the forge on which a repository's pull requests are",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newForgeConnect(c))
	return cmd
}

func newForgeConnect(c *cli) *cobra.Command {
	var o app.ConnectOptions
	cmd := &cobra.Command{
		Use:   "connect [REPOSITORY]",
		Short: "Have the forge tell the daemon what happens to pull requests",
		Long: `connect registers a webhook on the forge, or replaces the secret of the one that is there.
The fresh secret is written to the file that the configuration names
(forge.webhookSecret.file) and is never shown; the old one moves to the file of
forge.previousWebhookSecret, when there is one, and is accepted until the next call.

First it checks that the account can do what the daemon needs. When something is missing it
changes nothing and ends with exit code 1.`,
		Example:           "  reeve forge connect --url https://reeve.example.com\n  reeve forge connect infra --url https://reeve.example.com --dry-run",
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: c.completeRepositories(),
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.URL == "" {
				return usage("--url is missing: where the forge reaches the daemon, such as https://reeve.example.com")
			}
			cfg, err := c.loadConfig(config.ForClient)
			if err != nil {
				return err
			}
			o.Config, o.Environ = cfg, c.environ
			if len(args) == 1 {
				o.Repository = args[0]
			}
			checks, err := app.Connect(cmd.Context(), o)
			if len(checks) > 0 {
				if err := c.print(checks, func(w io.Writer) error { return writeChecks(w, checks) }); err != nil {
					return err
				}
			}
			if err != nil {
				return err
			}
			return missing(checks)
		},
	}
	cmd.Flags().StringVar(&o.URL, "url", "", "where the forge reaches the daemon: https://HOST")
	cmd.Flags().BoolVar(&o.DryRun, "dry-run", false, "only check, and say what would be done")
	cmd.Flags().BoolVar(&o.KeepSecret, "keep-secret", false, "register the webhook with the secret that is there instead of a fresh one")
	return cmd
}

func writeChecks(w io.Writer, checks []app.Check) error {
	t := report.Table{Header: []string{"CHECK", "HEALTH", "DETAIL", "HOW TO MEND"}}
	for _, ch := range checks {
		t.Rows = append(t.Rows, []string{ch.Name, string(ch.Health), ch.Detail, ch.Fix})
	}
	return writeTable(w, t, "nothing to check")
}

// missing ends a command when a check found that something is.
func missing(checks []app.Check) error {
	for _, ch := range checks {
		if ch.Health == app.Missing {
			return findings()
		}
	}
	return nil
}
