package sqlite

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// writeOp is a kind of write, as a metric's label.
type writeOp string

const (
	opEnqueue  writeOp = "enqueue"
	opMove     writeOp = "move"
	opRevision writeOp = "revision"
	opWake     writeOp = "wake"
	opPrune    writeOp = "prune"
	opPull     writeOp = "pull"
)

// metrics are those of the store. A nil registerer gives metrics nobody reads.
type metrics struct {
	writeSeconds *prometheus.HistogramVec
	errors       *prometheus.CounterVec
}

func newMetrics(r prometheus.Registerer) *metrics {
	m := &metrics{
		writeSeconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "reeve_store_write_seconds",
			Help:    "Time of write transactions, the wait for the writer included.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 2.5, 12),
		}, []string{"operation"}),
		errors: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "reeve_store_errors_total",
			Help: "Write transactions that failed, by reason. A refused one is a lost race, not a fault.",
		}, []string{"reason"}),
	}
	for _, op := range []writeOp{opEnqueue, opMove, opRevision, opWake, opPrune, opPull} {
		m.writeSeconds.WithLabelValues(string(op))
	}
	for _, reason := range errorReasons {
		m.errors.WithLabelValues(reason)
	}
	if r != nil {
		r.MustRegister(m.writeSeconds, m.errors)
	}
	return m
}

func (m *metrics) wrote(op writeOp, d time.Duration, err error) {
	m.writeSeconds.WithLabelValues(string(op)).Observe(d.Seconds())
	if err != nil {
		m.errors.WithLabelValues(errorReason(err)).Inc()
	}
}
