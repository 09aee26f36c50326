package pulumi_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"github.com/stackreeve/stackreeve/reconciler/engine"
	"github.com/stackreeve/stackreeve/reconciler/engine/begun"
	"github.com/stackreeve/stackreeve/reconciler/engine/enginetest"
	"github.com/stackreeve/stackreeve/reconciler/engine/pulumi"
	"github.com/stackreeve/stackreeve/reconciler/engine/statefile"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
)

// bucket is one on a server that speaks S3.
type bucket struct{ *s3mem.Backend }

func (b bucket) removeAll(t *testing.T) {
	t.Helper()
	all, err := b.ListBucket("states", nil, gofakes3.ListBucketPage{})
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range all.Contents {
		if _, err := b.DeleteObject("states", o.Key); err != nil {
			t.Fatal(err)
		}
	}
}

// inBucket puts a stack's state into a bucket.
func (b *bench) inBucket(t *testing.T) bucket {
	t.Helper()
	store := s3mem.New()
	if err := store.CreateBucket("states"); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(gofakes3.New(store).Server())
	t.Cleanup(server.Close)
	b.Task.Pulumi.BackendURL = "s3://states/acme?region=us-east-1&s3ForcePathStyle=true&endpoint=" + server.URL
	b.Task.Env["AWS_ACCESS_KEY_ID"], b.Task.Env["AWS_SECRET_ACCESS_KEY"] = "canary-key-id", "canary-access-key"
	b.Task.StateFile = ""
	return bucket{store}
}

// TestStateInABucket: what a file tells for nothing costs an export there.
func TestStateInABucket(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	store := b.inBucket(t)
	b.program(strings.ReplaceAll(simple, "config: {text: {type: string}}", "config: {text: {type: string, secret: true}}"))
	b.Task.Pulumi.SecretConfig = []string{"text"}
	b.Inputs(map[string]any{"text": "one-one"})
	processes := b.Counting()
	plan := b.MustPlan()
	if diff := cmp.Diff([]string{"stack init", "stack export", "preview"}, words(processes())); diff != "" {
		t.Errorf("processes of a first plan (-want +got):\n%s", diff)
	}
	if !strings.HasPrefix(plan.StatePlace, "s3 hmac:") {
		t.Errorf("place = %q", plan.StatePlace)
	}
	r := b.Apply(t.Context(), plan)
	if r.Failure != nil {
		t.Fatal(r.Failure.Text)
	}
	if diff := cmp.Diff([]string{"stack export", "up", "stack export"}, words(processes())); diff != "" {
		t.Errorf("processes of an apply (-want +got):\n%s", diff)
	}
	if o := r.Outcome.Outputs; len(o) != 1 || b.Opened(o[0]) != `"one-one"` {
		t.Errorf("outputs = %+v", o)
	}
	b.Inputs(map[string]any{"text": "two-two"})
	stale := b.MustPlan()
	kept, err := os.ReadFile(b.PlanFile)
	if err != nil {
		t.Fatal(err)
	}
	b.MustApply()
	if err := os.WriteFile(b.PlanFile, kept, 0o600); err != nil {
		t.Fatal(err)
	}
	if r := b.Apply(t.Context(), stale); r.Failure == nil || r.Failure.Reason.Code != stackjob.ReasonStalePlan || r.Outcome != nil {
		t.Errorf("a stale plan: %+v", r)
	}
	if backups, _ := filepath.Glob(filepath.Join(b.Task.StateBackups, "*.export.json")); len(backups) != 1 {
		t.Errorf("backups = %q", backups)
	}
	workspace := b.Task.Workspace
	b.Task.Workspace += "-new"
	if p := b.MustPlan(); p.HasChanges { // the stack is there: it is found, and not made
		t.Errorf("plan = %+v", p)
	}
	// A stack that somebody removed is made again.
	store.removeAll(t)
	b.Task.Workspace = workspace
	plan = b.MustPlan()
	if plan.Counts != (stackjob.Counts{Create: 1}) {
		t.Errorf("counts = %+v", plan.Counts)
	}
	// An empty one may go again while its plan waits: the plan holds its own keys.
	store.removeAll(t)
	if r := b.Apply(t.Context(), plan); r.Failure != nil || r.Outcome.Counts != (stackjob.Counts{Create: 1}) {
		t.Errorf("apply in a stack that was removed meanwhile: %+v, %+v", r.Outcome, r.Failure)
	}
}

// TestBackupsOfAFileAreListedAndPutBack: what a person restores is what was there.
func TestBackupsOfAFileAreListedAndPutBack(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.program(simple)
	keeper := statefile.New(pulumi.StateFormat{}, nil)
	at := engine.StateFiles{State: strings.TrimPrefix(b.Task.Pulumi.BackendURL, "file://"), Backups: b.Task.StateBackups}
	for _, text := range []string{"one", "two"} {
		b.Inputs(map[string]any{"text": text})
		b.MustApply()
	}
	list, err := keeper.List(at)
	if err != nil {
		t.Fatal(err)
	}
	if s := list.State; s == nil || s.Resources != 1 || s.Lineage != "organization/demo/dev" || s.Damaged {
		t.Errorf("state = %+v", s)
	}
	if len(list.Backups) != 1 || list.Backups[0].Job != b.Task.Job || list.Backups[0].Resources != 1 || list.Backups[0].Damaged {
		t.Fatalf("backups = %+v", list.Backups)
	}
	lock := filepath.Join(at.State, ".pulumi", "locks", "organization", "demo", "dev", "x.json")
	if err := os.MkdirAll(filepath.Dir(lock), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(lock, []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := keeper.Replace(at, list.Backups[0].Name); !errors.Is(err, engine.ErrStateInUse) {
		t.Errorf("a state in use: %v", err)
	}
	if err := os.Remove(lock); err != nil {
		t.Fatal(err)
	}
	if err := keeper.Replace(at, list.Backups[0].Name); err != nil {
		t.Fatal(err)
	}
	plan := b.MustPlan()
	if plan.Counts != (stackjob.Counts{Update: 1}) || string(plan.Outputs[0].Before) != `"one"` {
		t.Errorf("plan of the restored state = %+v", plan)
	}
}

// TestWhatAKilledWriteLeavesInAFolder: no attributes, which a run that was killed would
// have left empty, and a lock that is half written is met by the plan.
func TestWhatAKilledWriteLeavesInAFolder(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.program(simple)
	b.Inputs(map[string]any{"text": "one"})
	b.MustApply()
	folder := strings.TrimPrefix(b.Task.Pulumi.BackendURL, "file://")
	there := files(t, folder)
	for name := range there {
		if strings.HasSuffix(name, ".attrs") {
			t.Errorf("there is %s", name)
		}
	}
	if there[filepath.Join(".pulumi", "stacks", "demo", "dev.json")] == "" {
		t.Fatalf("the state is elsewhere: %q", slices.Sorted(maps.Keys(there)))
	}
	lock := filepath.Join(folder, ".pulumi", "locks", "organization", "demo", "dev", "0f7c7b1e.json.18ab.tmp")
	if err := os.MkdirAll(filepath.Dir(lock), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(lock, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	b.Inputs(map[string]any{"text": "two"})
	r := b.Plan(t.Context())
	if r.Failure == nil || r.Failure.Reason.Code != stackjob.ReasonStateLocked || r.Failure.Lock == nil || r.Failure.Lock.Who != "" || !strings.Contains(r.Failure.Text, "pulumi cancel") {
		t.Fatalf("plan = %+v, failure = %+v", r.Plan, r.Failure)
	}
	if err := b.Driver.Unlock(t.Context(), b.Task, *r.Failure.Lock, b.Sink); err != nil {
		t.Fatal(err)
	}
	b.MustApply()
}

// TestWhatBackendsAreToldOf: the engine is a program of our own that notes what it is
// given, for services that nothing here can stand in for.
func TestWhatBackendsAreToldOf(t *testing.T) {
	t.Parallel()
	for url, env := range map[string]map[string]string{
		"gs://states/acme":                     {"GOOGLE_CREDENTIALS": `{"private_key": "canary"}`},
		"azblob://states/acme":                 {"AZURE_STORAGE_ACCOUNT": "acme", "AZURE_STORAGE_KEY": "canary"},
		"azblob://states?storage_account=acme": {"AZURE_CLIENT_ID": "id", "AZURE_CLIENT_SECRET": "canary", "AZURE_TENANT_ID": "tenant"},
		"s3://states/acme?region=eu-west-1":    {"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "canary", "AWS_SESSION_TOKEN": "canary"},
		"postgres://user@db/states?table=acme": {"PGPASSWORD": "canary"},
		"postgres://user:canary@db/states":     {},
		"https://pulumi.example.com":           {"PULUMI_ACCESS_TOKEN": "canary"},
	} {
		t.Run(url, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.program(simple)
			b.Inputs(map[string]any{"text": "one"})
			b.Task.Pulumi.BackendURL, b.Task.StateFile = url, ""
			maps.Copy(b.Task.Env, env)
			dir := t.TempDir()
			note := filepath.Join(dir, "note")
			b.Task.Env["PATH"] = filepath.Dir(b.Task.Program.Path) + ":" + b.Task.Env["PATH"]
			enginetest.WriteScript(t, filepath.Join(dir, "pulumi"), "#!/bin/sh\n{ echo \"arguments $*\"; env; } > '"+note+"'\nexit 1\n")
			b.Task.Program.Path = filepath.Join(dir, "pulumi")
			if r := b.Plan(t.Context()); r.Failure == nil {
				t.Fatal("an engine that does nothing made a plan")
			}
			text, err := os.ReadFile(note)
			if err != nil {
				t.Fatal(err)
			}
			got := map[string]string{}
			for line := range strings.Lines(string(text)) {
				k, v, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
				got[k] = v
			}
			want := maps.Clone(env)
			want["PULUMI_BACKEND_URL"] = url
			if strings.Contains(url, ":canary@") {
				want["PULUMI_BACKEND_URL"], want["PGPASSWORD"] = strings.Replace(url, ":canary@", "@", 1), "canary"
			}
			for k, v := range want {
				if got[k] != v {
					t.Errorf("%s = %q, want %q", k, got[k], v)
				}
			}
			if arguments, _, _ := strings.Cut(string(text), "\n"); !strings.HasPrefix(arguments, "arguments --non-interactive stack init") || strings.Contains(arguments, "canary") {
				t.Errorf("the command line: %s", arguments)
			}
			for _, name := range []string{"PGPASSWORD", "GOOGLE_CREDENTIALS", "AZURE_STORAGE_KEY", "AWS_SECRET_ACCESS_KEY", "PULUMI_ACCESS_TOKEN"} {
				if _, is := got[name]; is && want[name] == "" {
					t.Errorf("it was given %s", name)
				}
			}
			log, events := b.Sink.Told()
			if strings.Contains(log+fmt.Sprint(events), "canary") {
				t.Errorf("a credential is told:\n%s\n%+v", log, events)
			}
		})
	}
}

func TestLockInABucketIsMetAndReleased(t *testing.T) {
	t.Parallel()
	b, _, hangs, _ := hanging(t)
	b.inBucket(t)
	b.killAndRelease(t, hangs)
}

// killAndRelease kills an apply and goes on. Where the state is no file a preview sees no
// lock: who would clear what the killed apply left pending meets it, and the apply of a
// plan that had nothing to clear.
func (b *bench) killAndRelease(t *testing.T, hangs func()) {
	t.Helper()
	plan := b.MustPlan()
	ended := make(chan engine.Result, 1)
	go func() { ended <- b.Apply(context.Background(), plan) }()
	hangs()
	_, events := b.Sink.Told()
	for _, e := range events {
		if e.Type == engine.EngineStarted && e.Operation == stackjob.OpApply && strings.Contains(strings.Join(e.Command, " "), " up") {
			if err := syscall.Kill(e.PID, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
		}
	}
	if r := <-ended; r.Outcome == nil || r.Outcome.Result != stackjob.ResultInterrupted {
		t.Fatalf("outcome = %+v, %+v", r.Outcome, r.Failure)
	}
	b.program("resources:\n  good: {type: \"lab:Data\", properties: {value: x}}\n  next: {type: \"lab:Data\", properties: {value: y}}\n")
	r := b.Plan(t.Context())
	if r.Failure == nil || r.Failure.Reason.Code != stackjob.ReasonStateLocked || r.Failure.Lock == nil || r.Failure.Lock.PID == 0 || r.Failure.Lock.ID == "" {
		t.Fatalf("a plan that meets a lock: %+v %+v", r.Plan, r.Failure)
	}
	lock := *r.Failure.Lock
	note := begun.FileOf(b.Task)
	if err := os.Rename(note, note+".away"); err != nil {
		t.Fatal(err)
	}
	plan = b.MustPlan()
	if err := os.Rename(note+".away", note); err != nil {
		t.Fatal(err)
	}
	if r := b.Apply(t.Context(), plan); r.Failure == nil || r.Outcome != nil || r.Failure.Lock == nil || r.Failure.Lock.ID != lock.ID || r.Failure.Lock.PID != lock.PID {
		t.Errorf("an apply that meets the lock: %+v %+v", r.Outcome, r.Failure)
	}
	if left, err := begun.Read(note); err != nil || left == nil || len(left.Unfinished()) != 1 {
		t.Errorf("what the killed apply had begun is forgotten: %+v, %v", left, err)
	}
	other := lock
	other.ID = "another"
	b.Task.ReleaseLock = &other
	if r := b.Plan(t.Context()); r.Failure == nil || r.Failure.Reason.Code != stackjob.ReasonStateLocked {
		t.Errorf("another lock was released: %+v", r)
	}
	b.Task.ReleaseLock = &lock
	plan = b.MustPlan()
	b.Task.ReleaseLock = nil
	if !strings.Contains(strings.Join(plan.Warnings, " "), "slow") {
		t.Errorf("warnings = %q", plan.Warnings)
	}
	if r := b.Apply(t.Context(), plan); r.Failure != nil || r.Outcome.Counts != (stackjob.Counts{Create: 1}) {
		t.Errorf("outcome = %+v, %+v", r.Outcome, r.Failure)
	}
}

// transit speaks the part of Vault's API that encrypts: https://developer.hashicorp.com/vault/api-docs/secret/transit.
func transit(t *testing.T) (address string) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var in struct{ Plaintext, Ciphertext string }
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil || r.Header.Get("X-Vault-Token") != "canary-vault-token" {
			http.Error(w, "{}", http.StatusForbidden)
			return
		}
		out := map[string]string{}
		if strings.Contains(r.URL.Path, "/encrypt/") {
			out["ciphertext"] = "vault:v1:" + base64.StdEncoding.EncodeToString([]byte("x"+in.Plaintext))
		} else {
			b, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(in.Ciphertext, "vault:v1:"))
			out["plaintext"] = strings.TrimPrefix(string(b), "x")
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"data": out})
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func TestSecretsOfAKeyService(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.Task.Pulumi.SecretsProvider, b.Task.Pulumi.Passphrase = "hashivault://stacks", ""
	b.Task.Env["VAULT_SERVER_URL"], b.Task.Env["VAULT_SERVER_TOKEN"] = transit(t), "canary-vault-token"
	const secret = "canary-kms-secret-55e"
	b.program("config: {marked: {type: string, secret: true}}\nresources: {kept: {type: \"lab:Data\", properties: {value: \"${marked}\"}}}\noutputs: {marked: \"${kept.output}\", nested: {a: \"${marked}\"}}\n")
	b.Task.Pulumi.SecretConfig = []string{"marked"}
	b.Inputs(map[string]any{"marked": secret})
	processes := b.Counting()
	first := b.MustPlan()
	if diff := cmp.Diff([]string{"stack init", "config", "preview"}, words(processes())); diff != "" {
		t.Errorf("processes of a first plan (-want +got):\n%s", diff)
	}
	if second := b.MustPlan(); second.Digest != first.Digest {
		t.Errorf("equal plans have digests %s and %s", first.Digest, second.Digest)
	}
	if diff := cmp.Diff([]string{"preview"}, words(processes())); diff != "" {
		t.Errorf("processes of a second plan (-want +got):\n%s", diff)
	}
	out := b.MustApply()
	if o := out.Outputs; len(o) != 2 || b.Opened(o[0]) != `"`+secret+`"` || b.Opened(o[1]) != `{"a":"`+secret+`"}` {
		t.Errorf("outputs = %+v", o)
	}
	b.Inputs(map[string]any{"marked": secret + "-2"})
	moved := b.MustPlan()
	if moved.Counts.Update != 1 || len(moved.Outputs) != 2 || !moved.Outputs[0].Sensitive {
		t.Errorf("plan = %+v", moved)
	}
	// A stack that somebody removed is made again, with another data key.
	if err := os.RemoveAll(strings.TrimPrefix(b.Task.Pulumi.BackendURL, "file://")); err != nil {
		t.Fatal(err)
	}
	anew := b.MustPlan()
	if anew.Counts != (stackjob.Counts{Create: 1}) {
		t.Errorf("plan of a stack that was removed = %+v", anew)
	}
	told, err := json.Marshal([]any{first, out, moved, anew, processes()})
	if err != nil {
		t.Fatal(err)
	}
	log, _ := b.Sink.Told()
	where := map[string]string{"what was told": string(told), "the log": log}
	for name, text := range files(t, filepath.Dir(b.Task.Workspace)) {
		if !strings.HasPrefix(name, "run"+string(filepath.Separator)) { // the runner seals the plan
			where[name] = text
		}
	}
	for place, text := range where {
		if strings.Contains(text, secret) || strings.Contains(text, "canary-vault-token") {
			t.Errorf("the secret is in %s", place)
		}
	}
}
