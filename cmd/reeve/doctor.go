package main

import (
	"io"

	"github.com/spf13/cobra"

	"github.com/stackreeve/stackreeve/internal/app"
	"github.com/stackreeve/stackreeve/internal/config"
	"github.com/stackreeve/stackreeve/reconciler/report"
)

func newDoctor(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "doctor",
		Short: "Tell what is missing and how to get it; exit code 1 when something is",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := c.loadConfig(config.ForClient)
			if err != nil {
				return err
			}
			checks := app.Doctor(cmd.Context(), cfg, c.environ)
			err = c.print(checks, func(w io.Writer) error {
				t := report.Table{Header: []string{"CHECK", "HEALTH", "DETAIL", "HOW TO MEND"}}
				for _, ch := range checks {
					t.Rows = append(t.Rows, []string{ch.Name, string(ch.Health), ch.Detail, ch.Fix})
				}
				return writeTable(w, t, "nothing to check")
			})
			if err != nil {
				return err
			}
			for _, ch := range checks {
				if ch.Health == app.Missing {
					return findings()
				}
			}
			return nil
		},
	}
}
