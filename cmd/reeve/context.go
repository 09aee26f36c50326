package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/agext/levenshtein"
	"github.com/google/renameio/v2"
	"github.com/spf13/cobra"

	"github.com/stackreeve/stackreeve/internal/api"
	"github.com/stackreeve/stackreeve/reconciler/store"
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
		Long: `use keeps an organization or environment as the context of later commands. When a daemon
answers and knows nothing of that name, it is refused; without a daemon it is taken as it is.`,
		RunE: func(cmd *cobra.Command, args []string) error {
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
			f, err := parseContext(args[0])
			if err != nil {
				return err
			}
			if err := c.known(cmd.Context(), f); err != nil {
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

// known refuses a context of which a daemon says that there is no such thing. It is the
// person's word that counts when none can be asked, or when it has not read everything.
func (c *cli) known(ctx context.Context, f api.Filter) error {
	b, err := c.backend()
	if err != nil {
		return nil //nolint:nilerr // there is nobody to ask
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	repositories, err := b.Repositories(ctx)
	if err != nil || slices.ContainsFunc(repositories, func(r api.RepositoryStatus) bool { return r.Commit == "" }) {
		return nil //nolint:nilerr // as above
	}
	environments, err := b.Environments(ctx, api.Filter{})
	if err != nil {
		return nil //nolint:nilerr // as above
	}
	var orgs, envs []string
	for _, e := range environments {
		orgs = append(orgs, e.Org)
		if e.Org == f.Org {
			envs = append(envs, e.Org+"/"+e.Name)
		}
	}
	whole := f.Org
	if f.Env != "" {
		whole += "/" + f.Env
	}
	if slices.Contains(orgs, whole) || slices.Contains(envs, whole) {
		return nil
	}
	// A stack outlives its folder, and an organization needs no environment.
	if left, err := b.Resources(ctx, f); err != nil || len(left) > 0 {
		return nil //nolint:nilerr // as above
	}
	if _, err := b.Graph(ctx, f, "json"); !errors.Is(err, store.ErrNotFound) {
		return nil //nolint:nilerr // as above
	}
	if len(envs) > 0 {
		return fmt.Errorf("there is no environment %q of %s%s", f.Env, f.Org, meant(whole, envs))
	}
	slices.Sort(orgs)
	return fmt.Errorf("there is no organization %q%s", f.Org, meant(f.Org, slices.Compact(orgs)))
}

// meant is what was probably meant, or else what there is, as the end of a sentence.
func meant(typed string, known []string) string {
	const most = 10
	best, bestScore := "", 0.6
	for _, k := range known {
		// An environment is compared without its organization, which they share.
		if score := levenshtein.Match(path.Base(typed), path.Base(k), nil); score > bestScore {
			best, bestScore = k, score
		}
	}
	switch {
	case best != "":
		return fmt.Sprintf("; did you mean %q?", best)
	case len(known) == 0:
		return "; the daemon knows none"
	case len(known) > most:
		return fmt.Sprintf("; there are %s and %d more", strings.Join(known[:most], ", "), len(known)-most)
	}
	return "; there is " + strings.Join(known, ", ")
}
