package gitmirror

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/stackreeve/stackreeve/gitsource"
)

// Metrics count polls. A nil one counts nothing.
type Metrics struct {
	seconds *prometheus.HistogramVec
	fetches *prometheus.CounterVec
	errors  *prometheus.CounterVec
}

// NewMetrics registers the metrics, with series for the repositories named.
func NewMetrics(reg prometheus.Registerer, repositories ...string) *Metrics {
	m := &Metrics{
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "reeve_gitsource_poll_seconds",
			Help: "Time of one poll.", Buckets: prometheus.ExponentialBuckets(0.01, 2, 12)}, []string{"repository", "result"}),
		fetches: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "reeve_gitsource_fetches_total",
			Help: "Polls that fetched objects."}, []string{"repository"}),
		errors: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "reeve_gitsource_errors_total",
			Help: "Polls that failed, by what to do: wait, or ask a person."}, []string{"repository", "class"}),
	}
	reg.MustRegister(m.seconds, m.fetches, m.errors)
	for _, r := range repositories {
		for _, result := range []string{"unchanged", "changed", "failed"} {
			m.seconds.WithLabelValues(r, result)
		}
		m.fetches.WithLabelValues(r)
		for _, c := range []gitsource.ErrorClass{gitsource.ClassWait, gitsource.ClassPerson} {
			m.errors.WithLabelValues(r, string(c))
		}
	}
	return m
}

func (m *Metrics) polled(repository string, took time.Duration, changed bool, err error) {
	if m == nil {
		return
	}
	result := "unchanged"
	var fe *gitsource.FetchError
	switch {
	case errors.As(err, &fe):
		result = "failed"
		m.errors.WithLabelValues(repository, string(fe.Class)).Inc()
	case changed:
		result = "changed"
	}
	m.seconds.WithLabelValues(repository, result).Observe(took.Seconds())
}

func (m *Metrics) fetched(repository string) {
	if m != nil {
		m.fetches.WithLabelValues(repository).Inc()
	}
}
