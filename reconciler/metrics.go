package reconciler

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/reconciler/store"
)

// measureEvery is how often the gauges are counted anew.
const measureEvery = 15 * time.Second

// metrics are the reconciler's. Labels come from closed sets (states, reasons,
// operations) and from the configuration (repository names): their number does not
// grow with jobs, commits or resources.
type metrics struct {
	jobs             *prometheus.CounterVec
	jobSeconds       *prometheus.HistogramVec
	operationSeconds *prometheus.HistogramVec
	queueSeconds     prometheus.Histogram
	approvalSeconds  prometheus.Histogram
	loadSeconds      prometheus.Histogram
	compareSeconds   prometheus.Histogram
	open             *prometheus.GaugeVec
	stacks           *prometheus.GaugeVec
	commitAge        *prometheus.GaugeVec
}

func newMetrics(reg prometheus.Registerer) *metrics {
	long := []float64{0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 180, 600, 1800, 3600}
	m := &metrics{
		jobs: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "reeve_jobs_total",
			Help: "Stack Jobs that ended, by result and reason."}, []string{"result", "reason"}),
		jobSeconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "reeve_job_duration_seconds",
			Help: "Time from a Stack Job's first operation to its end, waiting for people included.", Buckets: long}, []string{"result"}),
		operationSeconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "reeve_operation_duration_seconds",
			Help: "Time of one operation of a Stack Job.", Buckets: long}, []string{"operation", "result"}),
		queueSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "reeve_job_queue_wait_seconds",
			Help: "Time from a Stack Job's creation to its first operation.", Buckets: long}),
		approvalSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "reeve_approval_wait_seconds",
			Help: "Time that a Stack Job waited for a person's answer.", Buckets: []float64{1, 10, 60, 300, 900, 3600, 14400, 86400, 259200}}),
		loadSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "reeve_load_duration_seconds",
			Help: "Time to load and validate a revision.", Buckets: []float64{.001, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}}),
		compareSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "reeve_compare_duration_seconds",
			Help: "Time to load a revision and compare it with what is recorded.", Buckets: []float64{.001, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}}),
		open: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "reeve_jobs_open",
			Help: "Stack Jobs that have not ended, by state."}, []string{"state"}),
		stacks: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "reeve_stacks",
			Help: "Stacks on record, by whether they are complete, drifted, failed or interrupted."}, []string{"condition"}),
		commitAge: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "reeve_repository_reconciled_age_seconds",
			Help: "Seconds since the newest revision of the repository was compared."}, []string{"repository"}),
	}
	for _, s := range stackjob.States() {
		if s.IsFinal() {
			m.jobSeconds.WithLabelValues(string(s))
			m.jobs.WithLabelValues(string(s), "")
			continue
		}
		m.open.WithLabelValues(string(s))
	}
	for _, c := range conditions {
		m.stacks.WithLabelValues(c)
	}
	if reg != nil {
		reg.MustRegister(m.jobs, m.jobSeconds, m.operationSeconds, m.queueSeconds, m.approvalSeconds,
			m.loadSeconds, m.compareSeconds, m.open, m.stacks, m.commitAge)
	}
	return m
}

// conditions of a stack, for the gauge.
var conditions = []string{"complete", "drifted", "failed", "interrupted"}

// moved counts what a move means.
func (m *metrics) moved(j stackjob.Job, mv stackjob.Move) {
	if mv.Event() == stackjob.EvStartPlan && j.Attempt == 1 {
		m.queueSeconds.Observe(mv.At().Sub(j.CreatedAt).Seconds())
	}
	if !j.State.IsFinal() || mv.Event() == stackjob.EvRecord {
		return
	}
	m.jobs.WithLabelValues(string(j.State), string(j.Reason.Code)).Inc()
	if !j.StartedAt.IsZero() {
		m.jobSeconds.WithLabelValues(string(j.State)).Observe(j.EndedAt.Sub(j.StartedAt).Seconds())
	}
}

// answered counts how long a person took.
func (m *metrics) answered(waitingSince, at time.Time) {
	if !waitingSince.IsZero() {
		m.approvalSeconds.Observe(at.Sub(waitingSince).Seconds())
	}
}

func (m *metrics) operationEnded(op stackjob.Operation) {
	if op.Result != stackjob.ResultNone && !op.EndedAt.IsZero() {
		m.operationSeconds.WithLabelValues(string(op.Kind), string(op.Result)).Observe(op.EndedAt.Sub(op.StartedAt).Seconds())
	}
}

// watched are records that tell whether anything was written through them: counting
// 10,000 stacks is dear, and a daemon that has nothing to do should do nothing.
type watched struct {
	Records
	// written is set after each write, so that a count that ran meanwhile is
	// followed by another.
	written *atomic.Bool
}

func (w watched) Move(ctx context.Context, id stackjob.JobID, m stackjob.Move) (stackjob.Job, error) {
	defer w.written.Store(true)
	return w.Records.Move(ctx, id, m)
}

func (w watched) Enqueue(ctx context.Context, e store.Enqueue) ([]stackjob.JobID, error) {
	if len(e.Jobs) > 0 || len(e.Supersede) > 0 {
		defer w.written.Store(true)
	}
	return w.Records.Enqueue(ctx, e)
}

// measure counts the gauges until ctx ends.
func (r *Reconciler) measure(ctx context.Context) error {
	t := time.NewTicker(measureEvery)
	defer t.Stop()
	for {
		if err := r.measureOnce(ctx); err != nil && ctx.Err() == nil {
			r.o.Log.Warn("counting for the metrics failed", "error", err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-t.C:
		}
	}
}

func (r *Reconciler) measureOnce(ctx context.Context) error {
	for _, s := range r.Repositories() {
		if s.View != nil {
			r.metrics.commitAge.WithLabelValues(s.Name).Set(r.o.Now().Sub(s.View.ComparedAt).Seconds())
		}
	}
	if !r.written.Swap(false) {
		return nil
	}
	if err := r.count(ctx); err != nil {
		r.written.Store(true)
		return err
	}
	return nil
}

// count counts open jobs and stacks.
func (r *Reconciler) count(ctx context.Context) error {
	open, err := r.openJobs(ctx)
	if err != nil {
		return err
	}
	byState := map[stackjob.State]int{}
	for _, j := range open {
		byState[j.State]++
	}
	for _, s := range stackjob.States() {
		if !s.IsFinal() {
			r.metrics.open.WithLabelValues(string(s)).Set(float64(byState[s]))
		}
	}
	stacks, err := r.o.Records.Stacks(ctx, "")
	if err != nil {
		return err
	}
	n := map[string]int{}
	for _, s := range stacks {
		switch {
		case s.Last != nil && s.Last.State == stackjob.Interrupted:
			n["interrupted"]++
		case s.Last != nil && s.Last.State == stackjob.Failed:
			n["failed"]++
		case s.Open != nil && s.Open.Plan != nil && s.Open.Plan.Drifted > 0, s.Observed != nil && s.Observed.Drifted > 0:
			n["drifted"]++
		case s.Observed != nil && s.Observed.Complete:
			n["complete"]++
		}
	}
	for _, c := range conditions {
		r.metrics.stacks.WithLabelValues(c).Set(float64(n[c]))
	}
	return nil
}
