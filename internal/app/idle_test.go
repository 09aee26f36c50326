package app_test

import (
	"bufio"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stackreeve/stackreeve/internal/tool/tooltest"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/reconciler/store/sqlite"
)

// off is a policy under which no engine runs by itself.
const off = `apiVersion: stackreeve.dev/v1
kind: FlowControlPolicy
metadata: {name: off}
spec:
  selector: {kind: organization, id: acme}
  flowControl: {disableOnLifecycleEvents: true}
`

const (
	manyStacks       = 10_000
	manyEnvironments = 20
	// idleInterval is the poll interval of the idle daemon: a poll is what it does while
	// nothing happens.
	idleInterval = 2 * time.Second
	// restPolls and idlePolls are how many polls it is watched for: until it rests, and
	// then to see what that costs.
	restPolls, idlePolls = 2, 10
)

// manyFiles are 10,000 stacks with a file each, in 20 environments, which share one
// module.
func manyFiles() []string {
	out := []string{"acme/policies/off.yaml", off, "modules/counter/main.tf", counter}
	for i := range manyStacks {
		env := i % manyEnvironments
		out = append(out, fmt.Sprintf("acme/env-%02d/stack-%05d.yaml", env, i), fmt.Sprintf(`apiVersion: stackreeve.dev/v1
kind: TerraformStack
metadata:
  name: stack-%05d
  labels: {team: team-%d, tier: backend}
spec:
  module: {path: /modules/counter}
  variables:
    file: /srv/stacks/stack-%05d
    text: the text of stack %d in environment %d
`, i, i%7, i, i, env))
	}
	return out
}

// BenchmarkDaemonIdle starts the built binary on a repository of 10,000 resources
// and reports what it holds and does while nothing happens: rss-MB after it has
// compared and rested, peak-MB until then, cpu-% of one CPU while idle, and how long
// it took until it was ready. Once with all 10,000 jobs waiting for a person, as on
// the first day, and once with all stacks applied, as on every other.
func BenchmarkDaemonIdle(b *testing.B) {
	exe := buildReeve(b)
	w := newWorld(b, tooltest.OpenTofu(b))
	w.write(manyFiles()...)
	w.commit("many")
	b.Run("waiting", func(b *testing.B) {
		for range b.N {
			if err := os.RemoveAll(filepath.Join(w.root, "data")); err != nil {
				b.Fatal(err)
			}
			w.idle(b, exe)
		}
	})
	w.settle()
	b.Run("applied", func(b *testing.B) {
		for range b.N {
			w.idle(b, exe)
		}
	})
}

func buildReeve(b *testing.B) string {
	b.Helper()
	exe := filepath.Join(b.TempDir(), "reeve")
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-o", exe, "../../cmd/reeve")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("build reeve: %v\n%s", err, out)
	}
	return exe
}

// idle runs the daemon until it has compared, and watches it rest.
func (w *world) idle(b *testing.B, exe string) {
	b.Helper()
	if _, err := os.Stat("/proc/self/status"); err != nil {
		b.Skip("the memory of a process is read from /proc")
	}
	w.yaml = fmt.Sprintf("socket: %q\n", filepath.Join(w.root, "reeve.sock"))
	file := filepath.Join(w.root, "reeve.yaml")
	text := strings.Replace(w.configText(), "pollInterval: 1h", "pollInterval: "+idleInterval.String(), 1)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(b.Context(), 2*patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, exe, "serve", "--config", file)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.Stdout = w.log
	out := &lockedBuffer{}
	cmd.Stderr = out
	began := time.Now()
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
	}()
	ready, address := false, ""
	for !ready {
		select {
		case <-ctx.Done():
			b.Fatalf("the daemon was not ready\n%s", out)
		case <-time.After(20 * time.Millisecond):
		}
		_, rest, found := strings.Cut(out.String(), "listens on http://")
		if !found {
			continue
		}
		address, _, _ = strings.Cut(rest, " ")
		if r, err := http.Get("http://" + address + "/readyz"); err == nil {
			ready = r.StatusCode == http.StatusOK
			_ = r.Body.Close()
		}
	}
	b.ReportMetric(time.Since(began).Seconds(), "ready-s")
	// share is the part of a CPU that it uses while it polls so many times.
	share := func(polls int) float64 {
		from, used := time.Now(), cpuOf(b, cmd.Process.Pid)
		awaitPolls(ctx, b, address, polls)
		return (cpuOf(b, cmd.Process.Pid) - used).Seconds() / time.Since(from).Seconds()
	}
	// It rests when it has hardly used the CPU from one poll to the next but one.
	for share(restPolls) > 0.02 {
		if ctx.Err() != nil {
			b.Fatalf("the daemon does not come to rest\n%s", out)
		}
	}
	b.ReportMetric(100*share(idlePolls), "cpu-%")
	b.ReportMetric(statusOf(b, cmd.Process.Pid, "VmRSS"), "rss-MB")
	b.ReportMetric(statusOf(b, cmd.Process.Pid, "VmHWM"), "peak-MB")
	b.ReportMetric(0, "ns/op")
}

// awaitPolls returns when the daemon has polled that many times more, by its own count.
func awaitPolls(ctx context.Context, b *testing.B, address string, more int) {
	b.Helper()
	tick := time.NewTicker(idleInterval / 2) // asking costs the daemon something too
	defer tick.Stop()
	for first := pollsOf(b, address); pollsOf(b, address) < first+more; {
		select {
		case <-ctx.Done():
			b.Fatal("the daemon has stopped polling")
		case <-tick.C:
		}
	}
}

// pollsOf reads from the daemon's metrics how many polls found nothing new.
func pollsOf(b *testing.B, address string) int {
	b.Helper()
	r, err := http.Get("http://" + address + "/metrics")
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = r.Body.Close() }()
	lines := bufio.NewScanner(r.Body)
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), "} ")
		if !strings.HasPrefix(name, "reeve_gitsource_poll_seconds_count{") || !strings.Contains(name, `result="unchanged"`) {
			continue
		}
		n, err := strconv.Atoi(value)
		if err != nil {
			b.Fatal(err)
		}
		return n
	}
	b.Fatalf("the metrics count no polls (%v)", lines.Err())
	return 0
}

// statusOf reads a line of /proc/PID/status, in MB.
func statusOf(tb testing.TB, pid int, field string) float64 {
	tb.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		tb.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), field+":")
	kB, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		tb.Fatal(err)
	}
	return float64(kB) / 1024
}

// cpuOf is the processor time that a process has used.
func cpuOf(tb testing.TB, pid int) time.Duration {
	tb.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		tb.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	fields := strings.Fields(rest)
	ticks := 0
	for _, f := range fields[11:13] { // utime, stime
		n, err := strconv.Atoi(f)
		if err != nil {
			tb.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * (time.Second / 100) // USER_HZ
}

// settle records all stacks as applied, as if their jobs had run.
func (w *world) settle() {
	w.t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(w.root, "data", sqlite.FileName))
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	tx, err := db.Begin()
	if err != nil {
		w.t.Fatal(err)
	}
	rows, err := tx.Query("SELECT document FROM jobs WHERE ended_at IS NULL")
	if err != nil {
		w.t.Fatal(err)
	}
	defer rows.Close()
	var jobs []stackjob.Job
	for rows.Next() {
		var document string
		var j stackjob.Job
		if err := rows.Scan(&document); err != nil {
			w.t.Fatal(err)
		}
		if err := json.Unmarshal([]byte(document), &j); err != nil {
			w.t.Fatal(err)
		}
		jobs = append(jobs, j)
	}
	if err := rows.Err(); err != nil || len(jobs) != manyStacks {
		w.t.Fatalf("%d jobs were waiting: %v", len(jobs), err)
	}
	now := time.Now().UTC()
	for _, j := range jobs {
		k := j.Desired.Key
		observed, err := json.Marshal(stackjob.Observed{Key: k, Desired: j.Desired, Complete: true, JobID: j.ID, References: j.References,
			Counts: stackjob.Counts{Create: 1}, AppliedAt: now,
			Outputs: []stackjob.Output{{Name: "text", Value: json.RawMessage(`"one"`), Hash: strings.Repeat("0", 64)}}})
		if err != nil {
			w.t.Fatal(err)
		}
		last, err := json.Marshal(stackjob.LastJob{ID: j.ID, State: stackjob.Succeeded, EndedAt: now, DesiredDigest: j.DesiredDigest})
		if err != nil {
			w.t.Fatal(err)
		}
		if _, err := tx.Exec("INSERT OR REPLACE INTO stacks (org, env, kind, name, observed, observed_job, last, last_job) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
			k.Org, k.Env, k.Kind, k.Name, string(observed), string(j.ID), string(last), string(j.ID)); err != nil {
			w.t.Fatal(err)
		}
	}
	for _, q := range []string{"DELETE FROM river_job", "DELETE FROM job_waits", "DELETE FROM job_events", "DELETE FROM jobs"} {
		if _, err := tx.Exec(q); err != nil {
			w.t.Fatal(err)
		}
	}
	if err := tx.Commit(); err != nil {
		w.t.Fatal(err)
	}
}
