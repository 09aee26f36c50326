package pullrequest

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/stackreeve/stackreeve/gitsource/forge"
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
			Help: "What was written to forges: comments, edits, reactions, statuses."}, []string{"what"}),
		rounds: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "reeve_pull_round_seconds",
			Help: "Time from the start of a round of plans to its last plan, by result.", Buckets: prometheus.ExponentialBuckets(0.1, 2, 14)}, []string{"result"}),
		firstSign: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "reeve_pull_first_sign_seconds",
			Help: "Time from the first look at a new head to the first sign of it in the pull request.", Buckets: prometheus.ExponentialBuckets(0.05, 2, 12)}),
	}
	if r != nil {
		r.MustRegister(m.deliveries, m.looks, m.commands, m.writes, m.rounds, m.firstSign)
	}
	return m
}

func (m *metrics) delivery(t forge.Topic, fresh bool) {
	is := "no"
	if fresh {
		is = "yes"
	}
	m.deliveries.WithLabelValues(string(t), is).Inc()
}

func (m *metrics) looked(err error) {
	result := "succeeded"
	if err != nil {
		result = "failed"
	}
	m.looks.WithLabelValues(result).Inc()
}
