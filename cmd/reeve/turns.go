package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/stackreeve/stackreeve/internal/api"
	"github.com/stackreeve/stackreeve/reconciler/command"
	"github.com/stackreeve/stackreeve/reconciler/pull"
	"github.com/stackreeve/stackreeve/reconciler/report"
	"github.com/stackreeve/stackreeve/reconciler/store"
)

func newGetTurns(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:     "turns",
		Aliases: []string{"turn"},
		Short:   "List the stacks that pull requests hold, or wait for, to apply them before the merge",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.withBackend(cmd.Context(), func(ctx context.Context, b api.Backend, f api.Filter) error {
				list, err := b.Turns(ctx, f)
				if err != nil {
					return err
				}
				return c.print(list, func(w io.Writer) error {
					t := report.Table{Header: []string{"RESOURCE", "PULL REQUEST", "PLACE", "BY", "ASKED", "NOTE"}}
					for _, s := range list {
						place := "holds it"
						if s.Place > 0 {
							place = strconv.Itoa(s.Place)
						}
						t.Rows = append(t.Rows, []string{s.Stack.String(), pull.Key{Repository: s.Repository, Number: s.Number}.String(), place,
							report.Clean(s.By.Name), ago(s.At), turnNote(s)})
					}
					return writeTable(w, t, "no pull request holds a resource"+within(f))
				})
			})
		},
	}
}

// turnNote is what an operator must know of a turn.
func turnNote(s api.TurnStatus) string {
	note := ""
	if s.Applied {
		note = "applied from it"
	}
	if !s.Followed {
		if note != "" {
			note += "; "
		}
		note += "its repository is not followed"
	}
	return note
}

func newUnlock(c *cli) *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use:   "unlock REPOSITORY#NUMBER [SELECTOR...]",
		Short: "Give back resources that a pull request holds and cannot be asked for",
		Long: `unlock ends the turns of a pull request whose repository is not followed any more, or that the
forge has no longer. Where it can be asked, comment ` + "`reeve unlock`" + ` there instead: it does the same.

What was applied from the pull request stays as it is. The branch's own plan, which takes that
back, is made, and waits for a person whatever the policy says. Nothing is given back while it is
being applied.`,
		Example: "  reeve get turns\n  reeve unlock 'infra#7' --reason 'the pull request was deleted'\n" +
			"  reeve unlock 'infra#7' prod/TerraformStack/web-* --reason 'moved to another repository'",
		Args: cobra.MinimumNArgs(1),
		ValidArgsFunction: c.completed(func(ctx context.Context, b api.Backend, f api.Filter) ([]cobra.Completion, error) {
			list, err := b.Turns(ctx, f)
			var out []cobra.Completion
			for _, s := range list {
				out = append(out, cobra.CompletionWithDesc(pull.Key{Repository: s.Repository, Number: s.Number}.String(), s.Stack.String()))
			}
			return out, err
		}),
		RunE: func(cmd *cobra.Command, args []string) error {
			key, ok := pull.ParseKey(args[0])
			if !ok {
				return usage("pull request %q: expected REPOSITORY#NUMBER, as `reeve get turns` shows it", args[0])
			}
			for _, s := range args[1:] {
				if _, problem := command.ParseSelector(s); problem != "" {
					return usage("%s", problem)
				}
			}
			if reason == "" {
				return usage("--reason is missing: say why, for the record")
			}
			return c.withBackend(cmd.Context(), func(ctx context.Context, b api.Backend, _ api.Filter) error {
				ended, err := b.Unlock(ctx, api.Unlock{Repository: key.Repository, Number: key.Number, Selectors: args[1:], Reason: reason})
				if errors.Is(err, store.ErrNotFound) {
					return fmt.Errorf("pull request %s holds no turn of what you chose; `reeve get turns` lists them", key)
				}
				if err != nil {
					return err
				}
				return c.print(ended, func(w io.Writer) error {
					for _, r := range ended {
						line := r.Stack.String() + " is given back"
						if r.Applied {
							line += "; what was applied from " + key.String() + " stays until the plan that takes it back is approved"
						}
						if _, err := io.WriteString(w, line+"\n"); err != nil {
							return err
						}
					}
					return nil
				})
			})
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the record; it is told in the pull request too")
	return cmd
}
