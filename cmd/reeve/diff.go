package main

import (
	"context"
	"io"

	"github.com/spf13/cobra"

	"github.com/stackreeve/stackreeve/internal/api"
	"github.com/stackreeve/stackreeve/reconciler/report"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/schema"
)

func newDiff(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "diff",
		Short: "Show which resources differ from what was applied, and why; exit code 1 when any does",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.withBackend(cmd.Context(), func(ctx context.Context, b api.Backend, f api.Filter) error {
				list, err := b.Changes(ctx, f)
				if err != nil {
					return err
				}
				err = c.print(list, func(w io.Writer) error {
					t := report.Table{Header: []string{"RESOURCE", "ACTION", "BECAUSE", "JOB", "WAITS FOR"}}
					for _, ch := range list {
						hold := ""
						if !ch.Hold.IsZero() {
							hold = ch.Hold.String()
						}
						t.Rows = append(t.Rows, []string{ch.Key.String(), string(ch.Action), because(ch.Because), string(ch.Job), hold})
					}
					return writeTable(w, t, "everything is as the repository says")
				})
				if err == nil && len(list) > 0 {
					return findings()
				}
				return err
			})
		},
	}
}

func because(list []stackjob.Because) string {
	s := ""
	for i, b := range list {
		if i > 0 {
			s += "; "
		}
		s += b.Cause.Sentence()
		if b.Detail != "" {
			s += ": " + b.Detail
		}
	}
	return s
}

func newExplain(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:     "explain ORG/ENV/KIND/NAME",
		Short:   "Explain a resource: which policy, what it waits for, why it changed",
		Example: "  reeve explain acme/prod/TerraformStack/network\n  reeve explain --context acme/prod TerraformStack/network",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.withBackend(cmd.Context(), func(ctx context.Context, b api.Backend, f api.Filter) error {
				name := args[0]
				if key, err := schema.ParseResourceKey(name); err != nil && f.Env != "" {
					name = f.Org + "/" + f.Env + "/" + name
				} else if err == nil {
					name = key.String()
				}
				key, err := schema.ParseResourceKey(name)
				if err != nil {
					return usage("%v", err)
				}
				e, err := b.Explain(ctx, key)
				if err != nil {
					return err
				}
				return c.print(e, func(w io.Writer) error {
					for _, l := range e.Lines {
						if _, err := io.WriteString(w, l+"\n"); err != nil {
							return err
						}
					}
					if len(e.Next) > 0 {
						if _, err := io.WriteString(w, "\nNext:\n"); err != nil {
							return err
						}
					}
					for _, n := range e.Next {
						if _, err := io.WriteString(w, "  "+n+"\n"); err != nil {
							return err
						}
					}
					return nil
				})
			})
		},
	}
}
