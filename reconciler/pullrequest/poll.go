package pullrequest

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/stackreeve/stackreeve/gitsource/forge"
	"github.com/stackreeve/stackreeve/reconciler/pace"
	"github.com/stackreeve/stackreeve/reconciler/pull"
	"github.com/stackreeve/stackreeve/reconciler/report/comment"
	"github.com/stackreeve/stackreeve/reconciler/store"
)

// poll lists the open pull requests of a repository again and again: the truth, of
// which deliveries are only the early news.
func (l *Loop) poll(ctx context.Context, f *followed) {
	failures := 0
	for {
		err := l.list(ctx, f)
		if ctx.Err() != nil {
			return
		}
		f.mu.Lock()
		was := f.err
		f.err = err
		f.mu.Unlock()
		switch {
		case err == nil && was != nil:
			l.log.Info("the forge answers again", "repository", f.Name)
		case err != nil && (was == nil || was.Error() != err.Error()):
			l.log.Warn("listing pull requests failed; what is known stays in force", "repository", f.Name, "error", err)
		}
		if failures++; err == nil {
			failures = 0
		}
		interval := f.PollInterval
		if failures > 0 {
			interval = min(interval, firstPause)
		}
		t := time.NewTimer(pace.Pause(interval, failures, retryAfter(err)))
		select {
		case <-ctx.Done():
			t.Stop()
			return
		case <-f.nudge:
			t.Stop()
		case <-t.C:
		}
	}
}

// firstPause is the longest pause after a first failure to list.
const firstPause = 5 * time.Second

// retryAfter is what a forge that refused asks to wait; 0 when it did not say.
func retryAfter(err error) time.Duration {
	var ce *forge.CallError
	if errors.As(err, &ce) {
		return ce.RetryAfter
	}
	return 0
}

// sighting is how a list showed an open pull request.
type sighting struct {
	at         time.Time
	head, base string
	// since is when it was first shown so, by our clock; looked tells that it was looked
	// at when the second of that was over. Forges tell no more than seconds, and what comes
	// later in the second that a list has seen moves no time.
	since  time.Time
	looked bool
}

// overASecond is longer than a second, by the little that a list may be late.
const overASecond = 2 * time.Second

// next is what a list makes of a sighting, and whether it must be looked at.
func (was sighting) next(pr forge.PullRequest, now time.Time) (is sighting, look bool) {
	if was.since.IsZero() || !was.at.Equal(pr.UpdatedAt) || was.head != pr.Head || was.base != pr.BaseBranch {
		return sighting{at: pr.UpdatedAt, head: pr.Head, base: pr.BaseBranch, since: now}, true
	}
	look = !was.looked
	was.looked = now.Sub(was.since) >= overASecond
	return was, look
}

// list asks for the open pull requests and has those looked at that moved, or that are
// not among them any more.
func (l *Loop) list(ctx context.Context, f *followed) error {
	prs, err := f.Forge.OpenPullRequests(ctx)
	if err != nil {
		return err
	}
	open := map[int]sighting{}
	f.mu.Lock()
	before := f.open
	f.mu.Unlock()
	for _, pr := range prs {
		is, look := before[pr.Number].next(pr, l.o.Now())
		open[pr.Number] = is
		if !look {
			continue // neither a commit nor a comment
		}
		l.schedule(pull.Key{Repository: f.Name, Number: pr.Number}, asking(&pr))
	}
	unfinished, err := l.o.Records.Pulls(ctx, store.PullQuery{Repository: f.Name, Unfinished: true, Limit: 10000})
	if err != nil {
		return err
	}
	now, asked := l.o.Now(), map[int]time.Time{}
	for _, p := range unfinished {
		// One that was closed or merged; or one whose comments may have moved without
		// its time, as where a forge does not count an edit.
		_, is := open[p.Key.Number]
		if is && !p.ByReview { // that a review was dismissed moves no time
			continue
		}
		last, was := f.asked[p.Key.Number]
		if !is && was && isAtRest(p) && now.Sub(last) < restFor(now.Sub(p.UpdatedAt)) {
			asked[p.Key.Number] = last
			continue
		}
		asked[p.Key.Number] = now
		l.schedule(p.Key, asking(nil))
	}
	f.mu.Lock()
	f.open, f.asked = open, asked
	f.mu.Unlock()
	return l.moved(ctx, f.Name)
}

// isAtRest tells of a merged pull request of which something failed that nobody has mended.
// It may stay so for ever, and nothing of it moves by itself: its jobs tell when they move,
// the followed branch when it does, and a webhook of comments.
func isAtRest(p pull.Pull) bool {
	at := slices.IndexFunc(p.Posts, func(post pull.Post) bool { return post.Name == planPost })
	return p.Phase == pull.Landing && p.Landed != "" && at >= 0 && p.Posts[at].State == string(comment.Failed) &&
		!slices.ContainsFunc(p.Commands, func(c pull.Command) bool { return c.State != pull.Ended })
}

// restsAtLast is how long it is at most until a forge is asked again for what was said in a
// pull request at rest, where no webhook tells.
const restsAtLast = time.Hour

// restFor is how long a pull request is left alone of which nothing was written down for a
// time: the longer, the rarer somebody comes back to it.
func restFor(still time.Duration) time.Duration { return min(still/8, restsAtLast) }
