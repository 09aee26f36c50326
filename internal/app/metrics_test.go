package app_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/stackreeve/stackreeve/internal/api"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
)

// series is one line of the metrics.
type series struct {
	name   string
	labels map[string]string
	value  float64
}

var (
	seriesLine = regexp.MustCompile(`^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$`)
	labelPair  = regexp.MustCompile(`([a-zA-Z_]+)="((?:[^"\\]|\\.)*)"`)
)

func (s *served) scrape() []series {
	s.w.t.Helper()
	res, err := http.Get(s.url + "/metrics")
	if err != nil {
		s.w.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		s.w.t.Fatalf("%s: %v\n%s", res.Status, err, b)
	}
	slips, err := promlint.New(bytes.NewReader(b)).Lint()
	if err != nil {
		s.w.t.Fatal(err)
	}
	for _, slip := range slips {
		s.w.t.Errorf("%s: %s", slip.Metric, slip.Text)
	}
	var out []series
	for line := range strings.Lines(string(b)) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		m := seriesLine.FindStringSubmatch(line)
		if m == nil {
			s.w.t.Fatalf("no line of metrics: %q", line)
		}
		x := series{name: m[1], labels: map[string]string{}}
		for _, l := range labelPair.FindAllStringSubmatch(m[2], -1) {
			x.labels[l[1]] = l[2]
		}
		if x.value, err = strconv.ParseFloat(m[3], 64); err != nil {
			s.w.t.Fatal(err)
		}
		out = append(out, x)
	}
	return out
}

// sum adds up the series of a name that have a label's value; "" is any.
func sum(all []series, name, label, value string) (n float64) {
	for _, x := range all {
		if x.name == name && (label == "" || x.labels[label] == value) {
			n += x.value
		}
	}
	return n
}

// labelValues are the values that a label may have; any other label's are words.
var labelValues = map[string]*regexp.Regexp{
	"repository": regexp.MustCompile(`^config$`),
	"source":     regexp.MustCompile(`^(mirror|folder)$`),
	"le":         regexp.MustCompile(`^(\+Inf|[0-9.e+-]+)$`),
	"quantile":   regexp.MustCompile(`^[0-9.]+$`),
	"version":    regexp.MustCompile(`^(go1.*|test)$`),
	"method":     regexp.MustCompile(`^(GET|HEAD|POST|other)$`),
	"status":     regexp.MustCompile(`^([1-5]xx|none)$`),
	"route":      regexp.MustCompile(`^(none|/[/a-z0-9.{}]*)$`),
}

var word = regexp.MustCompile(`^[a-z-]*$`)

// measure tells the story of n stacks and returns how many series of each name
// there are after it.
func measure(t *testing.T, n int) map[string]int {
	t.Helper()
	w := onOneEngine(t)
	w.write("modules/counter/main.tf", counter, "acme/policies/pause.yaml", pause)
	for i := range n {
		w.write(fmt.Sprintf("acme/dev/%d.yaml", i), w.stackDocument(fmt.Sprintf("s%d", i), "one"))
	}
	w.commit("some")
	s := w.serve(settings{})
	for i := range n {
		key := fmt.Sprintf("acme/dev/TerraformStack/s%d", i)
		j := s.await(key, stackjob.WaitingApply)
		if _, err := s.Approve(context.Background(), api.Answer{Job: j.ID, PlanDigest: j.Plan.Digest}); err != nil {
			t.Fatal(err)
		}
		s.await(key, stackjob.Succeeded)
	}
	// A job has ended a moment before its end is counted.
	s.until("all ends are counted", func() bool { return sum(s.scrape(), "reeve_jobs_total", "result", "succeeded") >= float64(n) })
	all := s.scrape()
	names := map[string]int{}
	for _, x := range all {
		names[x.name]++
		for l, v := range x.labels {
			known := word
			if r := labelValues[l]; r != nil {
				known = r
			}
			if !known.MatchString(v) {
				t.Errorf("%s{%s=%q}: the value is of no closed set", x.name, l, v)
			}
		}
	}
	for _, name := range []string{"reeve_jobs_total", "reeve_job_duration_seconds_count", "reeve_operation_duration_seconds_count",
		"reeve_job_queue_wait_seconds_count", "reeve_approval_wait_seconds_count", "reeve_load_duration_seconds_count",
		"reeve_compare_duration_seconds_count", "reeve_jobs_open", "reeve_stacks", "reeve_repository_reconciled_age_seconds",
		"reeve_gitsource_poll_seconds_count", "reeve_store_write_seconds_count", "reeve_store_errors_total", "go_goroutines", "process_open_fds"} {
		if names[name] == 0 {
			t.Errorf("there is no %s", name)
		}
	}
	for _, c := range []struct{ name, label, value string }{
		{"reeve_jobs_total", "result", "succeeded"}, {"reeve_approval_wait_seconds_count", "", ""},
		{"reeve_operation_duration_seconds_count", "operation", "apply"}, {"reeve_job_queue_wait_seconds_count", "", ""},
	} {
		if got := sum(all, c.name, c.label, c.value); got != float64(n) {
			t.Errorf("%s %s is %v, expected %d", c.name, c.value, got, n)
		}
	}
	// The config repository is a local folder: its polls count as a mirror's do.
	if got := sum(all, "reeve_gitsource_poll_seconds_count", "source", "folder"); got < 1 {
		t.Errorf("%v polls of the folder are counted, expected one or more", got)
	}
	return names
}

func TestMetricsAreOfClosedSets(t *testing.T) {
	t.Parallel()
	one, five := measure(t, 1), measure(t, 5)
	for name, n := range five {
		if n != one[name] {
			t.Errorf("%s has %d series with one stack and %d with five", name, one[name], n)
		}
	}
}
