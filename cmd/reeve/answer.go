package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/stackreeve/stackreeve/internal/api"
	"github.com/stackreeve/stackreeve/reconciler/flowcontrol"
	"github.com/stackreeve/stackreeve/reconciler/report"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/reconciler/store"
)

// answer is the shape of approve, reject, cancel and rerun.
type answer struct {
	verb, short, long string
	// fits tells whether a job in this state can be answered so; if not, it says why.
	fits func(stackjob.State) (string, bool)
	// digest tells that the answer is about a plan.
	digest bool
	say    func(ctx context.Context, b api.Backend, a api.Answer) (stackjob.Job, error)
}

func (c *cli) newAnswer(a answer) *cobra.Command {
	var comment, digest string
	var yes bool
	cmd := &cobra.Command{
		Use:               a.verb + " JOB",
		Short:             a.short,
		Long:              a.long,
		Example:           "  reeve get jobs\n  reeve " + a.verb + " sj_01jd7v8k3nqz4w5x6y7c8d9e0f",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: c.completeJobs(func(s stackjob.State) bool { _, ok := a.fits(s); return ok }),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.withBackend(cmd.Context(), func(ctx context.Context, b api.Backend, _ api.Filter) error {
				job, err := findJob(ctx, b, args[0])
				if err != nil {
					return err
				}
				if why, ok := a.fits(job.State); !ok {
					return fmt.Errorf("job %s of %s %s: %s", job.ID, job.Desired.Key, job.State.Sentence(), why)
				}
				ans := api.Answer{Job: job.ID, PlanDigest: digest, Comment: comment}
				if a.verb == "approve" && digest == "" {
					// Without --plan the plan is shown, and the approval is for the
					// plan that was shown: never for one that took its place since.
					if ans.PlanDigest, err = c.showPlan(job); err != nil {
						return err
					}
					if err := c.confirm(ctx, job, yes); err != nil {
						return err
					}
				}
				after, err := a.say(ctx, b, ans)
				if err != nil {
					return anotherPlan(err, job, ans)
				}
				job = after
				if err := c.print(job, func(w io.Writer) error {
					_, err := fmt.Fprintf(w, "%s %s: %s\n", job.ID, job.Desired.Key, answered(job))
					return err
				}); err != nil {
					return err
				}
				if why := flowcontrol.Uncounted(job); a.verb == "approve" && why != "" { // who scripts it takes 0 for a yes
					return fmt.Errorf("job %s of %s: the approval is recorded and has no effect: %s", job.ID, job.Desired.Key, report.Clean(why))
				}
				return nil
			})
		},
	}
	cmd.Flags().StringVarP(&comment, "comment", "m", "", "a word to those who read it later")
	if a.digest {
		cmd.Flags().StringVar(&digest, "plan", "", "digest of the plan that was seen; another one is refused")
	}
	if a.verb == "approve" {
		cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask on a terminal after showing the plan")
	}
	return cmd
}

// answered says how a job is after an answer. An engine that was told to stop still
// runs for a while: that must not read as if nothing had happened.
func answered(j stackjob.Job) string {
	if j.CancelledBy != nil && j.State.IsRunning() {
		return j.State.Sentence() + "; its engine was told to stop, which may take its grace time"
	}
	if j.State.IsWaiting() && !j.Reason.IsZero() { // the approval was not enough, or did not count
		return j.State.Sentence() + ": " + report.Clean(j.Reason.String())
	}
	return j.State.Sentence()
}

// anotherPlan says which plan the job has, when the answer named another.
func anotherPlan(err error, job stackjob.Job, a api.Answer) error {
	if !errors.Is(err, stackjob.ErrStaleApproval) {
		return err
	}
	now := ""
	if job.Plan != nil {
		now = job.Plan.Digest
	}
	var p *api.Problem
	if errors.As(err, &p) && p.CurrentDigest != "" {
		now = p.CurrentDigest
	}
	return fmt.Errorf("job %s of %s: the answer is for another plan, %s; its plan now is %s: `reeve explain %s` shows it",
		job.ID, job.Desired.Key, stackjob.ShortDigest(a.PlanDigest), stackjob.ShortDigest(now), job.Desired.Key)
}

// findJob asks for one job, and says where to look when it is not there.
func findJob(ctx context.Context, b api.Backend, id string) (stackjob.Job, error) {
	job, err := b.Job(ctx, stackjob.JobID(id))
	if errors.Is(err, store.ErrNotFound) {
		return job, fmt.Errorf("there is no job %q; `reeve get jobs --all` lists them", id)
	}
	return job, err
}

// showPlan prints the plan of a job and returns its digest; "" when the job waits
// for its start and has none.
func (c *cli) showPlan(job stackjob.Job) (string, error) {
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

// confirm asks a person on a terminal whether the plan above is to be applied. A
// program, and a person who said so, is not asked.
func (c *cli) confirm(ctx context.Context, job stackjob.Job, yes bool) error {
	if !c.asks(yes) {
		return nil
	}
	question := "Apply this plan"
	if job.State == stackjob.WaitingStart {
		question = "Start the job"
	}
	return c.askYes(ctx, question+" to "+job.Desired.Key.String(), "not approved")
}

// asks tells whether there is a person at a terminal to be asked.
func (c *cli) asks(yes bool) bool {
	in, ok := c.in.(*os.File)
	return !yes && c.output == "text" && ok && term.IsTerminal(int(in.Fd())) && c.isTerminal()
}

// askYes asks a person for a yes; anything else ends the command with no.
func (c *cli) askYes(ctx context.Context, question, no string) error {
	_, _ = fmt.Fprintf(c.err, "\n%s? [y/N] ", question)
	answers := make(chan string, 1)
	go func() { // ends with the program: a read from a terminal cannot be called back
		line, _ := bufio.NewReader(c.in).ReadString('\n')
		answers <- strings.ToLower(strings.TrimSpace(line))
	}()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case a := <-answers:
		if a == "y" || a == "yes" {
			return nil
		}
	}
	return &exit{code: exitFindings, err: errors.New(no)}
}

// waits fits jobs that wait for a person.
func waits(s stackjob.State) (string, bool) {
	switch {
	case s.IsWaiting():
		return "", true
	case s.IsFinal():
		return "nothing of it waits for an answer", false
	case s.IsRunning():
		return "it does not wait for an answer; `reeve cancel` stops it", false
	}
	return "it does not wait for an answer", false
}

func newApprove(c *cli) *cobra.Command {
	return c.newAnswer(answer{verb: "approve", digest: true, fits: waits,
		short: "Approve the plan of a job, or its start",
		long: `approve lets a job that waits for a person go on. Without --plan the plan is shown, and the
approval is for exactly the plan that was shown: should another one have taken its place, the
approval is refused. One that does not count by the policy, as of who is not named there or
proposed the change, is recorded and ends with exit code 3 and the reason; one that counts where
more are needed ends with 0.`,
		say: func(ctx context.Context, b api.Backend, a api.Answer) (stackjob.Job, error) { return b.Approve(ctx, a) }})
}

func newReject(c *cli) *cobra.Command {
	return c.newAnswer(answer{verb: "reject", digest: true, fits: waits,
		short: "Reject a job: nothing of it is applied",
		say:   func(ctx context.Context, b api.Backend, a api.Answer) (stackjob.Job, error) { return b.Reject(ctx, a) }})
}

func newCancel(c *cli) *cobra.Command {
	return c.newAnswer(answer{verb: "cancel",
		short: "Cancel a job; a running engine is interrupted and may take its grace time",
		fits: func(s stackjob.State) (string, bool) {
			return "there is nothing left to cancel", !s.IsFinal()
		},
		say: func(ctx context.Context, b api.Backend, a api.Answer) (stackjob.Job, error) { return b.Cancel(ctx, a) }})
}

func newRerun(c *cli) *cobra.Command {
	return c.newAnswer(answer{verb: "rerun",
		short: "Make a new job for the stack of a job, from what the repository now says",
		fits: func(s stackjob.State) (string, bool) {
			return "it has not ended yet; cancel or reject it first", s.IsFinal()
		},
		say: func(ctx context.Context, b api.Backend, a api.Answer) (stackjob.Job, error) { return b.Rerun(ctx, a) }})
}

// jobLog is a log for programs.
type jobLog struct {
	Job stackjob.JobID `json:"job"`
	// State is the job's when it was read; while it is running the log may grow.
	State stackjob.State `json:"state"`
	// From is the byte that the log was read from.
	From int64  `json:"from"`
	Log  string `json:"log"`
}

func newLogs(c *cli) *cobra.Command {
	var follow bool
	var from int64
	cmd := &cobra.Command{
		Use:   "logs JOB",
		Short: "Print what the engine said in a job",
		Example: "  reeve logs sj_01jd7v8k3nqz4w5x6y7c8d9e0f\n" +
			"  reeve logs sj_01jd7v8k3nqz4w5x6y7c8d9e0f -f   # until the job has ended or waits for a person",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: c.completeJobs(func(stackjob.State) bool { return true }),
		RunE: func(cmd *cobra.Command, args []string) error {
			if follow && c.output != "text" {
				return usage("a log that is followed is text: leave out --output, or --follow")
			}
			return c.withBackend(cmd.Context(), func(ctx context.Context, b api.Backend, _ api.Filter) error {
				job, err := findJob(ctx, b, args[0])
				if err != nil {
					return err
				}
				mode := api.FollowNo
				if follow {
					mode = api.FollowYes
				}
				r, err := b.Log(ctx, job.ID, from, mode)
				if err != nil {
					return err
				}
				defer func() { _ = r.Close() }()
				if c.output != "text" {
					text, err := io.ReadAll(r)
					if err != nil {
						return err
					}
					return c.print(jobLog{Job: job.ID, State: job.State, From: from, Log: string(text)}, nil)
				}
				n, err := io.Copy(c.out, r)
				if errors.Is(err, context.Canceled) && ctx.Err() != nil {
					return nil // a person has seen enough
				}
				if err != nil {
					return err
				}
				return c.sayEnd(ctx, b, job.ID, n > 0 || from > 0)
			})
		},
	}
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on as the log grows")
	cmd.Flags().Int64Var(&from, "from", 0, "start at this byte")
	return cmd
}

// sayEnd says after a log how the job ended, unless it succeeded, and without one why there
// is none. The log itself goes no further than the engine's last word.
func (c *cli) sayEnd(ctx context.Context, b api.Backend, id stackjob.JobID, hasLog bool) error {
	job, err := b.Job(ctx, id)
	if err != nil {
		return err
	}
	why := ""
	if !job.Reason.IsZero() {
		why = " (" + report.Clean(job.Reason.String()) + ")"
	}
	switch {
	case !hasLog:
		_, err = fmt.Fprintf(c.err, "job %s has no log: no engine has run for it; it %s%s\n", job.ID, job.State.Sentence(), why)
	case job.State.IsFinal() && job.State != stackjob.Succeeded:
		_, err = fmt.Fprintf(c.err, "job %s %s%s\n", job.ID, job.State.Sentence(), why)
	}
	return err
}
