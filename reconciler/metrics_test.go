package reconciler

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/reconciler/store"
	"github.com/stackreeve/stackreeve/schema"
)

// countingRecords are empty records that count how often all stacks are read.
type countingRecords struct {
	Records
	reads int
}

func (c *countingRecords) Stacks(context.Context, string) (map[schema.ResourceKey]stackjob.Stack, error) {
	c.reads++
	return nil, nil
}

func (c *countingRecords) List(context.Context, store.JobQuery) ([]stackjob.Job, error) {
	return nil, nil
}

func (c *countingRecords) Move(context.Context, stackjob.JobID, stackjob.Move) (stackjob.Job, error) {
	return stackjob.Job{}, nil
}

func (c *countingRecords) Enqueue(context.Context, store.Enqueue) ([]stackjob.JobID, error) {
	return nil, nil
}

func TestStacksAreCountedOnlyAfterSomethingWasWritten(t *testing.T) {
	t.Parallel()
	records := &countingRecords{}
	r := New(Options{Records: records, Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	for _, step := range []struct {
		name  string
		write func() error
		reads int
	}{
		{"at first", func() error { return nil }, 1},
		{"nothing happened", func() error { return nil }, 1},
		{"a comparison without jobs", func() error { _, err := r.o.Records.Enqueue(t.Context(), store.Enqueue{}); return err }, 1},
		{"a job was made", func() error {
			_, err := r.o.Records.Enqueue(t.Context(), store.Enqueue{Jobs: []stackjob.Job{{}}})
			return err
		}, 2},
		{"nothing happened again", func() error { return nil }, 2},
		{"a job moved", func() error { _, err := r.move(t.Context(), "sj_1", stackjob.Move{}); return err }, 3},
	} {
		if err := step.write(); err != nil {
			t.Fatal(step.name, err)
		}
		if err := r.measureOnce(t.Context()); err != nil {
			t.Fatal(step.name, err)
		}
		if records.reads != step.reads {
			t.Errorf("%s: the stacks were read %d times, expected %d", step.name, records.reads, step.reads)
		}
	}
}
