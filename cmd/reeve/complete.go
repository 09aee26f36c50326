package main

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/stackreeve/stackreeve/internal/api"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/reconciler/store"
)

// completion is what a shell offers.
type completion = func(cmd *cobra.Command, args []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective)

// patience is how long a person who pressed tab waits for a daemon.
const patience = 2 * time.Second

// completed asks the daemon what fits. Without a daemon nothing is offered, and
// nothing is said: the shell would print it into the line.
func (c *cli) completed(ask func(ctx context.Context, b api.Backend, f api.Filter) ([]cobra.Completion, error)) completion {
	return func(cmd *cobra.Command, args []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		parent := cmd.Context()
		if parent == nil {
			parent = context.Background()
		}
		ctx, cancel := context.WithTimeout(parent, patience)
		defer cancel()
		var all []cobra.Completion
		err := c.withBackend(ctx, func(ctx context.Context, b api.Backend, f api.Filter) (err error) {
			all, err = ask(ctx, b, f)
			return err
		})
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		all = slices.DeleteFunc(all, func(s cobra.Completion) bool { return !strings.HasPrefix(s, typed) })
		return all, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
	}
}

// completeJobs offers the jobs in states that fit, newest first.
func (c *cli) completeJobs(fits func(stackjob.State) bool) completion {
	var states []stackjob.State
	for _, s := range stackjob.States() {
		if fits(s) {
			states = append(states, s)
		}
	}
	return c.completed(func(ctx context.Context, b api.Backend, f api.Filter) ([]cobra.Completion, error) {
		jobs, err := b.Jobs(ctx, store.JobQuery{Org: f.Org, Env: f.Env, States: states, Limit: 100})
		var out []cobra.Completion
		for _, j := range jobs {
			out = append(out, cobra.CompletionWithDesc(string(j.ID), j.Desired.Key.String()+" "+j.State.Sentence()))
		}
		return out, err
	})
}

// completeResources offers the keys of resources.
func (c *cli) completeResources() completion {
	return c.completed(func(ctx context.Context, b api.Backend, f api.Filter) ([]cobra.Completion, error) {
		list, err := b.Resources(ctx, f)
		var out []cobra.Completion
		for _, r := range list {
			out = append(out, cobra.CompletionWithDesc(r.Key.String(), r.Status))
		}
		return out, err
	})
}

// completeKinds offers KIND/NAME of what the daemon has.
func (c *cli) completeKinds() completion {
	return c.completed(func(ctx context.Context, b api.Backend, f api.Filter) ([]cobra.Completion, error) {
		list, err := b.Resources(ctx, f)
		var out []cobra.Completion
		for _, r := range list {
			out = append(out, r.Key.Kind, r.Key.Kind+"/"+r.Key.Name)
		}
		slices.Sort(out)
		return slices.Compact(out), err
	})
}

// completeRepositories offers the names of the followed repositories.
func (c *cli) completeRepositories() completion {
	return c.completed(func(ctx context.Context, b api.Backend, _ api.Filter) ([]cobra.Completion, error) {
		list, err := b.Repositories(ctx)
		var out []cobra.Completion
		for _, r := range list {
			out = append(out, r.Name)
		}
		return out, err
	})
}

// completeContexts offers organizations and their environments.
func (c *cli) completeContexts() completion {
	return c.completed(func(ctx context.Context, b api.Backend, _ api.Filter) ([]cobra.Completion, error) {
		list, err := b.Environments(ctx, api.Filter{})
		var out []cobra.Completion
		for _, e := range list {
			if !slices.Contains(out, e.Org) {
				out = append(out, e.Org)
			}
			out = append(out, e.Org+"/"+e.Name)
		}
		return out, err
	})
}
