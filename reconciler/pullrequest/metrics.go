package pullrequest

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/stackreeve/stackreeve/gitsource/forge"
	"github.com/stackreeve/stackreeve/reconciler/command"
	"github.com/stackreeve/stackreeve/reconciler/pull"
	"github.com/stackreeve/stackreeve/reconciler/report/comment"
)

// metrics have closed labels only: never a pull request, a login or a commit.
type metrics struct {
	deliveries *prometheus.CounterVec
	looks      *prometheus.CounterVec
	commands   *prometheus.CounterVec
	writes     *prometheus.CounterVec
	rounds     *prometheus.HistogramVec
	firstSign  prometheus.Histogram
}

func newMetrics(r prometheus.Registerer) *metrics {
	m := &metrics{
		deliveries: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "reeve_pull_deliveries_total",
			Help: "Verified webhook deliveries, by topic and whether they were new."}, []string{"topic", "fresh"}),
		looks: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "reeve_pull_looks_total",
			Help: "Looks at pull requests, by result."}, []string{"result"}),
		commands: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "reeve_pull_commands_total",
			Help: "Commands in comments that ended, by verb and answer."}, []string{"verb", "answer"}),
		writes: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "reeve_pull_writes_total",
			Help: "What was written to forges: comments, edits, reactions, statuses, texts too long for a comment."}, []string{"what"}),
		rounds: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "reeve_pull_round_seconds",
			Help: "Time from the start of a round of plans until the comment shows all of them, by result.", Buckets: prometheus.ExponentialBuckets(0.1, 2, 14)}, []string{"result"}),
		firstSign: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "reeve_pull_first_sign_seconds",
			Help: "Time from the start of a round of plans to the first word of it in the pull request.", Buckets: prometheus.ExponentialBuckets(0.05, 2, 12)}),
	}
	if r != nil {
		r.MustRegister(m.deliveries, m.looks, m.commands, m.writes, m.rounds, m.firstSign)
	}
	m.begin()
	return m
}

// begin makes every series there can be, so that their number stays the same.
func (m *metrics) begin() {
	for _, t := range []forge.Topic{forge.TopicPullRequest, forge.TopicComment, forge.TopicReview, forge.TopicPush} {
		m.deliveries.WithLabelValues(string(t), "yes")
		m.deliveries.WithLabelValues(string(t), "no")
	}
	for _, result := range []string{"succeeded", "failed"} {
		m.looks.WithLabelValues(result)
	}
	for _, v := range append(command.Verbs(), "") { // "" is what was no command
		for _, a := range []pull.Answer{pull.Yes, pull.No, pull.Confused} {
			m.commands.WithLabelValues(string(v), string(a))
		}
	}
	for _, result := range []string{"succeeded", "failed", "refused"} {
		m.rounds.WithLabelValues(result)
	}
	for _, what := range []string{"comment", "edit", "reaction", "status", "long-text"} {
		m.writes.WithLabelValues(what)
	}
}

func (m *metrics) delivery(t forge.Topic, fresh bool) {
	is := "no"
	if fresh {
		is = "yes"
	}
	m.deliveries.WithLabelValues(string(t), is).Inc()
}

// told notes that the living comment was written: whether it told of the round before,
// how that stood then, and how long ago the round began.
func (m *metrics) told(view comment.Pull, known bool, was comment.State, after time.Duration) {
	if !known {
		m.firstSign.Observe(after.Seconds())
	}
	if !settled(view) || known && was != comment.Planning {
		return
	}
	result := "succeeded"
	switch view.State {
	case comment.Refused:
		result = "refused"
	case comment.Failed:
		result = "failed"
	}
	m.rounds.WithLabelValues(result).Observe(after.Seconds())
}

func (m *metrics) looked(err error) {
	result := "succeeded"
	if err != nil {
		result = "failed"
	}
	m.looks.WithLabelValues(result).Inc()
}
