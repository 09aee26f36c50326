package app_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stackreeve/stackreeve/internal/app"
	"github.com/stackreeve/stackreeve/internal/tool/tooltest"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/schema"
)

// A stack that has another passphrase, here that of its document's earlier name, is refused
// with the way out, and the way out works.
func TestAPulumiStackGetsAnotherPassphraseByHand(t *testing.T) {
	t.Parallel()
	const old, renamed = "acme/dev/PulumiStack/a", "acme/dev/PulumiStack/b"
	w := pulumiWorld(t)
	backend := "file://" + t.TempDir()
	place := "  backend: {url: \"" + backend + "\"}\n  stack: {name: live}\n"
	w.write("acme/dev/a.yaml", w.pulumiDocument("a", "one", "canary")+place)
	w.commit("one")
	w.start()
	w.await(old, stackjob.Succeeded)

	w.remove("acme/dev/a.yaml")
	w.write("acme/dev/b.yaml", strings.Replace(w.pulumiDocument("a", "one", "canary"), "name: a", "name: b", 1)+place)
	w.commit("another name")
	j := w.await(renamed, stackjob.Failed)
	if log := w.jobLog(j.ID); !strings.Contains(log, "reeve state passphrase "+renamed+" | pulumi stack change-secrets-provider passphrase --stack organization/lab/live") {
		t.Errorf("the log does not say what to do:\n%s", log)
	}

	phrase := func(name string) string {
		k, err := schema.ParseResourceKey(name)
		if err != nil {
			t.Fatal(err)
		}
		p, err := app.StackPassphrase(filepath.Join(w.root, "data"), k)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	e, plugins := tooltest.Pulumi(t)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "Pulumi.yaml"), []byte(pulumiProgram(plugins)), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), e.Path, "--non-interactive", "stack", "change-secrets-provider", "passphrase", "--stack", "organization/lab/live")
	cmd.Dir, cmd.Stdin = dir, strings.NewReader(phrase(renamed)+"\n")
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "PULUMI_HOME=" + dir, "PULUMI_SKIP_UPDATE_CHECK=true",
		"PULUMI_BACKEND_URL=" + backend, "PULUMI_CONFIG_PASSPHRASE=" + phrase(old)}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	w.rerun(j)
	if j = w.await(renamed, stackjob.Succeeded); j.Plan.HasChanges {
		t.Errorf("plan = %+v", j.Plan)
	}
	if _, err := app.StackPassphrase(dir, schema.ResourceKey{Org: "acme", Env: "dev", Kind: "PulumiStack", Name: "b"}); err == nil || !strings.Contains(err.Error(), "key.txt") {
		t.Errorf("without a key: %v", err)
	}
	if left, err := os.ReadDir(dir); err != nil || strings.Contains(strings.Join(names(left), " "), "key.txt") {
		t.Errorf("a key was made: %v, %v", names(left), err)
	}
}

func names(entries []os.DirEntry) (out []string) {
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}
