package transport

import (
	"math"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// The results of a request, as their label says them.
const (
	ok        = "ok"
	unchanged = "unchanged" // 304
	refused   = "refused"   // 4xx
	limited   = "limited"
	failed    = "failed" // 5xx
	lost      = "lost"   // no answer, or half of one
	held      = "held"   // not sent, for a limit in force
)

var (
	results = []string{ok, unchanged, refused, limited, failed, lost, held}
	methods = []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, other}
)

// other stands for methods that no adapter uses.
const other = "other"

// Meter holds the metrics of all forges.
type Meter struct {
	requests *prometheus.CounterVec
	left     *prometheus.GaugeVec
	times    *prometheus.HistogramVec

	mu     sync.Mutex // guards forges
	forges map[string]*Forge
}

// NewMeter registers the metrics.
func NewMeter(reg prometheus.Registerer) *Meter {
	m := &Meter{forges: map[string]*Forge{},
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "reeve_forge_requests_total",
			Help: "Requests to a forge, each attempt by itself, by method and result."}, []string{"forge", "method", "result"}),
		left: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "reeve_forge_budget_remaining",
			Help: "Requests that the forge still allows in its current window, as it said last; NaN when it never did."}, []string{"forge"}),
		times: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "reeve_forge_request_seconds",
			Help:    "Time of one exchange with a forge, pauses not counted.",
			Buckets: prometheus.ExponentialBuckets(0.005, 2, 14)}, []string{"forge"}),
	}
	reg.MustRegister(m.requests, m.left, m.times)
	return m
}

// Budget is the gauge of what a forge still allows.
func (m *Meter) Budget(forge string) prometheus.Gauge { return m.left.WithLabelValues(forge) }

// Forge is the metrics of one forge. A nil one counts nothing.
type Forge struct {
	requests map[[2]string]prometheus.Counter // by method and result
	left     prometheus.Gauge
	times    prometheus.Observer
}

// Forge makes the series of a forge, so that zero is visible before its first request.
// The name is one of few: the forge's kind, or its name in the configuration. Who asks
// again gets the same; of several credentials the budget is that which was told of last.
func (m *Meter) Forge(name string) *Forge {
	if m == nil {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if f, ok := m.forges[name]; ok {
		return f
	}
	f := &Forge{requests: map[[2]string]prometheus.Counter{}, left: m.left.WithLabelValues(name), times: m.times.WithLabelValues(name)}
	f.left.Set(math.NaN())
	for _, method := range methods {
		for _, result := range results {
			f.requests[[2]string{method, result}] = m.requests.WithLabelValues(name, method, result)
		}
	}
	m.forges[name] = f
	return f
}

func (f *Forge) count(method, result string) {
	if f == nil {
		return
	}
	counter, known := f.requests[[2]string{method, result}]
	if !known {
		counter = f.requests[[2]string{other, result}]
	}
	counter.Inc()
}

func (f *Forge) budget(left int) {
	if f != nil {
		f.left.Set(float64(left))
	}
}

func (f *Forge) seconds(d time.Duration) {
	if f != nil {
		f.times.Observe(d.Seconds())
	}
}

func resultOf(status int) string {
	switch {
	case status == http.StatusNotModified:
		return unchanged
	case status >= 500:
		return failed
	case status >= 400:
		return refused
	}
	return ok
}
