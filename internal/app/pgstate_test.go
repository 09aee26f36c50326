package app_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stackreeve/stackreeve/internal/api"
	"github.com/stackreeve/stackreeve/internal/tool/pgtest"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
)

// onPostgreSQL has stacks a and c keep their states in the database; how to connect
// comes from the configuration, as a file. It starts the database.
func (w *world) onPostgreSQL(module string) *pgtest.Server {
	w.t.Helper()
	server := pgtest.Start(w.t)
	// What a stack's state needs of a database, and no more.
	server.Query("create role reeve login password '" + server.Password + "'; grant create on database postgres to reeve; grant usage, create on schema public to reeve")
	w.connectBy(server.URL("reeve"))
	onPG := func(name string) string {
		return strings.Replace(w.stackDocument(name, "one"), "spec:", "spec:\n  backend: {type: pg}", 1)
	}
	w.write("modules/counter/main.tf", module, "acme/policies/at-once.yaml", atOnce, "acme/dev/a.yaml", onPG("a"), "acme/dev/c.yaml", onPG("c"))
	w.commit("states in a database")
	return server
}

// connectBy gives jobs a connection string.
func (w *world) connectBy(conn string) {
	w.t.Helper()
	file := filepath.Join(w.root, "connection")
	if err := os.WriteFile(file, []byte(conn+"\n"), 0o600); err != nil {
		w.t.Fatal(err)
	}
	w.yaml = fmt.Sprintf("  environment:\n    PG_CONN_STR: {file: %q}\n", file)
}

// states lists the states in the database that hold a resource.
func states(s *pgtest.Server) int {
	s.Query(`create or replace function public.states() returns int language plpgsql as $$
		declare t record; n int; total int := 0;
		begin
			for t in select schemaname from pg_tables where tablename = 'states' loop
				execute format('select count(*) from %I.states where data like ''%%terraform_data%%''', t.schemaname) into n;
				total := total + n;
			end loop;
			return total;
		end $$`)
	var n int
	if _, err := fmt.Sscan(s.Query("select public.states()"), &n); err != nil {
		panic(err)
	}
	return n
}

// talkative is the counter that also says aloud which password it connects with.
var talkative = strings.Replace(counter, "  provisioner", `  provisioner "local-exec" { command = "echo the password is $(echo $PG_CONN_STR | cut -d: -f3 | cut -d@ -f1)." }
  provisioner`, 1)

func TestStatesInPostgreSQLAreAppliedAndDestroyed(t *testing.T) {
	t.Parallel()
	onEveryEngine(t, func(t *testing.T, w *world) {
		server := w.onPostgreSQL(talkative)
		w.start()
		a, c := w.await(devA, stackjob.Succeeded), w.await(devC, stackjob.Succeeded)
		if w.effects("a") != 1 || w.effects("c") != 1 {
			t.Errorf("side effects: %d and %d", w.effects("a"), w.effects("c"))
		}
		if n := states(server); n != 2 {
			t.Errorf("%d states with resources in the database, expected one for each stack", n)
		}
		if found, err := filepath.Glob(filepath.Join(w.root, "data", "stacks", "*", "*", "*", "*", "state", "*.tfstate")); err != nil || len(found) != 0 {
			t.Errorf("there are local states as well: %v %v", found, err)
		}
		if o := w.stack(devA).Observed; o == nil || len(o.Outputs) != 1 || string(o.Outputs[0].Value) != `"one"` {
			t.Errorf("recorded of a: %+v", o)
		}
		if locks := server.Query("select * from pg_locks where locktype = 'advisory'"); locks != "" {
			t.Errorf("locks are still held: %s", locks)
		}

		w.remove("acme/dev/a.yaml")
		w.commit("a is gone")
		w.until("a is destroyed", func() bool { j := w.newest(devA); return j.Action == stackjob.Destroy && j.State.IsFinal() })
		gone := w.job(w.newest(devA).ID)
		if gone.State != stackjob.Succeeded || gone.Plan.Counts.Delete != 1 {
			t.Errorf("a: %s (%s), %s", gone.State, gone.Reason, gone.Plan.Counts)
		}
		if n := states(server); n != 1 {
			t.Errorf("%d states with resources in the database, expected that of c", n)
		}
		if log := w.jobLog(a.ID); !strings.Contains(log, "the password is (sensitive).") && !strings.Contains(log, "the password is ***.") {
			t.Errorf("a's log:\n%s", log)
		}
		for _, j := range []stackjob.Job{a, c, gone} {
			if log := w.jobLog(j.ID); strings.Contains(log, server.Password) {
				t.Errorf("the password is in the log of %s:\n%s", j.ID, log)
			}
		}
		told := w.log.String()
		w.stop()
		if strings.Contains(told, server.Password) {
			t.Error("the password is in the daemon's log")
		}
		w.nothingTold(server.Password)
	})
}

// TestALockInPostgreSQLGoesWithTheRunThatHeldIt kills everything in the middle of an
// apply: the database releases the lock with the connection, so the next run works.
func TestALockInPostgreSQLGoesWithTheRunThatHeldIt(t *testing.T) {
	t.Parallel()
	onEveryEngine(t, func(t *testing.T, w *world) {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		server := w.onPostgreSQL(waiting)
		w.remove("acme/dev/c.yaml")
		w.commit("a alone")
		cfg, client, _ := w.killedInApply(ctx, "daemon", "engine", "runner")
		second := w.daemon(cfg)
		jobs := awaitQuiet(ctx, t, client)
		if jobs[len(jobs)-1].State != stackjob.Interrupted || len(jobs) != 2 || jobs[0].State != stackjob.WaitingApply || jobs[0].Hold == nil {
			t.Fatalf("jobs: %s", summary(jobs))
		}
		fresh, err := client.Job(ctx, jobs[0].ID)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := client.Approve(ctx, api.Answer{Job: fresh.ID, Actor: ada, PlanDigest: fresh.Plan.Digest}); err != nil {
			t.Fatal(err)
		}
		// While the engine is at work, nothing that `ps` shows tells how it connects.
		awaitJob(ctx, t, client, func(j stackjob.Job) bool {
			return j.State == stackjob.Applying && strings.Contains(logOf(t, client, j.ID), "Creating...")
		})
		if lines, err := filepath.Glob("/proc/[0-9]*/cmdline"); err == nil {
			for _, f := range lines {
				if b, err := os.ReadFile(f); err == nil && strings.Contains(string(b), server.Password) {
					t.Errorf("the password is on a command line: %q", b)
				}
			}
		}
		if server.Query("select count(*) > 0 from pg_locks where locktype = 'advisory'") != "t" {
			t.Error("the apply holds no lock")
		}
		w.mayEnd()
		awaitJob(ctx, t, client, func(j stackjob.Job) bool { return j.ID == fresh.ID && j.State == stackjob.Succeeded })
		if n := states(server); n != 1 {
			t.Errorf("%d states with resources in the database", n)
		}
		second.end()
		w.nothingTold(server.Password, second)
	})
}

// TestALockInPostgreSQLOfSomebodyElseIsTold has another session hold the lock.
func TestALockInPostgreSQLOfSomebodyElseIsTold(t *testing.T) {
	t.Parallel()
	onEveryEngine(t, func(t *testing.T, w *world) {
		server := w.onPostgreSQL(counter)
		w.start()
		w.await(devA, stackjob.Succeeded)
		w.await(devC, stackjob.Succeeded)
		table := server.Query("select quote_ident(schemaname) from pg_tables where tablename = 'states' and schemaname like 'reeve_acme_dev_a_%'")
		psql := exec.Command("psql", "-X", "-q", "-c", "select pg_advisory_lock(id) from "+table+".states", "-c", "select pg_sleep(600)", server.URL("postgres"))
		if err := psql.Start(); err != nil {
			t.Fatal(err)
		}
		w.until("the other session has the lock", func() bool { return server.Query("select count(*) from pg_locks where locktype = 'advisory'") == "1" })

		w.write("acme/dev/a.yaml", strings.Replace(w.stackDocument("a", "two"), "spec:", "spec:\n  backend: {type: pg}", 1))
		w.commit("another text")
		failed := w.await(devA, stackjob.Failed)
		if failed.Reason.Code != stackjob.ReasonStateLocked || failed.Attempt != 1 {
			t.Errorf("attempt %d: %s", failed.Attempt, failed.Reason)
		}
		if log := w.jobLog(failed.ID); !strings.Contains(log, "pg_locks") || !strings.Contains(log, "rerun the job") || strings.Contains(log, "force-unlock") {
			t.Errorf("a person is not told what to do:\n%s", log)
		}
		if server.Query("select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory'") != "t" {
			t.Error("what a person is told to do does not work")
		}
		_ = psql.Wait() // its session was ended
		rerun, err := w.app.Backend().Rerun(context.Background(), api.Answer{Job: failed.ID, Actor: ada})
		if err != nil {
			t.Fatal(err)
		}
		w.until("the rerun has applied", func() bool { return w.job(rerun.ID).State == stackjob.Succeeded })
	})
}

// TestAConnectionStringThatIsWrongIsNotQuoted has engines complain about it.
func TestAConnectionStringThatIsWrongIsNotQuoted(t *testing.T) {
	t.Parallel()
	const canary = "canary%21of-the-database"
	for name, conn := range map[string]string{
		"a port that is no number": "postgres://reeve:" + canary + "@127.0.0.1:port/postgres?sslmode=disable",
		"nobody there":             "postgres://reeve:" + canary + "@127.0.0.1:1/postgres?sslmode=disable",
		"words":                    "host=127.0.0.1 port=1 user=reeve password=" + canary + " sslmode=disable",
		"words that are no pairs":  "host=127.0.0.1 password=" + canary + " sslmode",
	} {
		t.Run(strings.ReplaceAll(name, " ", "-"), func(t *testing.T) {
			t.Parallel()
			onEveryEngine(t, func(t *testing.T, w *world) {
				w.connectBy(conn)
				w.write("modules/counter/main.tf", counter, "acme/policies/at-once.yaml", atOnce,
					"acme/dev/a.yaml", strings.Replace(w.stackDocument("a", "one"), "spec:", "spec:\n  backend: {type: pg}", 1))
				w.commit("a database that is not there")
				w.start()
				failed := w.await(devA, stackjob.Failed)
				told := w.jobLog(failed.ID) + fmt.Sprint(failed) + fmt.Sprint(w.stack(devA)) + w.log.String()
				w.stop()
				for _, secret := range []string{canary, "canary!of-the-database"} {
					if strings.Contains(told, secret) {
						t.Errorf("%q is told:\n%s", secret, told)
					}
					w.nothingTold(secret)
				}
			})
		})
	}
}

// onWholeDatabase has another session hold the lock that Terraform takes of a whole
// database. The function tells whose it is as a job's log says, and ends it so.
func onWholeDatabase(w *world, s *pgtest.Server) (end func()) {
	w.t.Helper()
	const holders = "select pid from pg_locks where locktype = 'advisory' and classid = 4294967295 and objid = 4294967295"
	psql := exec.Command("psql", "-X", "-q", "-c", "select pg_advisory_lock(-1)", "-c", "select pg_sleep(600)", s.URL("postgres"))
	if err := psql.Start(); err != nil {
		w.t.Fatal(err)
	}
	w.until("the other session has the lock", func() bool {
		return s.Query("select count(*) from pg_locks where locktype = 'advisory' and objid = 4294967295 and granted") == "1"
	})
	return func() {
		w.t.Helper()
		if got := s.Query("select pg_terminate_backend(pid) from pg_stat_activity where pid in (" + holders + ")"); got != "t" {
			w.t.Errorf("what a person is told to do does not work: %q", got)
		}
		_ = psql.Wait() // its session was ended
	}
}

// meeting is a module whose apply ends when n stacks are in the middle of one.
func meeting(n int) string {
	return fmt.Sprintf(`variable "file" { type = string }
variable "text" { type = string }
resource "terraform_data" "this" {
  input = var.text
  provisioner "local-exec" { command = "echo ${var.text} >> ${var.file}; until test $(ls ${dirname(var.file)}/s?? | wc -l) -ge %d; do sleep 0.1; done" }
}
`, n)
}

// TestStacksWithoutAStateAreAppliedTogetherInPostgreSQL: none ends before all have
// begun, so not one may keep another from beginning.
func TestStacksWithoutAStateAreAppliedTogetherInPostgreSQL(t *testing.T) {
	t.Parallel()
	const n = 12
	onEveryEngine(t, func(t *testing.T, w *world) {
		w.parallel = n
		server := w.onPostgreSQL(meeting(n))
		w.remove("acme/dev/a.yaml")
		w.remove("acme/dev/c.yaml")
		var names []string
		for i := range n {
			name := fmt.Sprintf("s%02d", i)
			names = append(names, name)
			w.write("acme/dev/"+name+".yaml", strings.Replace(w.stackDocument(name, "one"), "spec:", "spec:\n  backend: {type: pg}", 1))
		}
		w.commit("many at once")
		w.start()
		for _, name := range names {
			key := "acme/dev/TerraformStack/" + name
			j := w.await(key, stackjob.Succeeded)
			if got := w.jobs(key); len(got) != 1 || j.Plan.Counts.Create != 1 || w.effects(name) != 1 {
				t.Errorf("%s: %d jobs, %s, %d side effects", name, len(got), j.Plan.Counts, w.effects(name))
			}
		}
		if got := states(server); got != n {
			t.Errorf("%d states with resources in the database", got)
		}
	})
}

// TestStacksSetUpADatabaseTogether: what all stacks of a database share is made by the
// first to come, and whoever comes in the same moment hears of it from PostgreSQL.
func TestStacksSetUpADatabaseTogether(t *testing.T) {
	t.Parallel()
	onEveryEngine(t, func(t *testing.T, w *world) {
		server := w.onPostgreSQL(counter)
		refusals := []string{`relation "global_states_id_seq" already exists`, `duplicate key value violates unique constraint "pg_class_relname_nsp_index"`,
			`type "global_states_id_seq" already exists`, `schema "reeve" already exists`}
		server.RefuseFirst(refusals...)
		w.start()
		var told string
		for _, name := range []string{"a", "c"} {
			key := "acme/dev/TerraformStack/" + name
			j := w.await(key, stackjob.Succeeded)
			if n := len(w.jobs(key)); n != 1 || j.Attempt != 1 || w.effects(name) != 1 {
				t.Errorf("%s: %d jobs, attempt %d, %d side effects", name, n, j.Attempt, w.effects(name))
			}
			told += w.jobLog(j.ID)
		}
		if n := strings.Count(told, "it is tried again"); n != len(refusals) || server.Asked() <= n {
			t.Errorf("%d refusals are told, %d statements were made", n, server.Asked())
		}
	})
}

// TestAJobIsPutOffWhileSomebodyLocksTheWholeDatabase: before its first plan, and before
// the apply of a plan that was approved. Nothing fails, and nobody has to do anything.
func TestAJobIsPutOffWhileSomebodyLocksTheWholeDatabase(t *testing.T) {
	t.Parallel()
	onEveryEngine(t, func(t *testing.T, w *world) {
		server := w.onPostgreSQL(counter)
		w.remove("acme/dev/a.yaml")
		w.remove("acme/dev/c.yaml")
		w.write("acme/policies/at-once.yaml", pause)
		w.commit("nothing yet")
		w.start()
		end := onWholeDatabase(w, server)
		w.write("acme/dev/a.yaml", strings.Replace(w.stackDocument("a", "one"), "spec:", "spec:\n  backend: {type: pg}", 1))
		w.commit("a stack")
		if w.engine.Name == "tofu" { // its lock is the schema's own
			w.approve(w.await(devA, stackjob.WaitingApply))
			if j := w.await(devA, stackjob.Succeeded); j.Attempt != 1 {
				t.Errorf("attempt %d", j.Attempt)
			}
			end()
			return
		}
		putOff := func(attempt int) stackjob.Job {
			t.Helper()
			var j stackjob.Job
			w.until("the job is put off", func() bool {
				jobs := w.jobs(devA)
				if len(jobs) == 1 && jobs[0].State.IsFinal() {
					t.Fatalf("%s: %s\n%s", jobs[0].State, jobs[0].Reason, w.jobLog(jobs[0].ID))
				}
				return len(jobs) == 1 && jobs[0].Reason.Code == stackjob.ReasonDatabaseLocked && jobs[0].Attempt >= attempt
			})
			j = w.newest(devA)
			if log := w.jobLog(j.ID); !strings.Contains(log, wholeDatabaseAdvice) || strings.Contains(log, "force-unlock") {
				t.Errorf("the log does not say why it waits:\n%s", log)
			}
			for _, op := range j.Operations {
				if op.Result == stackjob.ResultFailed {
					t.Errorf("%s of attempt %d: %s (%s)", op.Kind, op.Attempt, op.Result, op.Reason)
				}
			}
			return j
		}
		putOff(1)
		end()
		planned := w.await(devA, stackjob.WaitingApply)
		if planned.Attempt < 2 || w.effects("a") != 0 {
			t.Errorf("planned in attempt %d, %d side effects", planned.Attempt, w.effects("a"))
		}

		end = onWholeDatabase(w, server)
		w.approve(planned)
		putOff(planned.Attempt)
		if o := w.stack(devA).Observed; o != nil || w.effects("a") != 0 {
			t.Errorf("something was applied: %+v", o)
		}
		end()
		done := w.await(devA, stackjob.Succeeded)
		if done.ID != planned.ID || len(done.Approvals) != 1 || done.Plan.Digest != planned.Plan.Digest || w.effects("a") != 1 {
			t.Errorf("%s after %s, %d approvals, %d side effects", done.ID, planned.ID, len(done.Approvals), w.effects("a"))
		}

		// Whoever cancels does not wait for the lock.
		end = onWholeDatabase(w, server)
		w.write("acme/dev/a.yaml", strings.Replace(w.stackDocument("a", "two"), "spec:", "spec:\n  backend: {type: pg}", 1))
		w.commit("another text")
		w.until("the engine waits", func() bool {
			j := w.newest(devA)
			return j.ID != done.ID && j.State == stackjob.Planning && slices.ContainsFunc(j.Operations, func(o stackjob.Operation) bool { return o.Kind == stackjob.OpRefresh })
		})
		waiting := w.newest(devA)
		if _, err := w.app.Backend().Cancel(context.Background(), api.Answer{Job: waiting.ID, Actor: ada}); err != nil {
			t.Fatal(err)
		}
		if j := w.await(devA, stackjob.Cancelled); j.ID != waiting.ID || w.effects("a") != 1 {
			t.Errorf("%s was cancelled, %d side effects", j.ID, w.effects("a"))
		}
		end()
	})
}

// wholeDatabaseAdvice is what the log tells of a lock of a whole database.
const wholeDatabaseAdvice = "classid = 4294967295 and objid = 4294967295"
