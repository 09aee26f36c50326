package app_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/stackreeve/stackreeve/internal/api"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
)

// pulumiLock is what a lock of Pulumi's says:
// github.com/pulumi/pulumi/pkg/v3/backend/diy, lockContent.
type pulumiLock struct {
	PID       int    `json:"pid"`
	Username  string `json:"username"`
	Hostname  string `json:"hostname"`
	Timestamp string `json:"timestamp"`
}

// pulumiLocks are the locks of Pulumi stacks in the data folder, by file.
func (w *world) pulumiLocks() map[string]pulumiLock {
	w.t.Helper()
	files, err := filepath.Glob(filepath.Join(w.root, "data", "stacks", "*", "*", "*", "*", "state", "pulumi", ".pulumi", "locks", "*", "*", "*", "*"))
	if err != nil {
		w.t.Fatal(err)
	}
	out := map[string]pulumiLock{}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			continue // it was given back meanwhile
		}
		var l pulumiLock
		if err := json.Unmarshal(b, &l); err == nil { // else it is being written
			out[file] = l
		}
	}
	return out
}

// awaitInterrupted waits until a job of a stack was interrupted. The one that follows may
// be there as soon.
func (w *world) awaitInterrupted(key string) {
	w.t.Helper()
	w.until(key+" was interrupted", func() bool {
		return slices.ContainsFunc(w.jobs(key), func(j stackjob.Job) bool { return j.State == stackjob.Interrupted })
	})
}

func TestTheLockOfAKilledPulumiIsReleasedAndAPersonAsked(t *testing.T) {
	t.Parallel()
	const stack = "acme/dev/PulumiStack/a"
	w := pulumiWorld(t)
	w.write("acme/dev/a.yaml", w.pulumiDocument("a", "one", "s3cret-word")+"    hangs: true\n")
	w.commit("one that hangs")
	w.start()
	w.until("it hangs", func() bool { return w.created("a") == 1 && len(w.pulumiLocks()) == 1 })
	for _, l := range w.pulumiLocks() {
		if err := syscall.Kill(l.PID, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	w.awaitInterrupted(stack)
	w.write("acme/dev/a.yaml", w.pulumiDocument("a", "one", "s3cret-word"))
	w.commit("one that does not")
	w.until("somebody is asked", func() bool {
		for _, j := range w.jobs(stack) {
			if j.State == stackjob.Failed {
				t.Fatalf("a plan after it failed: %s\n%s", j.Reason, w.jobLog(j.ID))
			}
		}
		return w.newest(stack).State == stackjob.WaitingApply
	})
	j := w.await(stack, stackjob.WaitingApply)
	// By the first plan after it, which the newer revision may have overtaken.
	released := slices.ContainsFunc(w.jobs(stack), func(j stackjob.Job) bool { return strings.Contains(w.jobLog(j.ID), "Releasing the lock") })
	if len(w.pulumiLocks()) > 0 || !released {
		t.Errorf("the lock is still there, or nobody is told of its release: %s", w.describe())
	}
	if !strings.Contains(strings.Join(j.Plan.Warnings, "\n"), "kept") {
		t.Errorf("nobody is told what may exist: %q", j.Plan.Warnings)
	}
	w.approve(j)
	w.await(stack, stackjob.Succeeded)
}

// get reads the only object whose name has the prefix; nil for none.
func (b bucket) get(prefix string) (name string, content []byte) {
	b.t.Helper()
	for _, o := range b.objects() {
		if !strings.HasPrefix(o, prefix) {
			continue
		}
		if name != "" {
			b.t.Fatalf("%s and %s begin with %s", name, o, prefix)
		}
		object, err := b.backend.GetObject("states", o, nil)
		if err != nil {
			b.t.Fatal(err)
		}
		var all bytes.Buffer
		if _, err := all.ReadFrom(object.Contents); err != nil {
			b.t.Fatal(err)
		}
		_ = object.Contents.Close()
		name, content = o, all.Bytes()
	}
	return name, content
}

// put writes an object; nil removes it.
func (b bucket) put(name string, content []byte) {
	b.t.Helper()
	if content == nil {
		if _, err := b.backend.DeleteObject("states", name); err != nil {
			b.t.Fatal(err)
		}
		return
	}
	if _, err := b.backend.PutObject("states", name, map[string]string{}, bytes.NewReader(content), int64(len(content)), nil); err != nil {
		b.t.Fatal(err)
	}
}

// TestALockThatOnlyTheApplyMeetsIsReleased: in a bucket no plan of Pulumi's sees a lock,
// unless something is pending that it has to clear. What was left by an own run that was
// killed is released, and the plan that was approved is applied when it comes out the same;
// somebody else's stays.
func TestALockThatOnlyTheApplyMeetsIsReleased(t *testing.T) {
	t.Parallel()
	const stack, locks, canary = "acme/dev/PulumiStack/a", "acme/.pulumi/locks/", "canary-Wd3-in-a-bucket"
	w := pulumiWorld(t)
	b, address := w.newBucket(t)
	where := "spec:\n  backend: {url: 's3://states?prefix=acme/&region=eu-west-1&s3ForcePathStyle=true&endpoint=" + address + "'}\n"
	document := strings.Replace(w.pulumiDocument("a", "one", canary), "spec:\n", where, 1)
	w.write("acme/dev/a.yaml", document+"    hangs: true\n")
	w.commit("one that hangs")
	w.start()
	var file string
	var ours []byte
	var lock pulumiLock
	w.until("it hangs", func() bool {
		file, ours = b.get(locks)
		return w.created("a") == 1 && json.Unmarshal(ours, &lock) == nil
	})
	if err := syscall.Kill(lock.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	w.awaitInterrupted(stack)
	w.write("acme/dev/a.yaml", document)
	w.commit("one that does not")
	waits := w.await(stack, stackjob.WaitingApply)

	other := lock
	other.Username = "ann"
	theirs, err := json.Marshal(other)
	if err != nil {
		t.Fatal(err)
	}
	b.put(file, theirs)
	w.approve(waits)
	failed := w.await(stack, stackjob.Failed)
	if log := w.jobLog(failed.ID); failed.Reason.Code != stackjob.ReasonStateLocked || !strings.Contains(failed.Reason.Detail, "ann@") || !strings.Contains(log, "pulumi cancel") {
		t.Errorf("the lock of somebody else: %s\n%s", failed.Reason, log)
	}
	if _, content := b.get(locks); !bytes.Equal(content, theirs) {
		t.Fatalf("the lock of somebody else was released; now: %s", content)
	}

	b.put(file, nil)
	rerun, err := w.app.Backend().Rerun(t.Context(), api.Answer{Job: failed.ID, Actor: ada})
	if err != nil {
		t.Fatal(err)
	}
	waits = w.await(stack, stackjob.WaitingApply)
	if waits.ID != rerun.ID || waits.Hold == nil || !strings.Contains(strings.Join(waits.Plan.Warnings, "\n"), "lab:index:Data::") {
		t.Errorf("%s waits, and %s was made; hold %v, warnings %q", waits.ID, rerun.ID, waits.Hold, waits.Plan.Warnings)
	}
	b.put(file, ours)
	w.approve(waits)
	done := w.await(stack, stackjob.Succeeded)
	if done.ID != waits.ID || done.Attempt != waits.Attempt+1 {
		t.Errorf("%s succeeded with attempt %d, and %s waited with attempt %d", done.ID, done.Attempt, waits.ID, waits.Attempt)
	}
	if name, _ := b.get(locks); name != "" {
		t.Errorf("the lock %s is still there", name)
	}
	if log := w.jobLog(done.ID); !strings.Contains(log, "Releasing the lock") || strings.Contains(log, canary) || strings.Contains(log, bucketSecret) {
		t.Errorf("its log:\n%s", log)
	}
	w.stop()
	w.nothingTold(canary)
	w.nothingTold(bucketSecret)
}
