package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/stackreeve/stackreeve/internal/api"
	"github.com/stackreeve/stackreeve/reconciler/report"
	"github.com/stackreeve/stackreeve/reconciler/store"
	"github.com/stackreeve/stackreeve/schema"
)

func newDiff(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "diff",
		Short: "Show which resources differ from what was applied, and why; exit code 1 when any does, or errors keep a folder from being compared",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.withBackend(cmd.Context(), func(ctx context.Context, b api.Backend, f api.Filter) error {
				list, err := b.Changes(ctx, f)
				if err != nil {
					return err
				}
				frozen, err := c.sayFrozen(ctx, b, f, "was not compared")
				if err != nil {
					return err
				}
				same := "everything is as the repository says"
				if frozen > 0 {
					same = "everything that was compared is as the repository says"
				}
				err = c.print(list, func(w io.Writer) error {
					t := report.Table{Header: []string{"RESOURCE", "ACTION", "BECAUSE", "JOB", "WAITS FOR"}}
					for _, ch := range list {
						hold := ""
						if !ch.Hold.IsZero() {
							hold = ch.Hold.String()
						}
						t.Rows = append(t.Rows, []string{ch.Key.String(), string(ch.Action), report.Because(ch.Because), string(ch.Job), hold})
					}
					return writeTable(w, t, same)
				})
				if err == nil && len(list)+frozen > 0 {
					return findings()
				}
				return err
			})
		},
	}
}

func newExplain(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "explain ORG/ENV/KIND/NAME",
		Short: "Explain a resource: which policy, what it waits for, why it changed",
		Long: `explain says how a resource is, why it changed, what it waits for, which policy is in force
and why, and what can be typed now. A shorter name, KIND/NAME or NAME, is enough when only one
resource of the context is called so.`,
		Example:           "  reeve explain acme/prod/TerraformStack/network\n  reeve explain --context acme/prod network",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: c.completeResources(),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.withBackend(cmd.Context(), func(ctx context.Context, b api.Backend, f api.Filter) error {
				key, err := findResource(ctx, b, f, args[0])
				if err != nil {
					return err
				}
				e, err := b.Explain(ctx, key)
				if errors.Is(err, store.ErrNotFound) {
					return fmt.Errorf("there is no resource %s; `reeve get resources` lists them", key)
				}
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

// findResource finds the resource that a whole key, KIND/NAME or NAME means.
func findResource(ctx context.Context, b api.Backend, f api.Filter, name string) (schema.ResourceKey, error) {
	if key, err := schema.ParseResourceKey(name); err == nil {
		return key, nil
	}
	kind, rest, ok := strings.Cut(name, "/")
	if !ok {
		kind, rest = "", name
	}
	if rest == "" || strings.Contains(rest, "/") {
		return schema.ResourceKey{}, usage("resource %q: expected org/env/Kind/name, Kind/name or a name", name)
	}
	f.Kind, f.Name = kind, rest
	list, err := b.Resources(ctx, f)
	if err != nil {
		return schema.ResourceKey{}, err
	}
	switch len(list) {
	case 0:
		if where := within(f); where != "" {
			return schema.ResourceKey{}, fmt.Errorf("no resource%s is called %q; `reeve get resources` lists them, with --context= those outside of it too", where, name)
		}
		return schema.ResourceKey{}, fmt.Errorf("no resource is called %q; `reeve get resources` lists them", name)
	case 1:
		return list[0].Key, nil
	}
	var keys []string
	for _, r := range list {
		keys = append(keys, r.Key.String())
	}
	return schema.ResourceKey{}, usage("%d resources are called %q; name one of %s", len(list), name, strings.Join(keys, ", "))
}
