package app_test

import (
	"bytes"
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

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
	// What was there before is in a file that says where it is.
	_, err := w.app.Backend().States(context.Background(), w.key(a))
	backups := filepath.Join(w.root, "data", "stacks", "acme", "dev", "PulumiStack", "a", "state", "backups")
	if err == nil || !strings.Contains(err.Error(), "kept by the backend postgres") || !strings.Contains(err.Error(), backups+": `pulumi stack import`") {
		t.Errorf("its backups: %v", err)
	}
	if found, err := filepath.Glob(filepath.Join(backups, "*.export.json")); err != nil || len(found) != 1 {
		t.Errorf("exports: %q, %v", found, err)
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
