package app_test

import (
	"context"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/stackreeve/stackreeve/gitsource/forge"
	"github.com/stackreeve/stackreeve/gitsource/forge/forgetest"
	"github.com/stackreeve/stackreeve/internal/api"
	"github.com/stackreeve/stackreeve/internal/tool/tooltest"
)

// mortal is a daemon in a process of its own that is started again whenever it dies.
type mortal struct {
	log *lockedBuffer

	mu      sync.Mutex // guards what follows
	process *exec.Cmd
	ended   chan struct{} // closed when process has ended
	deaths  int
	over    bool
	// held keeps the next process from being started until it is closed; nil for not.
	held chan struct{}
}

// mortals starts such a daemon. Its address stays the same.
func (w *pullWorld) mortals() *mortal {
	w.t.Helper()
	port, err := tooltest.FreePort()
	if err != nil {
		w.t.Fatal(err)
	}
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	w.served = &served{w: w.world, file: filepath.Join(w.root, "reeve.yaml"), url: "http://" + address}
	w.served.writeSettings(w.settings())
	text, err := os.ReadFile(w.served.file)
	if err != nil {
		w.t.Fatal(err)
	}
	w.served.writeFile(strings.Replace(string(text), "listen: 127.0.0.1:0", "listen: "+address, 1))
	w.served.Client = api.NewClient(api.Options{Socket: w.socket()})
	m := &mortal{log: &lockedBuffer{}}
	exe, err := os.Executable()
	if err != nil {
		w.t.Fatal(err)
	}
	if err := m.live(exe, w.served.file); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		w.served.Close()
		m.end()
		if w.t.Failed() {
			w.t.Logf("the daemons' log:\n%s", m.log)
		}
	})
	return m
}

// live starts a process, and the next one when it has ended.
func (m *mortal) live(exe, file string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.over {
		return nil
	}
	cmd := exec.Command(exe, "crash-daemon", file)
	cmd.Stdout, cmd.Stderr = m.log, m.log
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan struct{})
	m.process, m.ended = cmd, ended
	go func() {
		_, _ = cmd.Process.Wait() // not Wait of cmd: engines that live on hold the log
		m.mu.Lock()
		held := m.held
		m.mu.Unlock()
		close(ended)
		if held != nil {
			<-held
		}
		_ = m.live(exe, file)
	}()
	return nil
}

// kill kills the process and returns when it is dead.
func (m *mortal) kill() {
	m.mu.Lock()
	process, ended := m.process, m.ended
	m.deaths++
	m.mu.Unlock()
	_ = process.Process.Kill()
	<-ended
}

// stay kills the process for good; back starts it again.
func (m *mortal) stay() (back func()) {
	held := make(chan struct{})
	m.mu.Lock()
	m.held = held
	m.mu.Unlock()
	m.kill()
	return sync.OnceFunc(func() {
		m.mu.Lock()
		m.held = nil
		m.mu.Unlock()
		close(held)
	})
}

// end stops the process as an operator does, for good.
func (m *mortal) end() {
	m.mu.Lock()
	m.over = true
	process, ended := m.process, m.ended
	m.mu.Unlock()
	_ = process.Process.Signal(syscall.SIGTERM)
	<-ended
}

var digits = regexp.MustCompile(`[0-9]+`)

// TestADaemonThatIsKilledAtEveryCallToTheForge kills the daemon before and after it
// writes anything to the forge, and before what it reads: between the receipt of a
// delivery and the work, and in the middle of posting. What stands in the pull request
// is the same as without.
func TestADaemonThatIsKilledAtEveryCallToTheForge(t *testing.T) {
	t.Parallel()
	onForges(t, nil, func(t *testing.T, w *pullWorld) {
		w.polls = true // a delivery that comes while no daemon is there is lost
		daemon := w.mortals()
		w.ready()
		w.connect()
		var mu sync.Mutex
		seen := map[string]int{}
		w.front.meet(func(r *http.Request) fate {
			// A place in the story is a method and a path without its numbers.
			place := r.Method + " " + digits.ReplaceAllString(r.URL.Path, "N")
			writes := r.Method != http.MethodGet
			if strings.Contains(place, "/statuses/") {
				place = r.Method + " statuses"
			}
			mu.Lock()
			seen[place]++
			times := seen[place]
			mu.Unlock()
			switch {
			case times == 1 && (writes || isPull(r)):
				return fate{before: daemon.kill}
			case times == 2 && writes:
				return fate{lost: true, after: daemon.kill}
			}
			return fate{}
		})
		n, head := w.proposes("Add two", map[string]string{"acme/dev/a.yaml": w.document("a", "one"), "acme/dev/b.yaml": w.document("b", "one")})
		w.shows(n, "reeve approve dev", "+2 ~0")
		w.reacts(n, w.says(forgetest.Grace, n, "reeve explain dev\nreeve approve dev"), forge.ThumbsUp)
		w.sees(n, "/answer-", "because")
		w.site.Merge(t, forgetest.Ada, n)
		w.served.until("both are applied", func() bool { return w.lines("a") != "" && w.lines("b") != "" })
		w.status(head, "reeve/apply: dev", forge.Success)
		w.sees(n, "All 2 applied")
		w.shows(n, "✅ Applied")
		w.once(n)
		if a, b := w.lines("a"), w.lines("b"); a != "one" || b != "one" {
			t.Errorf("a was made %q and b %q, expected each once", a, b)
		}
		w.front.meet(nil)
		if daemon.deaths < 6 {
			t.Errorf("the daemon died %d times, expected more; it was asked for %v", daemon.deaths, seen)
		}
		t.Logf("%d deaths", daemon.deaths)
		w.answers(t)
	})
}

// answers checks that the daemon that is there now answers.
func (w *pullWorld) answers(t *testing.T) {
	t.Helper()
	w.served.until("the daemon answers", func() bool {
		_, err := w.served.Explain(context.Background(), w.key(devA))
		return err == nil
	})
}

var pullPath = regexp.MustCompile(`/(pulls|merge_requests)/[0-9]+$`)

// isPull tells a call that reads a pull request.
func isPull(r *http.Request) bool {
	return r.Method == http.MethodGet && pullPath.MatchString(r.URL.Path)
}
