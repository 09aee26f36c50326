// Package pgtest gives a test a PostgreSQL server of its own: a real one, started in
// a folder of the test and gone when the test ends.
//
//	server := pgtest.Start(t)
//	conn := server.URL("reeve") // postgres://reeve:PASSWORD@127.0.0.1:PORT/postgres?sslmode=disable
//
// PostgreSQL cannot be had by the Go toolchain: it is looked for on PATH and where
// distributions put it (/usr/lib/postgresql/VERSION/bin, Homebrew's and others'), and
// a test that needs it is skipped, with the reason, where it is not installed. Set
// REEVE_TEST_POSTGRES=required and it fails there instead.
package pgtest

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stackreeve/stackreeve/internal/tool/tooltest"
)

// Required is the environment variable that makes a missing PostgreSQL a failure.
const Required = "REEVE_TEST_POSTGRES"

// startTime is how long a server may take to answer on a busy machine.
const startTime = 10 * time.Minute

// Server is a PostgreSQL server that belongs to one test. It listens on loopback and
// asks every user for the password.
type Server struct {
	t testing.TB
	// Port is where it listens on 127.0.0.1.
	Port int
	// Password is every user's. It is random, so it can be looked for in whatever
	// must not hold it.
	Password string

	bin string // the folder of the programs
}

// places are where the programs are looked for when they are not on PATH; of
// several versions the last by name is taken.
var places = []string{
	"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/usr/local/pgsql/bin", "/opt/homebrew/opt/postgresql*/bin", "/usr/local/opt/postgresql*/bin",
}

// programs returns the folder that holds initdb, postgres and psql; "" when there is
// none.
func programs() string {
	var dirs []string
	for _, p := range slices.Backward(places) {
		found, err := filepath.Glob(p)
		if err == nil {
			dirs = append(found, dirs...)
		}
	}
	slices.Reverse(dirs)
	for _, dir := range append(filepath.SplitList(os.Getenv("PATH")), dirs...) {
		if filepath.IsAbs(dir) && allIn(dir, "initdb", "postgres", "psql") {
			return dir
		}
	}
	return ""
}

func allIn(dir string, names ...string) bool {
	for _, name := range names {
		st, err := os.Stat(filepath.Join(dir, name))
		if err != nil || !st.Mode().IsRegular() || st.Mode()&0o111 == 0 {
			return false
		}
	}
	return true
}

// Start starts a server with a superuser called postgres. It skips the test where
// PostgreSQL is not installed.
func Start(t testing.TB) *Server {
	t.Helper()
	bin := programs()
	if bin == "" {
		const why = "PostgreSQL is not installed: initdb, postgres and psql are neither on PATH nor in /usr/lib/postgresql/*/bin (Debian: apt-get install postgresql)"
		if os.Getenv(Required) == "required" {
			t.Fatal(why)
		}
		t.Skip(why)
	}
	s := &Server{t: t, bin: bin, Password: "pg-" + rand.Text()}
	// A folder of its own directly below the temporary one: the way to t.TempDir
	// is closed to the account that the server runs under.
	dir, err := os.MkdirTemp("", "pgtest-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("remove the database: %v", err)
		}
	})
	password := filepath.Join(dir, "password")
	if err := os.WriteFile(password, []byte(s.Password+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	as, err := account(dir, password)
	if err != nil {
		t.Fatal(err)
	}
	data := filepath.Join(dir, "data")
	s.run(as, dir, "initdb", "-D", data, "-U", "postgres", "--pwfile", password, "-A", "scram-sha-256", "--no-sync", "-E", "UTF8", "--locale=C")
	s.serve(as, dir, data)
	return s
}

// account is who the server runs as: PostgreSQL refuses to run as root. nil means
// this very user.
func account(files ...string) (*syscall.SysProcAttr, error) {
	const nobody = 65534
	if os.Geteuid() != 0 {
		return &syscall.SysProcAttr{}, nil
	}
	for _, f := range files {
		if err := os.Chown(f, nobody, nobody); err != nil {
			return nil, fmt.Errorf("give the database's folder to an account that is not root: %w", err)
		}
	}
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}, nil
}

func (s *Server) command(as *syscall.SysProcAttr, dir, name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(s.bin, name), args...)
	cmd.Dir, cmd.SysProcAttr = dir, as
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "LC_ALL=C"}
	return cmd
}

func (s *Server) run(as *syscall.SysProcAttr, dir, name string, args ...string) {
	s.t.Helper()
	if out, err := s.command(as, dir, name, args...).CombinedOutput(); err != nil {
		s.t.Fatalf("%s: %v\n%s", name, err, out)
	}
}

// serve starts the server on a port that was free a moment ago, and tries another
// when somebody was quicker.
func (s *Server) serve(as *syscall.SysProcAttr, dir, data string) {
	s.t.Helper()
	var out bytes.Buffer
	for range 5 {
		var err error
		if s.Port, err = tooltest.FreePort(); err != nil {
			s.t.Fatal(err)
		}
		out.Reset()
		cmd := s.command(as, dir, "postgres", "-D", data, "-p", strconv.Itoa(s.Port), "-k", dir, "-h", "127.0.0.1",
			"-c", "fsync=off", "-c", "max_connections=50", "-c", "log_statement=none")
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Start(); err != nil {
			s.t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		if err := s.awaitAnswer(ended); err == nil {
			s.t.Cleanup(func() {
				_ = cmd.Process.Signal(syscall.SIGINT) // fast: whoever is connected is sent away
				<-ended
			})
			return
		}
	}
	s.t.Fatalf("PostgreSQL does not start:\n%s", out.String())
}

// awaitAnswer waits until the server takes a query.
func (s *Server) awaitAnswer(ended <-chan error) error {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), startTime)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		_, err := s.query(ctx, "select 1")
		if err == nil {
			return nil
		}
		select {
		case <-ended:
			return errors.New("it ended")
		case <-ctx.Done():
			s.t.Fatalf("PostgreSQL does not answer: %v", err)
		case <-tick.C:
		}
	}
}

// URL is how a user connects to the database postgres. It holds the password.
func (s *Server) URL(user string) string {
	u := url.URL{Scheme: "postgres", User: url.UserPassword(user, s.Password), Host: net.JoinHostPort("127.0.0.1", strconv.Itoa(s.Port)),
		Path: "/postgres", RawQuery: "sslmode=disable"}
	return u.String()
}

// Query runs SQL as the superuser and returns what psql prints: a line for each row,
// its columns separated by "|".
func (s *Server) Query(sql string) string {
	s.t.Helper()
	out, err := s.query(s.t.Context(), sql)
	if err != nil {
		s.t.Fatal(err)
	}
	return out
}

// RefuseFirst has the server answer the first attempts to make a schema, a sequence, a
// table or an index with these errors, one after the other, also where "if not exists"
// has nothing to do: it is how those fare that set up a database in the same moment.
func (s *Server) RefuseFirst(said ...string) {
	s.t.Helper()
	var texts []string
	for _, t := range said {
		texts = append(texts, "'"+strings.ReplaceAll(t, "'", "''")+"'")
	}
	s.Query("create sequence public.refusals")
	s.Query(`create function public.refuse() returns event_trigger language plpgsql security definer as $$
		declare n bigint := nextval('public.refusals'); said text[] := array[` + strings.Join(texts, ", ") + `];
		begin
			if n <= cardinality(said) then raise exception '%', said[n]; end if;
		end $$`)
	s.Query(`create event trigger refuse on ddl_command_start when tag in ('CREATE SCHEMA', 'CREATE SEQUENCE', 'CREATE TABLE', 'CREATE INDEX')
		execute function public.refuse()`)
}

// Asked is how often somebody wanted to make something since RefuseFirst.
func (s *Server) Asked() int {
	s.t.Helper()
	n, err := strconv.Atoi(s.Query("select case when is_called then last_value else 0 end from public.refusals"))
	if err != nil {
		s.t.Fatal(err)
	}
	return n
}

func (s *Server) query(ctx context.Context, sql string) (string, error) {
	cmd := exec.CommandContext(ctx, filepath.Join(s.bin, "psql"), "-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-c", sql)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "PGHOST=127.0.0.1", "PGPORT=" + strconv.Itoa(s.Port),
		"PGUSER=postgres", "PGDATABASE=postgres", "PGPASSWORD=" + s.Password, "PGCONNECT_TIMEOUT=10"}
	out, err := cmd.CombinedOutput()
	text := strings.TrimSpace(string(out))
	if err != nil {
		return "", fmt.Errorf("psql: %w\n%s", err, text)
	}
	return text, nil
}
