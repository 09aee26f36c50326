package app_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"github.com/stackreeve/stackreeve/internal/api"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
)

const bucketSecret = "canary-of-the-bucket-0123456789"

// bucket is a bucket on a server of the S3 protocol.
type bucket struct {
	t       *testing.T
	backend *s3mem.Backend
}

// newBucket makes a bucket on a server that is at address, and gives the jobs the
// credentials for it.
func (w *world) newBucket(t *testing.T) (b bucket, address string) {
	t.Helper()
	b = bucket{t: t, backend: s3mem.New()}
	if err := b.backend.CreateBucket("states"); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(gofakes3.New(b.backend).Server())
	t.Cleanup(server.Close)
	secret := filepath.Join(w.root, "secret")
	if err := os.WriteFile(secret, []byte(bucketSecret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	w.yaml = fmt.Sprintf("  environment:\n    AWS_ACCESS_KEY_ID: {value: reeve}\n    AWS_SECRET_ACCESS_KEY: {file: %q}\n    AWS_ENDPOINT_URL_S3: {value: %q}\n", secret, server.URL)
	return b, server.URL
}

// onBucket has stack a keep its state, and the state's lock, in a bucket.
func (w *world) onBucket(t *testing.T, module string) bucket {
	t.Helper()
	b, _ := w.newBucket(t)
	backend := `spec:
  backend:
    type: s3
    config: {bucket: states, key: a.tfstate, region: eu-west-1, use_lockfile: "true", use_path_style: "true", skip_credentials_validation: "true",
      skip_region_validation: "true", skip_requesting_account_id: "true", skip_metadata_api_check: "true", skip_s3_checksum: "true"}`
	w.write("modules/counter/main.tf", module, "acme/policies/at-once.yaml", atOnce,
		"acme/dev/a.yaml", strings.Replace(w.stackDocument("a", "one"), "spec:", backend, 1))
	w.commit("state in a bucket")
	return b
}

// objects are the names of what is in the bucket.
func (b bucket) objects() []string {
	b.t.Helper()
	list, err := b.backend.ListBucket("states", nil, gofakes3.ListBucketPage{})
	if err != nil {
		b.t.Fatal(err)
	}
	var names []string
	for _, o := range list.Contents {
		names = append(names, o.Key)
	}
	slices.Sort(names)
	return names
}

func TestAStateInABucketIsAppliedAndDestroyed(t *testing.T) {
	t.Parallel()
	onEveryEngine(t, func(t *testing.T, w *world) {
		b := w.onBucket(t, counter)
		w.start()
		a := w.await(devA, stackjob.Succeeded)
		if got := b.objects(); w.effects("a") != 1 || !slices.Equal(got, []string{"a.tfstate"}) {
			t.Errorf("%d side effects; in the bucket: %q", w.effects("a"), got)
		}
		w.remove("acme/dev/a.yaml")
		w.commit("a is gone")
		w.until("a is destroyed", func() bool {
			j := w.newest(devA)
			if j.State == stackjob.WaitingApply {
				w.approve(w.job(j.ID))
			}
			return j.Action == stackjob.Destroy && j.State.IsFinal()
		})
		if j := w.newest(devA); j.State != stackjob.Succeeded {
			t.Errorf("the destroy: %s (%s)", j.State, j.Reason)
		}
		if log := w.jobLog(a.ID) + w.log.String(); strings.Contains(log, bucketSecret) {
			t.Errorf("the secret is in a log:\n%s", log)
		}
		w.stop()
		w.nothingTold(bucketSecret)
	})
}

// TestTheLockOfAnOwnKilledApplyIsReleasedInABucket is the same as on a state server,
// where the engine itself tells whose lock it met and releases it.
func TestTheLockOfAnOwnKilledApplyIsReleasedInABucket(t *testing.T) {
	t.Parallel()
	onEveryEngine(t, func(t *testing.T, w *world) {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		b := w.onBucket(t, waiting)
		cfg, client, _ := w.killedInApply(ctx, "daemon", "engine", "runner")
		if got := b.objects(); !slices.Contains(got, "a.tfstate.tflock") {
			t.Fatalf("the engine was killed in its apply and left %q", got)
		}
		second := w.daemon(cfg)
		jobs := awaitQuiet(ctx, t, client)
		if jobs[len(jobs)-1].State != stackjob.Interrupted || len(jobs) != 2 || jobs[0].State != stackjob.WaitingApply || jobs[0].Hold == nil {
			t.Fatalf("jobs: %s\nlog:\n%s", summary(jobs), logOf(t, client, jobs[0].ID))
		}
		if got := b.objects(); slices.Contains(got, "a.tfstate.tflock") {
			t.Errorf("the lock is still there: %q", got)
		}
		w.mayEnd()
		fresh, err := client.Job(ctx, jobs[0].ID)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := client.Approve(ctx, api.Answer{Job: fresh.ID, Actor: ada, PlanDigest: fresh.Plan.Digest}); err != nil {
			t.Fatal(err)
		}
		awaitJob(ctx, t, client, func(j stackjob.Job) bool { return j.ID == fresh.ID && j.State == stackjob.Succeeded })
		second.end()
		w.nothingTold(bucketSecret, second)
	})
}
