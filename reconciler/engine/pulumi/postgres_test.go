package pulumi_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/stackreeve/stackreeve/internal/tool/pgtest"
	"github.com/stackreeve/stackreeve/reconciler/engine"
	"github.com/stackreeve/stackreeve/reconciler/engine/enginetest"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
)

// inPostgres puts a stack's state into a database. The password is in the environment, as
// the config repository refuses it in the URL, and on no list of what is masked.
func (b *bench) inPostgres(server *pgtest.Server) {
	b.Helper()
	u, err := url.Parse(server.URL("postgres"))
	if err != nil {
		b.Fatal(err)
	}
	u.User = url.User("postgres")
	b.Task.Pulumi.BackendURL, b.Task.StateFile = u.String(), ""
	b.Task.Env["PGPASSWORD"] = server.Password
}

// until waits for something in the database.
func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	tooLong := time.After(enginetest.Patience)
	for !is() {
		select {
		case <-tick.C:
		case <-tooLong:
			t.Fatalf("not in time: %s", what)
		}
	}
}

// kept are the states in the database, as texts.
func kept(server *pgtest.Server) string {
	return server.Query("select convert_from(decode(data->>'data', 'base64'), 'utf8') from pulumi_state order by key")
}

func TestStateInADatabase(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t)
	for name, passwordAt := range map[string]string{"password in the environment": "environment", "password in the URL": "url"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.inPostgres(server)
			b.Task.Pulumi.BackendURL += "&table=state_" + passwordAt
			if passwordAt == "url" {
				delete(b.Task.Env, "PGPASSWORD")
				b.Task.Pulumi.BackendURL = strings.Replace(b.Task.Pulumi.BackendURL, "postgres@", "postgres:"+server.Password+"@", 1)
			}
			b.program("config: {text: {type: string}, marked: {type: string, secret: true}}\nresources:\n  kept: {type: \"lab:Data\", properties: {value: \"${text}\"}}\n" +
				"  held: {type: \"lab:Data\", properties: {value: \"${marked}\"}}\noutputs: {text: \"${kept.output}\", marked: \"${held.output}\"}\n")
			b.Task.Pulumi.SecretConfig = []string{"marked"}
			const secret = "canary-in-a-database-6e2"
			b.Inputs(map[string]any{"text": "one", "marked": secret})
			processes := b.Counting()
			var ran []string
			did := func(what string, want ...string) {
				t.Helper()
				n := processes()
				ran = append(ran, n...)
				if diff := cmp.Diff(want, words(n)); diff != "" {
					t.Errorf("processes of %s (-want +got):\n%s", what, diff)
				}
			}
			plan := b.MustPlan()
			did("a first plan", "stack init", "stack export", "preview")
			if !strings.HasPrefix(plan.StatePlace, "postgres hmac:") || plan.Counts != (stackjob.Counts{Create: 2}) {
				t.Errorf("place %q, counts %+v", plan.StatePlace, plan.Counts)
			}
			results := []any{plan}
			r := b.Apply(t.Context(), plan)
			if r.Failure != nil {
				t.Fatal(r.Failure.Text)
			}
			did("an apply", "stack export", "up", "stack export")
			if o := r.Outcome.Outputs; len(o) != 2 || b.Opened(o[0]) != `"`+secret+`"` || string(o[1].Value) != `"one"` {
				t.Errorf("outputs = %+v", o)
			}
			results = append(results, r)
			if p := b.MustPlan(); p.HasChanges {
				t.Errorf("plan = %+v", p)
			}
			b.Inputs(map[string]any{"text": "two", "marked": secret})
			out := b.MustApply()
			if out.Counts != (stackjob.Counts{Update: 1}) {
				t.Errorf("counts = %+v", out.Counts)
			}
			results = append(results, out)

			// What was there before can be imported again, by who has the passphrase.
			backups, err := filepath.Glob(filepath.Join(b.Task.StateBackups, "*.export.json"))
			if err != nil || len(backups) != 1 {
				t.Fatalf("backups = %q, %v", backups, err)
			}
			restore := exec.Command(b.Task.Program.Path, "--non-interactive", "stack", "import", "--stack", "organization/demo/dev", "--file", backups[0])
			restore.Dir = b.Task.ModuleRoot
			for k, v := range b.Task.Env {
				restore.Env = append(restore.Env, k+"="+v)
			}
			restore.Env = append(restore.Env, "PULUMI_BACKEND_URL="+b.Task.Pulumi.BackendURL, "PULUMI_CONFIG_PASSPHRASE="+b.Task.Pulumi.Passphrase, "PULUMI_HOME="+b.Task.Pulumi.Home)
			if said, err := restore.CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, said)
			}
			processes()
			if plan = b.MustPlan(); plan.Counts != (stackjob.Counts{Update: 1, NoOp: 1}) || string(plan.Outputs[0].Before) != `"one"` {
				t.Errorf("plan of the restored state = %+v", plan)
			}
			// Another table is another place, and what was made is not made there again.
			url := b.Task.Pulumi.BackendURL
			b.Task.Pulumi.BackendURL += "_other"
			if r := b.Plan(t.Context()); r.Failure == nil || r.Failure.Class != engine.ClassPerson || !strings.Contains(r.Failure.Text, "in another place") {
				t.Errorf("a plan in another table: %+v", r.Failure)
			}
			b.Task.Pulumi.BackendURL = url
			b.Task.Action = stackjob.Destroy
			if out = b.MustApply(); out.Counts != (stackjob.Counts{Delete: 2}) {
				t.Errorf("counts of the destroy = %+v", out.Counts)
			}
			ran = append(ran, processes()...)

			log, events := b.Sink.Told()
			told, err := json.Marshal([]any{results, events, ran})
			if err != nil {
				t.Fatal(err)
			}
			where := files(t, filepath.Dir(b.Task.Workspace))
			where["results, events, command lines"], where["log"] = string(told), log
			where["the database"] = server.Query("select convert_from(decode(data->>'data', 'base64'), 'utf8') from state_" + passwordAt)
			for place, text := range where {
				if strings.Contains(text, server.Password) {
					t.Errorf("the database's password is in %s", place)
				}
				if strings.Contains(text, secret) {
					t.Errorf("a secret is in %s", place)
				}
			}
		})
	}
}

func TestLockInADatabaseIsMetAndReleased(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t)
	b, _, hangs, _ := hanging(t)
	b.inPostgres(server)
	b.killAndRelease(t, hangs)
	if left := server.Query("select key from pulumi_state where key like '%/locks/%'"); left != "" {
		t.Errorf("locks: %s", left)
	}
}

// TestManyStacksBeginInOneDatabase: the first to come makes the table of the states.
func TestManyStacksBeginInOneDatabase(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t)
	// Somebody has just made it and not told yet.
	other := exec.Command("psql", "-X", "-q", server.URL("postgres"))
	say, err := other.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := say.Close(); err != nil {
			t.Error(err)
		}
		if err := other.Wait(); err != nil {
			t.Error(err)
		}
	}()
	if _, err := io.WriteString(say, "begin; create table pulumi_state (key text primary key, data json not null, updated_at timestamp with time zone not null default now());\n"); err != nil {
		t.Fatal(err)
	}
	until(t, "the table is made", func() bool {
		return server.Query("select count(*) from pg_stat_activity where state = 'idle in transaction'") == "1"
	})
	var all sync.WaitGroup
	results := make([]engine.Result, 3)
	for i := range results {
		b := newBench(t)
		b.inPostgres(server)
		b.Task.Pulumi.Stack = fmt.Sprintf("dev%d", i)
		b.program(simple)
		b.Inputs(map[string]any{"text": "one"})
		all.Go(func() { results[i] = b.Plan(t.Context()) })
	}
	until(t, "all stacks wait for the table", func() bool {
		return server.Query("select count(*) from pg_stat_activity where wait_event_type = 'Lock'") == fmt.Sprint(len(results))
	})
	if _, err := io.WriteString(say, "commit;\n"); err != nil {
		t.Fatal(err)
	}
	all.Wait()
	for i, r := range results {
		if r.Failure != nil {
			t.Errorf("stack %d: %s\n%s", i, r.Failure.Reason, r.Failure.Text)
		}
	}
	if n := strings.Count(kept(server), `"checkpoint"`); n < len(results) {
		t.Errorf("%d states are kept", n)
	}
}

// TestAStackComesToADatabaseThatIsBeingSetUp: each of these is what PostgreSQL tells of
// two who make the same. None of them says that the stack is there.
func TestAStackComesToADatabaseThatIsBeingSetUp(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t)
	server.RefuseFirst(`relation "pulumi_state" already exists`, `duplicate key value violates unique constraint "pg_type_typname_nsp_index"`,
		`relation "pulumi_state_key_prefix_idx" already exists`, `type "pulumi_state" already exists`)
	b := newBench(t)
	b.inPostgres(server)
	b.program(simple)
	b.Inputs(map[string]any{"text": "one"})
	processes := b.Counting()
	b.MustPlan()
	if diff := cmp.Diff([]string{"stack init", "stack init", "stack init", "stack init", "stack init", "stack export", "preview"}, words(processes())); diff != "" {
		t.Errorf("processes (-want +got):\n%s", diff)
	}
	if log, _ := b.Sink.Told(); strings.Count(log, "it is tried again") != 4 {
		t.Errorf("the log does not say why:\n%s", log)
	}
}

// TestADatabaseThatIsNeverSetUp: it is told, not taken for a stack that is there.
func TestADatabaseThatIsNeverSetUp(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t)
	server.RefuseFirst(slices.Repeat([]string{`relation "pulumi_state" already exists`}, 9)...)
	b := newBench(t)
	b.inPostgres(server)
	b.program(simple)
	b.Inputs(map[string]any{"text": "one"})
	r := b.Plan(t.Context())
	if r.Failure == nil || !strings.Contains(r.Failure.Text, `relation "pulumi_state" already exists`) || server.Asked() != 5 {
		t.Errorf("%d tries, failure = %+v", server.Asked(), r.Failure)
	}
}

func TestADatabaseThatRefuses(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t)
	server.Query("create role poor login password 'canary-of-the-poor'")
	for name, c := range map[string]struct {
		change func(b *bench)
		class  engine.Class
		says   string
	}{
		"a wrong password":    {func(b *bench) { b.Task.Env["PGPASSWORD"] = "canary-wrong" }, engine.ClassPerson, "password authentication failed"},
		"no right to a table": {func(b *bench) { b.as("poor", "canary-of-the-poor") }, engine.ClassPerson, "permission denied"},
		"no such database": {func(b *bench) {
			b.Task.Pulumi.BackendURL = strings.Replace(b.Task.Pulumi.BackendURL, "/postgres?", "/none?", 1)
		}, engine.ClassPerson, "does not exist"},
		"nobody is there": {func(b *bench) { b.Task.Pulumi.BackendURL = "postgres://postgres@127.0.0.1:1/postgres?sslmode=disable" }, engine.ClassWait, "connection refused"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.inPostgres(server)
			c.change(b)
			b.program(simple)
			b.Inputs(map[string]any{"text": "one"})
			r := b.Plan(t.Context())
			if r.Failure == nil || r.Failure.Class != c.class || !strings.Contains(r.Failure.Text, c.says) {
				t.Fatalf("failure = %+v", r.Failure)
			}
			log, events := b.Sink.Told()
			if text := log + fmt.Sprint(events, r.Failure, r.Operations); strings.Contains(text, "canary") || strings.Contains(text, server.Password) {
				t.Errorf("a password is told:\n%s", text)
			}
		})
	}
}

// as logs in as another user.
func (b *bench) as(user, password string) {
	b.Task.Pulumi.BackendURL = strings.Replace(b.Task.Pulumi.BackendURL, "postgres@", user+"@", 1)
	b.Task.Env["PGPASSWORD"] = password
}
