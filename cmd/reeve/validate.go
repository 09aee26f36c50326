package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/stackreeve/stackreeve/schema"
	"github.com/stackreeve/stackreeve/schema/diag"
)

// loadFolder loads a folder as a config repository, as it is on disk.
func loadFolder(ctx context.Context, path string) (*schema.Tree, error) {
	fi, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !fi.IsDir() {
		return nil, usage("%s is a file: expected the root folder of a config repository", path)
	}
	root, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	return schema.LoadFS(ctx, os.DirFS(root))
}

func newValidate(c *cli) *cobra.Command {
	var annotations string
	var strict bool
	cmd := &cobra.Command{
		Use:   "validate PATH",
		Short: "Check a config repository; exit code 1 when it has errors",
		Example: "  reeve validate .\n  reeve validate . --annotations github   # in a GitHub workflow\n" +
			"  reeve validate . -o json",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			tree, err := loadFolder(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			found := tree.Diagnostics()
			if err := c.printDiagnostics(found, annotations, tree); err != nil {
				return err
			}
			if found.HasErrors() || strict && len(found) > 0 {
				return findings()
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&annotations, "annotations", "", "print CI annotations: github or gitlab")
	cmd.Flags().BoolVar(&strict, "strict", false, "exit code 1 for warnings too")
	return cmd
}

func (c *cli) printDiagnostics(found diag.List, annotations string, tree *schema.Tree) error {
	if annotations != "" {
		text, err := diag.Annotations(found, diag.AnnotationStyle(annotations))
		if err != nil {
			return usage("%v", err)
		}
		_, err = c.out.Write(text)
		return err
	}
	switch c.output {
	case "json":
		_, err := c.out.Write(diag.JSON(found))
		return err
	case "yaml":
		var same any // as JSON has it: the list and its counts
		if err := json.Unmarshal(diag.JSON(found), &same); err != nil {
			return err
		}
		return c.print(same, nil)
	}
	if _, err := io.WriteString(c.out, diag.Text(found, diag.TextOptions{Color: c.color()})); err != nil {
		return err
	}
	errs, warnings := 0, 0
	for _, d := range found {
		switch d.Severity {
		case diag.Error:
			errs++
		case diag.Warning:
			warnings++
		}
	}
	_, err := fmt.Fprintf(c.out, "%d resources in %d environments: %d errors, %d warnings\n",
		len(tree.Resources()), len(tree.Environments()), errs, warnings)
	return err
}
