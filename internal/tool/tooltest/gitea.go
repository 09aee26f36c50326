package tooltest

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stackreeve/stackreeve/internal/tool"
)

// giteaStartTime is how long a server may take to answer on a busy machine.
const giteaStartTime = 10 * time.Minute

// giteaAdmin is the account that makes the others.
const giteaAdmin = "root-admin"

// GiteaServer is a running Gitea on loopback.
type GiteaServer struct {
	url      string
	token    string    // of giteaAdmin
	lifeline io.Closer // the server ends when it is closed, or with us

	mu        sync.Mutex // guards passwords
	passwords map[string]string
}

// One server for all tests of a process: it takes half a second to start and 200 MB.
// Tests keep out of each other's way by having repositories of their own.
var gitea = sync.OnceValues(startGitea)

// Gitea returns a real Gitea server, which all tests of this process share. It is
// built and started by the first that asks, and ends with the process however that
// ends.
func Gitea(t testing.TB) *GiteaServer {
	t.Helper()
	s, err := gitea()
	if err != nil {
		t.Fatalf("get a Gitea server: %v", err)
	}
	return s
}

// URL is the address of the server: "http://127.0.0.1:43219".
func (s *GiteaServer) URL() string { return s.url }

// AdminToken is a token that may do everything.
func (s *GiteaServer) AdminToken() string { return s.token }

// Account makes sure that there is an account of that name and returns its password.
func (s *GiteaServer) Account(t testing.TB, login string) (password string) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if known, ok := s.passwords[login]; ok {
		return known
	}
	password = "pw-" + rand.Text()
	err := s.post(t.Context(), "/admin/users", map[string]any{
		"username": login, "email": login + "@example.com", "password": password, "must_change_password": false,
	})
	if err != nil {
		t.Fatalf("make the account %s: %v", login, err)
	}
	s.passwords[login] = password
	return password
}

func (s *GiteaServer) post(ctx context.Context, path string, body any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url+"/api/v1"+path, bytes.NewReader(text))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "token "+s.token)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 300 {
		said, _ := io.ReadAll(io.LimitReader(resp.Body, 1000)) //nolint:errcheck // the status is the error
		return fmt.Errorf("%s: %s", resp.Status, said)
	}
	return nil
}

func startGitea() (_ *GiteaServer, err error) {
	program, static, err := tool.Gitea(context.Background())
	if err != nil {
		return nil, err
	}
	folder, err := os.MkdirTemp("", "reeve-gitea-")
	if err != nil {
		return nil, err
	}
	me, err := user.Current()
	if err != nil {
		return nil, err
	}
	var failed error
	for range 5 { // somebody may be quicker to take the port that was free
		g := giteaProcess{program: program, folder: folder, static: static, user: me.Username}
		if g.port, failed = FreePort(); failed != nil {
			break
		}
		s, err := g.start()
		if err == nil {
			return s, nil
		}
		failed = err
	}
	return nil, errors.Join(failed, os.RemoveAll(folder))
}

// giteaProcess is what is needed to run gitea.
type giteaProcess struct {
	program, folder, static, user string
	port                          int
}

func (g giteaProcess) path(name string) string { return filepath.Join(g.folder, name) }

// config is the smallest in which everything that we use works. Passwords and tokens
// are hashed as cheaply as can be: they guard nothing. Pages are short, so that a
// dozen entries fill more than one. The loopback of webhooks and the queues in memory
// are what a test needs; the rest keeps it quiet and off the network.
func (g giteaProcess) config() string {
	return fmt.Sprintf(`APP_NAME = Gitea for tests
RUN_USER = %s
RUN_MODE = prod
WORK_PATH = %s

[server]
HTTP_ADDR = 127.0.0.1
HTTP_PORT = %d
ROOT_URL = http://127.0.0.1:%[3]d/
PUBLIC_URL_DETECTION = never
STATIC_ROOT_PATH = %s
DISABLE_SSH = true
OFFLINE_MODE = true
LFS_START_SERVER = false

[database]
DB_TYPE = sqlite3
PATH = %[2]s/gitea.db
SQLITE_TIMEOUT = 60000
SQLITE_JOURNAL_MODE = WAL

[security]
INSTALL_LOCK = true
PASSWORD_HASH_ALGO = pbkdf2$1$50
SECRET_KEY = %[5]s
INTERNAL_TOKEN = %[6]s

[service]
DISABLE_REGISTRATION = true
ENABLE_NOTIFY_MAIL = false

[api]
MAX_RESPONSE_ITEMS = 10

[webhook]
ALLOWED_HOST_LIST = loopback
DELIVER_TIMEOUT = 120

[queue]
TYPE = channel

[indexer]
ISSUE_INDEXER_TYPE = db

[migrations]
ALLOW_LOCALNETWORKS = true

[repository]
DEFAULT_BRANCH = main

[actions]
ENABLED = false

[cron]
ENABLED = false

[session]
PROVIDER = memory

[log]
MODE = console
LEVEL = Warn
`, g.user, g.folder, g.port, g.static, rand.Text(), rand.Text()+rand.Text())
}

// supervise runs the rest of its arguments until its standard input ends: the
// process that holds the other end may then have ended in any way, killed or with a
// panic. The server's folder goes with it. A file tells that the server ended first.
const supervise = `folder=$1; shift
{ "$@" </dev/null >"$folder/log" 2>&1; : >"$folder/ended"; } &
read -r _
while read -r child; do kill -9 "$child"; done <"$folder/pid"
wait
rm -rf "$folder"`

// start starts the server and makes its administrator.
func (g giteaProcess) start() (*GiteaServer, error) {
	for _, stale := range []string{"ended", "pid", "gitea.db"} {
		if err := os.RemoveAll(g.path(stale)); err != nil {
			return nil, err
		}
	}
	if err := os.WriteFile(g.path("app.ini"), []byte(g.config()), 0o600); err != nil {
		return nil, err
	}
	// The pid is written by the shell that becomes gitea.
	args := append([]string{"-c", supervise, "gitea", g.folder, "/bin/sh", "-c", `echo $$ >"$0"; exec "$@"`, g.path("pid")}, g.args("web")...)
	cmd := exec.Command("/bin/sh", args...)
	cmd.Env, cmd.Dir = g.env(), g.folder
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // ^C is for us, and we tell it
	lifeline, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	s := &GiteaServer{url: fmt.Sprintf("http://127.0.0.1:%d", g.port), lifeline: lifeline, passwords: map[string]string{}}
	err = g.awaitAnswer(s.url)
	if err == nil {
		s.token, err = g.makeAdmin()
	}
	if err != nil {
		log, _ := os.ReadFile(g.path("log")) //nolint:errcheck // it only explains
		err = fmt.Errorf("%w\n%s", err, bytes.TrimSpace(log))
		return nil, errors.Join(err, lifeline.Close(), cmd.Wait(), os.MkdirAll(g.folder, 0o700))
	}
	return s, nil
}

func (g giteaProcess) args(command ...string) []string {
	return append([]string{g.program, "--work-path", g.folder, "--config", g.path("app.ini")}, command...)
}

func (g giteaProcess) env() []string {
	return []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + g.folder, "USER=" + g.user, "TMPDIR=" + os.TempDir(),
		"GIT_CONFIG_NOSYSTEM=1", "GITEA_I_AM_BEING_UNSAFE_RUNNING_AS_ROOT=1",
	}
}

func (g giteaProcess) awaitAnswer(url string) error {
	ctx, cancel := context.WithTimeout(context.Background(), giteaStartTime)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if answers(ctx, url+"/api/v1/version") {
			return nil
		}
		if _, err := os.Stat(g.path("ended")); err == nil {
			return errors.New("it ended at once")
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("it does not answer within %s", giteaStartTime)
		case <-tick.C:
		}
	}
}

func answers(ctx context.Context, url string) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// makeAdmin makes the first account and returns a token of it.
func (g giteaProcess) makeAdmin() (token string, err error) {
	args := g.args("admin", "user", "create", "--admin", "--username", giteaAdmin, "--email", giteaAdmin+"@example.com",
		"--random-password", "--must-change-password=false", "--access-token", "--access-token-name", "tests", "--access-token-scopes", "all")
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env, cmd.Dir = g.env(), g.folder
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("make the administrator: %w\n%s", err, out)
	}
	for line := range strings.Lines(string(out)) {
		if _, found, ok := strings.Cut(line, "token was successfully created... "); ok {
			return strings.TrimSpace(found), nil
		}
	}
	return "", fmt.Errorf("make the administrator: no token in the answer\n%s", out)
}
