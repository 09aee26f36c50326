package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/stackreeve/stackreeve/internal/api"
	"github.com/stackreeve/stackreeve/internal/app"
	"github.com/stackreeve/stackreeve/internal/config"
	"github.com/stackreeve/stackreeve/reconciler/report"
	"github.com/stackreeve/stackreeve/schema"
)

func newState(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "state",
		Short: "List the backups of a stack's state, restore one, or print what a Pulumi stack's secrets need",
		Long: `Before each apply the state of a stack that is kept in the daemon's data folder is backed up, and that
of a Pulumi stack wherever it is kept; the newest twenty backups are kept. What other backends keep of
Terraform and OpenTofu is backed up by them.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newStateList(c), newStateRestore(c), newStatePassphrase(c))
	return cmd
}

func newStateList(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:               "list RESOURCE",
		Short:             "List the state of a stack and its backups, newest first",
		Example:           "  reeve state list acme/prod/TerraformStack/network",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: c.completeResources(),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.withBackend(cmd.Context(), func(ctx context.Context, b api.Backend, f api.Filter) error {
				states, err := statesOf(ctx, b, f, args[0])
				if err != nil {
					return err
				}
				return c.print(states, func(w io.Writer) error { return writeStates(w, states) })
			})
		},
	}
}

func statesOf(ctx context.Context, b api.Backend, f api.Filter, name string) (api.States, error) {
	key, err := findResource(ctx, b, f, name)
	if err != nil {
		return api.States{}, err
	}
	return b.States(ctx, key)
}

func writeStates(w io.Writer, s api.States) error {
	if s.Backend != "" {
		if _, err := fmt.Fprintf(w, "The state is kept by the backend %s. These were exported before each apply:\n", s.Backend); err != nil {
			return err
		}
	}
	t := report.Table{Header: []string{"BACKUP", "MADE", "SERIAL", "RESOURCES", "SIZE", "BEFORE", "LINEAGE"}}
	if s.State != nil {
		t.Add("(the state)", stateTime(s.State.At), stateSerial(*s.State), stateResources(*s.State), byteSize(s.State.Size), "", s.State.Lineage)
	}
	for _, b := range s.Backups {
		before := string(b.Job)
		if b.Action != "" {
			before = string(b.Action) + " of " + before
		}
		if b.Current {
			before = strings.TrimSpace(before + " (what the state is now)")
		}
		t.Add(b.Name, stateTime(b.At), stateSerial(b), stateResources(b), byteSize(b.Size), before, b.Lineage)
	}
	return writeTable(w, t, "no state and no backups of "+s.Key.String())
}

func newStatePassphrase(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "passphrase ORG/ENV/KIND/NAME",
		Short: "Print the passphrase of a Pulumi stack's secrets, for pulumi by hand",
		Long: `passphrase prints the passphrase that encrypts the secrets of a stack in its state, where its document
names no other secretsProvider. It is made of the daemon's key and the stack's name, so this works on
the daemon's machine, for its user, whether the daemon runs or not, and for a stack that is not there yet.

Put it into the variable that pulumi reads, never on a command line.`,
		Example:           "  reeve state passphrase acme/prod/PulumiStack/shop",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: c.completeResources(),
		RunE: func(_ *cobra.Command, args []string) error {
			k, err := schema.ParseResourceKey(args[0])
			if err != nil {
				return usage("%w", err)
			}
			cfg, err := c.loadConfig(config.ForClient)
			if err != nil {
				return err
			}
			phrase, err := app.StackPassphrase(cfg.DataDir, k)
			if err != nil {
				return err
			}
			return c.print(map[string]string{"passphrase": phrase}, func(w io.Writer) error {
				_, err := fmt.Fprintln(w, phrase)
				return err
			})
		},
	}
}

// stateTime is a time as it is in the names of backups, so that both can be told together.
func stateTime(at time.Time) string {
	if at.IsZero() {
		return ""
	}
	return at.UTC().Format(time.DateTime) + "Z"
}

func stateSerial(s api.StateCopy) string {
	if s.Damaged {
		return "damaged"
	}
	return strconv.FormatInt(s.Serial, 10)
}

func stateResources(s api.StateCopy) string {
	switch {
	case s.Damaged:
		return ""
	case s.Encrypted:
		return "encrypted"
	}
	return strconv.Itoa(s.Resources)
}

// byteSize is a number of bytes in the largest unit of which there is a whole one.
func byteSize(n int64) string {
	switch {
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	case n >= 1<<10:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	}
	return fmt.Sprintf("%d B", n)
}

func newStateRestore(c *cli) *cobra.Command {
	var why string
	var force, yes bool
	cmd := &cobra.Command{
		Use:   "restore RESOURCE BACKUP --reason TEXT",
		Short: "Put a backup in the place of a stack's state",
		Long: `restore puts a backup that 'reeve state list' names in the place of a stack's state. What is there
is backed up first, so that a restore is undone by restoring that. Only the state changes: nothing
is made or destroyed. The stack is planned again, and what that plan changes waits for a person,
whatever the policy says.

It is refused while a job of the stack runs. What waits of the stack ends, for it was planned for
the state that is replaced.`,
		Example:           "  reeve state restore acme/prod/TerraformStack/network 20261121T215310.123456789Z-3-sj_01jd7v8k3nqz4w5x6y7c8d9e0f --reason mistake",
		Args:              cobra.ExactArgs(2),
		ValidArgsFunction: c.completeBackups(),
		RunE: func(cmd *cobra.Command, args []string) error {
			if strings.TrimSpace(why) == "" {
				return usage("say why the state is restored: --reason 'TEXT'")
			}
			return c.withBackend(cmd.Context(), func(ctx context.Context, b api.Backend, f api.Filter) error {
				return c.restoreState(ctx, b, f, restoration{resource: args[0], yes: yes, ask: api.StateRestore{Backup: args[1], Reason: why, Force: force}})
			})
		},
	}
	cmd.Flags().StringVar(&why, "reason", "", "why, for those who read the history (needed)")
	cmd.Flags().BoolVar(&force, "force", false, "restore a backup of another lineage too: what the state knows now is forgotten")
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask on a terminal after showing what takes the place of what")
	return cmd
}

// restoration is what is restored, as it was typed.
type restoration struct {
	resource string
	yes      bool
	ask      api.StateRestore
}

func (c *cli) restoreState(ctx context.Context, b api.Backend, f api.Filter, r restoration) error {
	states, err := statesOf(ctx, b, f, r.resource)
	if err != nil {
		return err
	}
	r.ask.Key = states.Key
	if err := c.confirmRestore(ctx, states, r); err != nil {
		return err
	}
	job, err := b.RestoreState(ctx, r.ask)
	if err != nil {
		return err
	}
	return c.print(job, func(w io.Writer) error {
		done := job.Restore
		if done == nil {
			return fmt.Errorf("the daemon's answer does not say what job %s restored", job.ID)
		}
		_, err := fmt.Fprintf(w, "%s %s: its state is the backup %s (serial %d)\n", job.ID, job.Desired.Key, done.Backup, done.State.Serial)
		if err == nil && done.Replaced != nil {
			_, err = fmt.Fprintf(w, "What was there (serial %d) is kept as %s.\n", done.Replaced.Serial, done.Replaced.Backup)
		}
		if err == nil {
			_, err = fmt.Fprintln(w, "It is planned again; what the plan changes waits for a person: see `reeve get jobs`.")
		}
		return err
	})
}

// confirmRestore asks a person on a terminal. What is wrong with the backup is said by the daemon.
func (c *cli) confirmRestore(ctx context.Context, s api.States, r restoration) error {
	if !c.asks(r.yes) {
		return nil
	}
	for _, b := range s.Backups {
		if b.Name != r.ask.Backup && !strings.HasPrefix(b.Name, r.ask.Backup+".") {
			continue
		}
		now := "there is no state now"
		if s.State != nil {
			now = fmt.Sprintf("serial %s with %s resources, lineage %s", stateSerial(*s.State), stateResources(*s.State), s.State.Lineage)
		}
		_, _ = fmt.Fprintf(c.err, "%s\n  now:    %s\n  backup: serial %s with %s resources, lineage %s, made %s\n",
			s.Key, now, stateSerial(b), stateResources(b), b.Lineage, stateTime(b.At))
		return c.askYes(ctx, "Put the backup in the place of the state", "not restored")
	}
	return nil
}

// completeBackups offers resources, and then the backups of the one that was typed.
func (c *cli) completeBackups() completion {
	resources := c.completeResources()
	return func(cmd *cobra.Command, args []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) != 1 {
			return resources(cmd, args, typed)
		}
		backups := c.completed(func(ctx context.Context, b api.Backend, f api.Filter) ([]cobra.Completion, error) {
			key, err := schema.ParseResourceKey(args[0])
			if err != nil {
				if key, err = findResource(ctx, b, f, args[0]); err != nil {
					return nil, err
				}
			}
			s, err := b.States(ctx, key)
			var out []cobra.Completion
			for _, b := range s.Backups {
				if !b.Damaged {
					out = append(out, cobra.CompletionWithDesc(b.Name, fmt.Sprintf("serial %s, %s resources", stateSerial(b), stateResources(b))))
				}
			}
			return out, err
		})
		return backups(cmd, nil, typed)
	}
}
