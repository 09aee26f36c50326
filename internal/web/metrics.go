package web

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics count requests. Labels come from closed sets: the routes that are registered, four methods,
// five classes of status.
type metrics struct {
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	streams  prometheus.GaugeFunc
}

func newMetrics(reg prometheus.Registerer, open func() int) (*metrics, error) {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "reeve_http_requests_total",
			Help: "HTTP requests by route, method and class of status."}, []string{"route", "method", "status"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "reeve_http_request_duration_seconds",
			Help:    "Time to answer an HTTP request, without streams.",
			Buckets: []float64{.001, .005, .025, .1, .5, 1, 5, 30, 120}}, []string{"route"}),
		streams: prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "reeve_http_streams",
			Help: "Server-sent event streams that are open."}, func() float64 { return float64(open()) }),
	}
	for _, c := range []prometheus.Collector{m.requests, m.duration, m.streams} {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// begin creates the series of every route, so that zero is visible.
func (m *metrics) begin(patterns []string) {
	for _, p := range patterns {
		method, _, _ := strings.Cut(p, " ")
		m.requests.WithLabelValues(routeName(p), method, "2xx")
		m.duration.WithLabelValues(routeName(p))
	}
}

func (m *metrics) observe(route, method string, w *watched, took time.Duration) {
	m.requests.WithLabelValues(route, methodName(method), statusClass(w.status)).Inc()
	if !w.stream {
		m.duration.WithLabelValues(route).Observe(took.Seconds())
	}
}

// routeName is a mux pattern without its method; "none" for no route.
func routeName(pattern string) string {
	if _, path, ok := strings.Cut(pattern, " "); ok {
		pattern = path
	}
	if pattern == "" {
		return "none"
	}
	return pattern
}

func methodName(m string) string {
	switch m {
	case http.MethodGet, http.MethodPost, http.MethodHead:
		return m
	}
	return "other"
}

func statusClass(status int) string {
	if status < 100 || status > 599 {
		return "none"
	}
	return strconv.Itoa(status/100) + "xx"
}
