package app_test

import (
	"bytes"
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stackreeve/stackreeve/internal/api"
	"github.com/stackreeve/stackreeve/internal/tool/pgtest"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
)

// inPostgreSQL is a PulumiStack whose state is in a database. How to log in there is in the
// configuration, as a file.
func (w *world) inPostgreSQL(server *pgtest.Server, name, text, password string) string {
	w.t.Helper()
	u, err := url.Parse(server.URL("reeve"))
	if err != nil {
		w.t.Fatal(err)
	}
	u.User = url.User("reeve")
	return w.pulumiDocument(name, text, password) + fmt.Sprintf("  backend: {url: %q}\n", u)
}

func TestPulumisStatesInPostgreSQL(t *testing.T) {
	t.Parallel()
	const a, b, canary = "acme/dev/PulumiStack/a", "acme/dev/PulumiStack/b", "canary-Zt3-of-a-database"
	server := pgtest.Start(t)
	server.Query("create role reeve login password '" + server.Password + "'; grant usage, create on schema public to reeve")
	w := pulumiWorld(t)
	file := filepath.Join(w.root, "password")
	if err := os.WriteFile(file, []byte(server.Password+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	w.yaml = fmt.Sprintf("  environment:\n    PGPASSWORD: {file: %q}\n", file)
	w.write("acme/dev/a.yaml", w.inPostgreSQL(server, "a", "one", canary), "acme/dev/b.yaml", w.inPostgreSQL(server, "b", "one", canary))
	w.commit("two stacks in one database")
	w.start()
	for _, stack := range []string{a, b} {
		if j := w.await(stack, stackjob.Succeeded); j.Plan.Counts != (stackjob.Counts{Create: 2}) || !strings.HasPrefix(j.Plan.StatePlace, "postgres hmac:") {
			t.Errorf("%s: %v in %q", stack, j.Plan.Counts, j.Plan.StatePlace)
		}
	}
	w.write("acme/dev/a.yaml", w.inPostgreSQL(server, "a", "two", canary))
	w.commit("a change")
	if j := w.await(a, stackjob.Succeeded); j.Plan.Counts != (stackjob.Counts{Update: 1, NoOp: 1}) {
		t.Errorf("a change: %v", j.Plan.Counts)
	}
	// What was there before is put back by the engine, as a job like that of any other state.
	list := w.states(a)
	if list.State != nil || list.Backend != "postgres" || len(list.Backups) != 1 || list.Backups[0].Resources != 2 || list.Backups[0].Action != stackjob.Apply {
		t.Fatalf("states: %+v", list)
	}
	done, err := w.restore(a, list.Backups[0].Name)
	if err != nil || done.State != stackjob.Succeeded || done.Restore.Replaced == nil {
		t.Fatalf("restore: %v %+v", err, done)
	}
	if kinds := operations(done); !slices.Equal(kinds, []string{"backup succeeded", "restore succeeded"}) {
		t.Errorf("operations of the restore: %q", kinds)
	}
	waits := w.await(a, stackjob.WaitingApply)
	if waits.Reason.Code != stackjob.ReasonStateRestored || waits.Plan.Counts != (stackjob.Counts{Update: 1, NoOp: 1}) {
		t.Errorf("what follows: %s %s", waits.Reason, waits.Plan.Counts)
	}
	w.approve(waits)
	w.await(a, stackjob.Succeeded)
	// It is undone by what it kept; a third backup is that of the apply.
	if list = w.states(a); len(list.Backups) != 3 {
		t.Errorf("backups: %+v", list.Backups)
	}
	if again, err := w.restore(a, done.Restore.Replaced.Backup); err != nil {
		t.Errorf("undo the restore: %v", err)
	} else {
		w.until("the state is what the document says", func() bool {
			j := w.jobs(a)[0]
			return j.ID != again.ID && j.State == stackjob.Succeeded && j.Plan != nil && !j.Plan.HasChanges
		})
	}
	for stack, file := range map[string]string{a: "acme/dev/a.yaml", b: "acme/dev/b.yaml"} {
		w.remove(file)
		w.commit("gone")
		if j := w.await(stack, stackjob.Succeeded); j.Action != stackjob.Destroy || j.Plan.Counts.Delete != 2 {
			t.Errorf("%s: %s %v", stack, j.Action, j.Plan.Counts)
		}
	}
	const rows = "select convert_from(decode(data->>'data', 'base64'), 'utf8') from pulumi_state"
	if strings.Contains(server.Query(rows), canary) {
		t.Error("the secret is in clear in the database")
	}
	states := server.Query(rows + " where key like '%/.pulumi/stacks/%.json'")
	if strings.Count(states, `"checkpoint"`) != 2 || strings.Contains(states, "lab:index:Data") || server.Query("select count(*) from pulumi_state where key like '%/locks/%'") != "0" {
		t.Errorf("what is left in the database:\n%s", states)
	}
	var told bytes.Buffer
	for _, j := range w.jobs("") {
		fmt.Fprintf(&told, "%+v\n%s\n", w.job(j.ID), w.jobLog(j.ID))
	}
	told.WriteString(w.log.String())
	w.stop()
	for _, secret := range []string{canary, server.Password} {
		if strings.Contains(told.String(), secret) {
			t.Errorf("%s is in what was told", secret)
		}
		for _, file := range filesContaining(t, filepath.Join(w.root, "data"), secret) {
			t.Errorf("%s is in clear in %s", secret, file)
		}
	}
}

func operations(j stackjob.Job) (out []string) {
	for _, o := range j.Operations {
		out = append(out, fmt.Sprintf("%s %s", o.Kind, o.Result))
	}
	return out
}

// appliedTwiceElsewhere is a world, with no daemon, whose stack a was applied twice and keeps
// its state in the folder backend; backup is the state after the first apply.
func appliedTwiceElsewhere(t *testing.T) (w *world, backend, backup string) {
	t.Helper()
	const stack = "acme/dev/PulumiStack/a"
	w = pulumiWorld(t)
	backend = filepath.Join(w.root, "backend")
	if err := os.Mkdir(backend, 0o700); err != nil {
		t.Fatal(err)
	}
	for n, text := range []string{"one", "two"} {
		w.write("acme/dev/a.yaml", w.pulumiDocument("a", text, "secret-one")+"  backend: {url: \"file://"+backend+"\"}\n")
		w.commit(text)
		if n == 0 {
			w.start()
		}
		w.until("it is applied", func() bool {
			jobs := w.jobs(stack)
			return len(jobs) == n+1 && jobs[0].State == stackjob.Succeeded
		})
	}
	w.quiet()
	backup = w.states(stack).Backups[0].Name
	w.stop()
	return w, backend, backup
}

// TestARestoreByAnEngineThatWasKilledIsDoneAgain kills who has a part in the restore of a
// state that a backend keeps, in the moment in which the state is replaced.
func TestARestoreByAnEngineThatWasKilledIsDoneAgain(t *testing.T) {
	t.Parallel()
	const stack = "acme/dev/PulumiStack/a"
	for _, c := range []crash{
		{At: "operation-ended backup", Kill: []string{"daemon", "runner"}},
		{At: "engine-started restore", Kill: []string{"engine", "runner"}},
		{At: "engine-started restore", Kill: []string{"engine"}},
		{At: "operation-ended restore", Kill: []string{"runner"}},
		{At: "move succeed from applying", Kill: []string{"daemon"}},
	} {
		t.Run(strings.ReplaceAll(c.At, " ", "-")+"/"+strings.Join(c.Kill, "-"), func(t *testing.T) {
			t.Parallel()
			w, backend, backup := appliedTwiceElsewhere(t)
			cfg := w.writeConfig()
			file := w.crashing(cfg, c)
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			client := api.NewClient(api.Options{Socket: filepath.Join(w.root, "data", "reeve.sock")})
			defer client.Close()
			first := w.daemon(cfg, file)
			awaitQuiet(ctx, t, client)
			_, err := client.RestoreState(ctx, api.StateRestore{Key: w.key(stack), Backup: backup, Reason: "it was a mistake"})
			if slices.Contains(c.Kill, "daemon") {
				if err == nil {
					t.Fatal("a daemon that was killed answered")
				}
				first.awaitEnd(ctx)
				second := w.daemon(cfg)
				defer second.end()
			} else {
				defer first.end()
				if err != nil {
					t.Errorf("a runner was killed: %v", err)
				}
			}
			after := awaitQuiet(ctx, t, client)
			if len(after) != 4 || after[0].State != stackjob.WaitingApply || after[0].Reason.Code != stackjob.ReasonStateRestored || after[0].Plan.Counts != (stackjob.Counts{Update: 1, NoOp: 1}) ||
				after[1].Purpose != stackjob.RestoreState || after[1].State != stackjob.Succeeded {
				t.Fatalf("after it: %s", summary(after))
			}
			if kept, err := filepath.Glob(filepath.Join(w.layout().StateBackups(w.key(stack)), "*.export.json")); err != nil || len(kept) != 2 || after[1].Restore.Replaced == nil {
				t.Errorf("backups: %v, %v; replaced %+v", kept, err, after[1].Restore.Replaced)
			}
			if locks, err := filepath.Glob(filepath.Join(backend, ".pulumi", "locks", "*", "*", "*", "*.json")); err != nil || len(locks) > 0 {
				t.Errorf("locks: %q, %v", locks, err)
			}
		})
	}
}

// TestARestoreWhoseEveryRunnerIsKilledIsUnknown kills every runner of a restore before it is
// heard that the state is back: nobody knows, and the next plan waits for a person.
func TestARestoreWhoseEveryRunnerIsKilledIsUnknown(t *testing.T) {
	t.Parallel()
	const stack = "acme/dev/PulumiStack/a"
	w, _, backup := appliedTwiceElsewhere(t)
	cfg := w.writeConfig()
	file := w.crashing(cfg, crash{At: "operation-ended restore", Kill: []string{"runner"}, Always: true})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	client := api.NewClient(api.Options{Socket: filepath.Join(w.root, "data", "reeve.sock")})
	defer client.Close()
	defer w.daemon(cfg, file).end()
	awaitQuiet(ctx, t, client)
	_, err := client.RestoreState(ctx, api.StateRestore{Key: w.key(stack), Backup: backup, Reason: "it was a mistake"})
	if err == nil || !strings.Contains(err.Error(), "whether the state was restored is not known") {
		t.Errorf("it is said to be %v", err)
	}
	after := awaitQuiet(ctx, t, client)
	if len(after) != 4 || after[0].State != stackjob.WaitingApply || after[0].Reason.Code != stackjob.ReasonStateRestored || !strings.HasSuffix(after[0].Reason.Detail, "is not known") ||
		after[1].Purpose != stackjob.RestoreState || after[1].State != stackjob.Interrupted || after[1].Reason.Code != stackjob.ReasonRestoreUnknown {
		t.Fatalf("after it: %s", summary(after))
	}
	told, err := client.Explain(ctx, w.key(stack))
	if err != nil || told.Observed.Restored == nil || !told.Observed.Restored.Unknown {
		t.Errorf("explained as %+v, %v", told.Observed, err)
	}
}
