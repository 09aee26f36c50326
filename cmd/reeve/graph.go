package main

import (
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"github.com/stackreeve/stackreeve/internal/api"
	"github.com/stackreeve/stackreeve/internal/desk"
	"github.com/stackreeve/stackreeve/schema/diag"
)

func newGraph(c *cli) *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use:   "graph [ORG | ORG/ENV]",
		Short: "Print who needs whom: -o mermaid (default), dot or json; exit code 1 when errors hide a part",
		Long: `graph prints the resources of an organization with what each reads of others: of all
organizations, when none is named and the context names none. Of an environment it prints the
resources, and those of other environments that they need or are needed by.`,
		Example: "  reeve graph acme -o dot | dot -Tsvg > graph.svg\n  reeve graph --path . -o mermaid",
		Args:    cobra.MaximumNArgs(1),
		// Its formats are its own.
		PersistentPreRunE: func(*cobra.Command, []string) error { return nil },
		RunE: func(cmd *cobra.Command, args []string) error {
			format := c.output
			if !cmd.Flags().Changed("output") {
				format = "mermaid"
			}
			switch format {
			case "mermaid", "dot", "json":
			default:
				return usage("graph format %q: expected mermaid, dot or json", format)
			}
			f, err := c.filter()
			if len(args) == 1 {
				f, err = parseContext(args[0])
			}
			if err != nil {
				return err
			}
			if path != "" {
				return c.graphOfFolder(cmd.Context(), path, f, format)
			}
			return c.graphOfDaemon(cmd.Context(), f, format)
		},
	}
	cmd.Flags().StringVar(&path, "path", "", "a config repository on disk, instead of what the daemon has")
	return cmd
}

func (c *cli) graphOfDaemon(ctx context.Context, f api.Filter, format string) error {
	b, err := c.backend()
	if err != nil {
		return err
	}
	text, err := b.Graph(ctx, f, format)
	if err != nil {
		return err
	}
	if _, err := io.WriteString(c.out, text); err != nil {
		return err
	}
	frozen, err := c.sayFrozen(ctx, b, f, "may be shown without a part")
	if err == nil && frozen > 0 {
		return findings()
	}
	return err
}

func (c *cli) graphOfFolder(ctx context.Context, path string, f api.Filter, format string) error {
	tree, err := loadFolder(ctx, path)
	if err != nil {
		return err
	}
	// The errors come first: they may be why nothing is there.
	found := slices.DeleteFunc(slices.Clone(tree.Diagnostics()), func(d diag.Diagnostic) bool { return d.Severity != diag.Error })
	if len(found) > 0 {
		_, _ = io.WriteString(c.err, diag.Text(found, diag.TextOptions{Color: c.color()}))
	}
	switch _, ok := tree.Environment(f.Org, f.Env); {
	case !desk.HasOrganization(tree, f.Org) && f.Org == "":
		return fmt.Errorf("there is no organization in %s", path)
	case !desk.HasOrganization(tree, f.Org):
		return fmt.Errorf("there is no organization %q in %s", f.Org, path)
	case f.Env != "" && !ok:
		return fmt.Errorf("there is no environment %q of %s in %s", f.Env, f.Org, path)
	}
	g := tree.Graph(f.Org)
	if f.Env != "" {
		g = g.Around(f.Org, f.Env)
	}
	text, err := desk.RenderGraph(g, format)
	if err != nil {
		return err
	}
	if _, err := io.WriteString(c.out, text); err != nil {
		return err
	}
	if len(found) > 0 {
		return findings()
	}
	return nil
}

// sayFrozen names the environments that errors keep as they are, with what that means
// here, and returns how many they are. It writes to the error stream, so that what a
// program reads stays what it was.
func (c *cli) sayFrozen(ctx context.Context, b api.Backend, f api.Filter, means string) (int, error) {
	list, err := b.Environments(ctx, f)
	if err != nil {
		return 0, err
	}
	n := 0
	for _, e := range list {
		if e.Frozen != "" {
			n++
			_, _ = fmt.Fprintf(c.err, "%s/%s %s: %s\n", e.Org, e.Name, means, e.Frozen)
		}
	}
	if n > 0 {
		_, _ = fmt.Fprintln(c.err, "`reeve get repositories` shows all errors")
	}
	return n, nil
}
