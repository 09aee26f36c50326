package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/renameio/v2"
	"github.com/spf13/cobra"
)

// contextFile is where `reeve context use` keeps the context: one line.
func contextFile(getenv func(string) string) (string, error) {
	dir := getenv("XDG_CONFIG_HOME")
	if dir == "" {
		home := getenv("HOME")
		if home == "" {
			return "", errors.New("neither XDG_CONFIG_HOME nor HOME is set, so no context can be kept")
		}
		dir = filepath.Join(home, ".config")
	}
	return filepath.Join(dir, "reeve", "context"), nil
}

// savedContext is the context that is in use, "" for none.
func savedContext(getenv func(string) string) (string, error) {
	if v := getenv("REEVE_CONTEXT"); v != "" {
		return v, nil
	}
	file, err := contextFile(getenv)
	if err != nil {
		return "", nil // nowhere to keep one, so there is none
	}
	b, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read the context: %w", err)
	}
	return strings.TrimSpace(string(b)), nil
}

func newContext(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "context",
		Short: "Show or choose the organization and environment that commands show",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			ctx, err := savedContext(c.getenv)
			if err != nil {
				return err
			}
			return c.print(map[string]string{"context": ctx}, func(w io.Writer) error {
				if ctx == "" {
					ctx = "none: everything is shown"
				}
				_, err := fmt.Fprintln(w, ctx)
				return err
			})
		},
	}
	use := &cobra.Command{
		Use:               "use [ORG | ORG/ENV]",
		ValidArgsFunction: c.completeContexts(),
		Short:             "Show only this organization or environment from now on; without an argument, everything",
		Example:           "  reeve context use acme/prod",
		Args:              cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			file, err := contextFile(c.getenv)
			if err != nil {
				return err
			}
			if len(args) == 0 {
				if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
					return fmt.Errorf("forget the context: %w", err)
				}
				return nil
			}
			if _, err := parseContext(args[0]); err != nil {
				return err
			}
			if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
				return fmt.Errorf("keep the context: %w", err)
			}
			return renameio.WriteFile(file, []byte(args[0]+"\n"), 0o644)
		},
	}
	cmd.AddCommand(use)
	return cmd
}
