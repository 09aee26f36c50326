package pulumi_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// byHand runs pulumi as a person does, in the program's folder, and returns its standard output.
func (b *bench) byHand(args ...string) []byte {
	b.Helper()
	var failed strings.Builder
	cmd := exec.Command(b.Task.Program.Path, append([]string{"--non-interactive"}, args...)...)
	cmd.Dir, cmd.Stderr = b.Task.ModuleRoot, &failed
	for k, v := range b.Task.Env {
		cmd.Env = append(cmd.Env, k+"="+v)
	}
	cmd.Env = append(cmd.Env, "PULUMI_BACKEND_URL="+b.Task.Pulumi.BackendURL, "PULUMI_CONFIG_PASSPHRASE="+b.Task.Pulumi.Passphrase,
		"PULUMI_HOME="+b.Task.Pulumi.Home, "PULUMI_SKIP_UPDATE_CHECK=true")
	out, err := cmd.Output()
	if err != nil {
		b.Fatalf("pulumi %q: %v\n%s", args, err, failed.String())
	}
	return out
}

// listed are how the updates went that Pulumi lists, newest first.
func (b *bench) listed() []string {
	b.Helper()
	var updates []struct{ Result, Message string }
	if err := json.Unmarshal(b.byHand("stack", "history", "--json", "--page-size=100", "--stack=organization/demo/dev"), &updates); err != nil {
		b.Fatal(err)
	}
	var out []string
	for _, u := range updates {
		out = append(out, strings.TrimSpace(u.Result+" "+u.Message))
	}
	return out
}

// TestPulumisHistoryInTheDataFolderIsShortened: the newest twenty updates stay, Pulumi lists
// them, and its copies of states are written no more. Of a folder that is somebody else's
// nothing goes.
func TestPulumisHistoryInTheDataFolderIsShortened(t *testing.T) {
	t.Parallel()
	const kept = 20
	b := newBench(t)
	b.program(simple)
	b.Inputs(map[string]any{"text": "one"})
	b.MustApply()
	root := filepath.Join(strings.TrimPrefix(b.Task.Pulumi.BackendURL, "file://"), ".pulumi")
	history, backups := filepath.Join(root, "history", "demo", "dev"), filepath.Join(root, "backups", "demo", "dev")
	in := func(folder, pattern string) []string {
		t.Helper()
		found, err := filepath.Glob(filepath.Join(folder, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for i := range found {
			found[i] = filepath.Base(found[i])
		}
		return found
	}
	if got := in(backups, "*"); len(got) > 0 {
		t.Errorf("Pulumi's own backups after an apply: %q", got)
	}
	first := in(history, "dev-*.history.json")
	if len(first) != 1 {
		t.Fatalf("history after one apply: %q", first)
	}
	// Many updates before that, and as many copies that an older version let be written.
	text, err := os.ReadFile(filepath.Join(history, first[0]))
	if err != nil {
		t.Fatal(err)
	}
	var update map[string]any
	if err := json.Unmarshal(text, &update); err != nil {
		t.Fatal(err)
	}
	write := func(folder, name string, content []byte) {
		t.Helper()
		if err := os.MkdirAll(folder, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(folder, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 25 {
		update["message"] = fmt.Sprintf("planted %02d", i)
		content, err := json.Marshal(update)
		if err != nil {
			t.Fatal(err)
		}
		at := 1_700_000_000_000_000_000 + i
		write(history, fmt.Sprintf("dev-%d.history.json", at), content)
		write(history, fmt.Sprintf("dev-%d.checkpoint.json", at), []byte("{}"))
		write(backups, fmt.Sprintf("dev.%d.json", at), []byte("{}"))
	}
	write(history, "note of a person.txt", nil)
	other := filepath.Join(root, "history", "demo", "development")
	write(other, "dev-1.history.json", nil)
	if n := len(b.listed()); n != 26 {
		t.Fatalf("Pulumi lists %d updates of those that are there", n)
	}

	b.Inputs(map[string]any{"text": "two"})
	b.MustApply()
	want := []string{"succeeded", "succeeded"} // ours
	for i := 24; len(want) < kept; i-- {
		want = append(want, fmt.Sprintf("succeeded planted %02d", i))
	}
	if diff := cmp.Diff(want, b.listed()); diff != "" {
		t.Errorf("what Pulumi lists (-want +got):\n%s", diff)
	}
	if n, copies := len(in(history, "*")), len(in(history, "dev-*.checkpoint.json")); n != 2*kept+1 || copies != kept {
		t.Errorf("%d files in the history, %d copies of states", n, copies)
	}
	if got := in(backups, "*"); len(got) != kept || got[0] != "dev.1700000000000000005.json" {
		t.Errorf("Pulumi's own backups: %q", got)
	}
	if got := in(other, "*"); len(got) != 1 {
		t.Errorf("the history of another stack: %q", got)
	}

	before := append(in(history, "*"), in(backups, "*")...)
	b.Task.StateFile = "" // the folder is not in the data folder
	b.Inputs(map[string]any{"text": "three"})
	b.MustApply()
	after := append(in(history, "*"), in(backups, "*")...)
	for _, name := range before {
		if !slices.Contains(after, name) {
			t.Errorf("in somebody's folder, %s went", name)
		}
	}
	if len(after) != len(before)+3 {
		t.Errorf("in somebody's folder, %d files became %d", len(before), len(after))
	}
}
