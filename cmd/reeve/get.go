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
	"github.com/stackreeve/stackreeve/reconciler/report"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/reconciler/store"
)

func newGet(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "get",
		Short: "List resources, jobs, policies, environments, repositories, pull requests or their turns",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newGetResources(c), newGetJobs(c), newGetPolicies(c), newGetEnvironments(c), newGetRepositories(c), newGetPulls(c), newGetTurns(c))
	return cmd
}

func newGetResources(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:               "resources [KIND[/NAME]]",
		ValidArgsFunction: c.completeKinds(),
		Aliases:           []string{"resource"},
		Short:             "List Cloud Resources and how they are",
		Args:              cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.withBackend(cmd.Context(), func(ctx context.Context, b api.Backend, f api.Filter) error {
				if len(args) == 1 {
					f.Kind, f.Name, _ = strings.Cut(args[0], "/")
				}
				list, err := b.Resources(ctx, f)
				if err != nil {
					return err
				}
				return c.print(list, func(w io.Writer) error {
					t := report.Table{Header: []string{"RESOURCE", "STATUS", "ENGINE", "POLICY", "JOB", "APPLIED", "REASON"}}
					for _, r := range list {
						t.Rows = append(t.Rows, []string{r.Key.String(), r.Status, string(r.Engine), r.Policy, string(r.Job), ago(r.AppliedAt), reasonOf(r)})
					}
					return writeTable(w, t, "no resources"+within(f))
				})
			})
		},
	}
}

func reasonOf(r api.ResourceStatus) string {
	if !r.Reason.IsZero() {
		return r.Reason.String()
	}
	if len(r.Because) > 0 {
		return r.Because[0].Cause.Sentence()
	}
	return ""
}

func newGetJobs(c *cli) *cobra.Command {
	var all bool
	var states []string
	var limit int
	cmd := &cobra.Command{
		Use:               "jobs [KIND[/NAME]|JOB]",
		ValidArgsFunction: c.completeKinds(),
		Aliases:           []string{"job"},
		Short:             "List Stack Jobs, newest first",
		Args:              cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.withBackend(cmd.Context(), func(ctx context.Context, b api.Backend, f api.Filter) error {
				q := store.JobQuery{Org: f.Org, Env: f.Env, Open: !all && len(states) == 0, Limit: limit}
				if len(args) == 1 && strings.HasPrefix(args[0], "sj_") { // no kind begins so
					job, err := findJob(ctx, b, args[0])
					if err != nil {
						return err
					}
					return c.printJobs([]stackjob.Job{job}, "")
				}
				if len(args) == 1 {
					q.Kind, q.Name, _ = strings.Cut(args[0], "/")
				}
				for _, s := range states {
					state, err := parseState(s)
					if err != nil {
						return err
					}
					q.States = append(q.States, state)
				}
				list, err := b.Jobs(ctx, q)
				if err != nil {
					return err
				}
				none := "no jobs" + within(f)
				if q.Open {
					none = "no open jobs" + within(f) + "; --all shows those that have ended"
				}
				return c.printJobs(list, none)
			})
		},
	}
	cmd.Flags().BoolVarP(&all, "all", "a", false, "also jobs that have ended")
	cmd.Flags().StringSliceVar(&states, "state", nil, "only jobs in these states")
	cmd.Flags().IntVar(&limit, "limit", 100, "at most this many")
	names := make([]cobra.Completion, 0, len(stackjob.States()))
	for _, st := range stackjob.States() {
		names = append(names, cobra.CompletionWithDesc(string(st), "the job "+st.Sentence()))
	}
	if err := cmd.RegisterFlagCompletionFunc("state", cobra.FixedCompletions(names, cobra.ShellCompDirectiveNoFileComp)); err != nil {
		panic(err) // the flag is defined above
	}
	return cmd
}

// printJobs prints a list; none is said in place of an empty one.
func (c *cli) printJobs(list []stackjob.Job, none string) error {
	return c.print(list, func(w io.Writer) error { return writeTable(w, report.Jobs(list, time.Now()), none) })
}

func parseState(s string) (stackjob.State, error) {
	names := make([]string, 0, len(stackjob.States()))
	for _, st := range stackjob.States() {
		if string(st) == s {
			return st, nil
		}
		names = append(names, string(st))
	}
	return "", usage("state %q: expected one of %s", s, strings.Join(names, ", "))
}

func newGetPolicies(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:     "policies",
		Aliases: []string{"policy"},
		Short:   "List flow control policies and how many resources each is in force for",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.withBackend(cmd.Context(), func(ctx context.Context, b api.Backend, f api.Filter) error {
				list, err := b.Policies(ctx, f)
				if err != nil {
					return err
				}
				return c.print(list, func(w io.Writer) error {
					t := report.Table{Header: []string{"POLICY", "SELECTS", "CONTROLS", "APPROVALS", "PRUNE", "RESOURCES", "FILE"}}
					for _, p := range list {
						selects := string(p.Selector.Level)
						if p.Selector.Kind != "" {
							selects = p.Selector.Kind
						}
						if p.Selector.ID != "" {
							selects += " " + p.Selector.ID
						}
						required := 0
						if p.Approvals != nil {
							required = p.Approvals.Required
						}
						t.Rows = append(t.Rows, []string{p.Name, selects, report.Controls(p.Controls, required), report.Approvals(p.Approvals, p.Override), string(p.Prune), strconv.Itoa(p.Resources), at(p.File, p.Line)})
					}
					return writeTable(w, t, "no policies; the built-in default is in force")
				})
			})
		},
	}
}

func newGetEnvironments(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:     "environments",
		Aliases: []string{"environment", "envs", "env"},
		Short:   "List environments in promotion order with their resources by status",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.withBackend(cmd.Context(), func(ctx context.Context, b api.Backend, f api.Filter) error {
				list, err := b.Environments(ctx, f)
				if err != nil {
					return err
				}
				return c.print(list, func(w io.Writer) error {
					t := report.Table{Header: []string{"ENVIRONMENT", "RESOURCES", "STATUS", "DESCRIPTION"}}
					for _, e := range list {
						status := byStatus(e.ByStatus)
						if e.Frozen != "" {
							status = "frozen: " + e.Frozen
						}
						t.Rows = append(t.Rows, []string{e.Org + "/" + e.Name, strconv.Itoa(e.Resources), status, e.Description})
					}
					return writeTable(w, t, "no environments"+within(f))
				})
			})
		},
	}
}

func byStatus(m map[string]int) string {
	var parts []string
	for _, s := range sorted(m) {
		parts = append(parts, fmt.Sprintf("%d %s", m[s], s))
	}
	return strings.Join(parts, ", ")
}

func newGetRepositories(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:     "repositories",
		Aliases: []string{"repository", "repos"},
		Short:   "List the followed config repositories and how up to date they are",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.withBackend(cmd.Context(), func(ctx context.Context, b api.Backend, _ api.Filter) error {
				list, err := b.Repositories(ctx)
				if err != nil {
					return err
				}
				return c.print(list, func(w io.Writer) error { return writeRepositories(w, list) })
			})
		},
	}
}

func writeRepositories(w io.Writer, list []api.RepositoryStatus) error {
	t := report.Table{Header: []string{"REPOSITORY", "COMMIT", "RESOURCES", "ERRORS", "WARNINGS", "POLLED", "STATUS"}}
	for _, r := range list {
		status := "ok"
		switch {
		case r.FetchError != "":
			status = r.FetchError
		case r.Commit == "":
			status = "not read yet"
		}
		commit := r.Commit
		if len(commit) > 12 {
			commit = commit[:12]
		}
		t.Rows = append(t.Rows, []string{r.Name, commit, strconv.Itoa(r.Resources), strconv.Itoa(r.Errors), strconv.Itoa(r.Warnings), ago(r.PolledAt), status})
	}
	if err := writeTable(w, t, "no repositories; add one to reeve.yaml"); err != nil {
		return err
	}
	for _, r := range list {
		if r.Report != "" {
			if _, err := fmt.Fprintf(w, "\n%s", r.Report); err != nil {
				return err
			}
		}
	}
	return nil
}

func newPoll(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:               "poll [REPOSITORY]",
		ValidArgsFunction: c.completeRepositories(),
		Short:             "Look at a repository now instead of at the next poll",
		Args:              cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.withBackend(cmd.Context(), func(ctx context.Context, b api.Backend, _ api.Filter) error {
				names := args
				if len(names) == 0 {
					all, err := b.Repositories(ctx)
					if err != nil {
						return err
					}
					for _, r := range all {
						names = append(names, r.Name)
					}
				}
				list := []api.RepositoryStatus{}
				for _, n := range names {
					s, err := b.Poll(ctx, n, stackjob.Actor{})
					if err != nil {
						return err
					}
					list = append(list, s)
				}
				if err := c.print(list, func(w io.Writer) error { return writeRepositories(w, list) }); err != nil {
					return err
				}
				for _, s := range list {
					if s.FetchError != "" || s.Errors > 0 {
						return findings()
					}
				}
				return nil
			})
		},
	}
}
