package main

import (
	"io"

	"github.com/spf13/cobra"

	"github.com/stackreeve/stackreeve/internal/app"
	"github.com/stackreeve/stackreeve/internal/config"
)

func newDoctor(c *cli) *cobra.Command {
	var address string
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Tell what is missing and how to get it; exit code 1 when something is",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := c.loadConfig(config.ForClient)
			if err != nil {
				return err
			}
			w := c.waiting()
			checks := app.Doctor(cmd.Context(), cfg, c.environ, address, w.at)
			w.end()
			if err := c.print(checks, func(w io.Writer) error { return writeChecks(w, checks) }); err != nil {
				return err
			}
			return missing(checks)
		},
	}
	cmd.Flags().StringVar(&address, "url", "", "where forges reach the daemon, to look for its webhooks (default: the names in allowedHosts)")
	return cmd
}
