package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

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
	cmd.AddCommand(newForgeConnect(c), newForgeLogins(c))
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

func newForgeLogins(c *cli) *cobra.Command {
	folder := "."
	cmd := &cobra.Command{
		Use:   "logins [REPOSITORY]",
		Short: "Print the logins that documents name with the numbers of their accounts",
		Long: `logins asks the forge which accounts have the logins that the IdentityAccounts, Teams and
policies of a checkout name, and prints how to write each so that it is this account and no
other: github:ada#123. A login without a number counts by its name, whoever has it.

Look at who an account is before you write its number. The exit code is 1 when nobody has a
login that counts by its name.`,
		Example:           "  reeve forge logins                  # of the documents in this folder\n  reeve forge logins infra --path ~/infra",
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: c.completeRepositories(),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := c.loadConfig(config.ForClient)
			if err != nil {
				return err
			}
			o := app.LoginsOptions{Config: cfg, Environ: c.environ}
			if len(args) == 1 {
				o.Repository = args[0]
			}
			if o.Tree, err = loadFolder(cmd.Context(), folder); err != nil {
				return err
			}
			if found := o.Tree.Diagnostics(); found.HasErrors() {
				fmt.Fprintf(c.err, "%s has errors, and logins may be missing here; see `reeve validate`\n", folder) //nolint:errcheck // a remark
			}
			list, err := app.Logins(cmd.Context(), o)
			if err != nil {
				return err
			}
			if err := c.print(list, func(w io.Writer) error { return writeLogins(w, list) }); err != nil {
				return err
			}
			if slices.ContainsFunc(list, func(l app.LoginCheck) bool { return l.Health == app.Missing }) {
				return findings()
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&folder, "path", folder, "the root folder of the checkout")
	return cmd
}

func writeLogins(w io.Writer, list []app.LoginCheck) error {
	t := report.Table{Header: []string{"ORG", "LOGIN", "WRITE", "HEALTH", "DETAIL", "NAMED BY"}}
	for _, l := range list {
		t.Rows = append(t.Rows, []string{l.Org, l.Login, cmp.Or(l.Write, "-"), string(l.Health), l.Detail, strings.Join(l.By, ", ")})
	}
	return writeTable(w, t, "no document names a login of this forge")
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
