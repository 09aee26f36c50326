package main

import (
	"context"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/stackreeve/stackreeve/internal/api"
	"github.com/stackreeve/stackreeve/reconciler/report"
)

func newGetPulls(c *cli) *cobra.Command {
	var q api.PullFilter
	cmd := &cobra.Command{
		Use:     "pulls",
		Aliases: []string{"pull", "prs", "pr"},
		Short:   "List pull requests, what they change and what they wait for",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if q.Limit < 1 || q.Limit > 1000 {
				return usage("--limit %d: expected 1 to 1000", q.Limit)
			}
			return c.withBackend(cmd.Context(), func(ctx context.Context, b api.Backend, _ api.Filter) error {
				list, err := b.Pulls(ctx, q)
				if err != nil {
					return err
				}
				return c.print(list, func(w io.Writer) error {
					t := report.Table{Header: []string{"PULL REQUEST", "TITLE", "STATE", "RESOURCES", "CHANGES", "WAITS FOR"}}
					for _, p := range list {
						t.Rows = append(t.Rows, []string{p.Repository + "#" + strconv.Itoa(p.Number), report.Shorten(report.Clean(p.Title), titleColumns), p.State,
							strconv.Itoa(p.Resources), p.Brief, waitsFor(p)})
					}
					empty := "no open pull requests; --all shows those that have ended"
					if q.All {
						empty = "no pull requests"
					}
					return writeTable(w, t, empty)
				})
			})
		},
	}
	cmd.Flags().BoolVarP(&q.All, "all", "a", false, "also those with which nothing more is done")
	cmd.Flags().StringVar(&q.Repository, "repository", "", "only those of this config repository")
	cmd.Flags().IntVar(&q.Limit, "limit", 100, "at most this many")
	if err := cmd.RegisterFlagCompletionFunc("repository", c.completeRepositories()); err != nil {
		panic(err) // the flag is defined above
	}
	return cmd
}

// titleColumns is how much of a title a table shows.
const titleColumns = 40

// waitsFor is what is between a pull request and its apply, in one cell.
func waitsFor(p api.PullStatus) string {
	var out []string
	for _, b := range p.WaitsFor {
		out = append(out, report.Clean(b.What))
	}
	return strings.Join(out, "; ")
}
