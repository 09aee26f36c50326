// Package meter counts and times the polls of repositories, of every kind alike.
//
//	m := meter.New(registerer)
//	polls := m.Polls("infra", meter.Mirror)
//	rev, changed, err := polls.Time(look)
//
// The labels are the repository's name in the configuration and words of closed sets:
// the kind of source, the result, and the class of an error.
package meter

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/stackreeve/stackreeve/gitsource"
)

// Kind is a kind of source, as its label says it.
type Kind string

// The kinds: a mirror of a remote, and a local folder.
const (
	Mirror Kind = "mirror"
	Folder Kind = "folder"
)

// The results of a poll, as their label says them.
const (
	unchanged = "unchanged"
	changed   = "changed"
	failed    = "failed"
)

// Meter holds the metrics of all repositories. A nil one counts nothing.
type Meter struct {
	seconds *prometheus.HistogramVec
	fetches *prometheus.CounterVec
	errors  *prometheus.CounterVec
}

// New registers the metrics.
func New(reg prometheus.Registerer) *Meter {
	m := &Meter{
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "reeve_gitsource_poll_seconds",
			Help:    "Time of one poll of a mirror's remote or of a folder, by what it found.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 16)}, []string{"repository", "source", "result"}),
		fetches: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "reeve_gitsource_fetches_total",
			Help: "Polls of a remote that fetched objects."}, []string{"repository"}),
		errors: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "reeve_gitsource_errors_total",
			Help: "Polls that failed, by what to do: wait, or ask a person."}, []string{"repository", "source", "class"}),
	}
	reg.MustRegister(m.seconds, m.fetches, m.errors)
	return m
}

// Polls counts the polls of one repository. A nil one counts nothing.
type Polls struct {
	seconds map[string]prometheus.Observer // by result
	errors  map[gitsource.ErrorClass]prometheus.Counter
	fetches prometheus.Counter // nil for a folder: there is nothing to fetch
}

// Polls makes the series of a repository, so that zero is visible before its first
// poll. A repository that is followed anew goes on with the series it had.
func (m *Meter) Polls(repository string, kind Kind) *Polls {
	if m == nil {
		return nil
	}
	p := &Polls{seconds: map[string]prometheus.Observer{}, errors: map[gitsource.ErrorClass]prometheus.Counter{}}
	for _, result := range []string{unchanged, changed, failed} {
		p.seconds[result] = m.seconds.WithLabelValues(repository, string(kind), result)
	}
	for _, class := range []gitsource.ErrorClass{gitsource.ClassWait, gitsource.ClassPerson} {
		p.errors[class] = m.errors.WithLabelValues(repository, string(kind), string(class))
	}
	if kind == Mirror {
		p.fetches = m.fetches.WithLabelValues(repository)
	}
	return p
}

// Time does one poll, and returns what it returned.
func (p *Polls) Time(look func() (gitsource.Revision, bool, error)) (gitsource.Revision, bool, error) {
	start := time.Now()
	rev, isNew, err := look()
	if p == nil {
		return rev, isNew, err
	}
	result := unchanged
	switch {
	case err != nil:
		result = failed
		class := gitsource.ClassPerson
		var fe *gitsource.FetchError
		if errors.As(err, &fe) {
			class = fe.Class
		}
		p.errors[class].Inc()
	case isNew:
		result = changed
	}
	p.seconds[result].Observe(time.Since(start).Seconds())
	return rev, isNew, err
}

// Fetched counts a poll that fetched objects.
func (p *Polls) Fetched() {
	if p != nil && p.fetches != nil {
		p.fetches.Inc()
	}
}
