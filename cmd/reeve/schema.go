package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/stackreeve/stackreeve/internal/config"
	"github.com/stackreeve/stackreeve/schema"
)

func newSchema(c *cli) *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use:   "schema [KIND | config]",
		Short: "Print the JSON Schema of a kind, or of reeve.yaml, for editors; without an argument, the kinds",
		Example: "  reeve schema TerraformStack > .schemas/terraform-stack.json\n" +
			"  reeve schema config > reeve.schema.json\n  reeve schema AwsVpc --path .   # a kind that the repository registers",
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			known := map[string][]byte{}
			for _, k := range schema.OwnKinds() {
				known[k], _ = schema.JSONSchema(k)
			}
			if path != "" {
				tree, err := loadFolder(cmd.Context(), path)
				if err != nil {
					return err
				}
				for k, s := range tree.JSONSchemas() {
					known[k] = s
				}
			}
			known["config"] = config.JSONSchema()
			kinds := slices.Sorted(maps.Keys(known))
			if len(args) == 0 {
				return c.print(kinds, func(w io.Writer) error {
					_, err := fmt.Fprintln(w, strings.Join(kinds, "\n"))
					return err
				})
			}
			s, ok := known[args[0]]
			if !ok {
				return usage("kind %q: expected one of %s (or --path for kinds that a repository registers)", args[0], strings.Join(kinds, ", "))
			}
			asText := func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "%s\n", strings.TrimRight(string(s), "\n"))
				return err
			}
			if c.output != "yaml" {
				return asText(c.out) // it is JSON already
			}
			return c.print(json.RawMessage(s), asText)
		},
	}
	cmd.Flags().StringVar(&path, "path", "", "a config repository whose registered kinds are meant too")
	return cmd
}
