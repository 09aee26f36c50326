package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"

	"github.com/spf13/cobra"

	"github.com/stackreeve/stackreeve/internal/api"
	"github.com/stackreeve/stackreeve/reconciler/report"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
)

// answer is the shape of approve, reject, cancel and rerun.
type answer struct {
	verb, short string
	digest      bool
	say         func(ctx context.Context, b api.Backend, a api.Answer) (stackjob.Job, error)
}

func (c *cli) newAnswer(a answer) *cobra.Command {
	var comment, digest string
	cmd := &cobra.Command{
		Use:   a.verb + " JOB",
		Short: a.short,
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.withBackend(cmd.Context(), func(ctx context.Context, b api.Backend, _ api.Filter) error {
				ans := api.Answer{Job: stackjob.JobID(args[0]), PlanDigest: digest, Comment: comment}
				if a.verb == "approve" && digest == "" {
					// Without --plan the plan is shown, and the approval is for the
					// plan that was shown: never for one that took its place since.
					shown, err := c.showPlan(ctx, b, ans.Job)
					if err != nil {
						return err
					}
					ans.PlanDigest = shown
				}
				job, err := a.say(ctx, b, ans)
				if err != nil {
					return err
				}
				return c.print(job, func(w io.Writer) error {
					_, err := fmt.Fprintf(w, "%s %s: %s\n", job.ID, job.Desired.Key, job.State.Sentence())
					return err
				})
			})
		},
	}
	cmd.Flags().StringVarP(&comment, "comment", "m", "", "a word to those who read it later")
	if a.digest {
		cmd.Flags().StringVar(&digest, "plan", "", "digest of the plan that was seen (default: the plan is shown first)")
	}
	return cmd
}

// showPlan prints the plan of a job and returns its digest; "" when the job waits
// for its start and has none.
func (c *cli) showPlan(ctx context.Context, b api.Backend, id stackjob.JobID) (string, error) {
	job, err := b.Job(ctx, id)
	if err != nil {
		return "", err
	}
	if job.Plan == nil || job.State == stackjob.WaitingStart {
		return "", nil
	}
	if c.output == "text" {
		if _, err := io.WriteString(c.out, report.Plan(*job.Plan, report.Style{Color: c.color()})); err != nil {
			return "", err
		}
	}
	return job.Plan.Digest, nil
}

func newApprove(c *cli) *cobra.Command {
	return c.newAnswer(answer{verb: "approve", short: "Approve the plan of a job, or its start", digest: true,
		say: func(ctx context.Context, b api.Backend, a api.Answer) (stackjob.Job, error) { return b.Approve(ctx, a) }})
}

func newReject(c *cli) *cobra.Command {
	return c.newAnswer(answer{verb: "reject", short: "Reject a job: nothing of it is applied", digest: true,
		say: func(ctx context.Context, b api.Backend, a api.Answer) (stackjob.Job, error) { return b.Reject(ctx, a) }})
}

func newCancel(c *cli) *cobra.Command {
	return c.newAnswer(answer{verb: "cancel", short: "Cancel a job; a running engine is interrupted and may take its grace time",
		say: func(ctx context.Context, b api.Backend, a api.Answer) (stackjob.Job, error) { return b.Cancel(ctx, a) }})
}

func newRerun(c *cli) *cobra.Command {
	return c.newAnswer(answer{verb: "rerun", short: "Make a new job for the stack of a job, from what the repository now says",
		say: func(ctx context.Context, b api.Backend, a api.Answer) (stackjob.Job, error) { return b.Rerun(ctx, a) }})
}

func newLogs(c *cli) *cobra.Command {
	var follow bool
	var from int64
	cmd := &cobra.Command{
		Use:   "logs JOB",
		Short: "Print what the engine said in a job",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.withBackend(cmd.Context(), func(ctx context.Context, b api.Backend, _ api.Filter) error {
				ctx, stop := signal.NotifyContext(ctx, os.Interrupt)
				defer stop()
				mode := api.FollowNo
				if follow {
					mode = api.FollowYes
				}
				r, err := b.Log(ctx, stackjob.JobID(args[0]), from, mode)
				if err != nil {
					return err
				}
				defer func() { _ = r.Close() }()
				_, err = io.Copy(c.out, r)
				if errors.Is(err, context.Canceled) {
					return nil
				}
				return err
			})
		},
	}
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on as the log grows")
	cmd.Flags().Int64Var(&from, "from", 0, "start at this byte")
	return cmd
}
