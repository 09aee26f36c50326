package storetest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/reconciler/store"
)

var upkeepTests = []namedTest{
	{"OldJobsAreForgottenWithTheirEvents", func(t *testing.T, s *subject) {
		var ended []stackjob.JobID
		for i := range 5 {
			ended = append(ended, s.failed(s.enqueued("net", fmt.Sprint(i)).ID).ID)
			s.now = s.now.Add(time.Hour)
		}
		open := s.enqueued("net", "open")
		n, err := s.Prune(s.ctx(), store.PruneOptions{OlderThan: s.now, KeepPerStack: 2})
		s.equal("error", err, nil)
		s.equal("pruned", n, store.Pruned{Jobs: 3, Events: 9})
		s.equal("jobs", s.list(store.JobQuery{}), []stackjob.JobID{open.ID, ended[4], ended[3]})
		for _, ev := range s.events("") {
			if ev.Job == ended[0] || ev.Job == ended[1] || ev.Job == ended[2] {
				t.Errorf("event %d of a forgotten job is there", ev.Seq)
			}
		}
	}},
	{"YoungJobsAreKept", func(t *testing.T, s *subject) {
		j := s.failed(s.enqueued("net", "1").ID)
		s.failed(s.enqueued("net", "2").ID)
		n, err := s.Prune(s.ctx(), store.PruneOptions{OlderThan: s.now})
		s.equal("error", err, nil)
		s.equal("pruned", n, store.Pruned{})
		n, err = s.Prune(s.ctx(), store.PruneOptions{})
		s.equal("error", err, nil)
		s.equal("without a time", n, store.Pruned{})
		s.get(j.ID)
	}},
	{"WhatAStackNamesIsKept", func(t *testing.T, s *subject) {
		applied := s.succeeded(s.enqueued("net", "1").ID)
		between := s.failed(s.enqueued("net", "2").ID)
		last := s.failed(s.enqueued("net", "3").ID)
		n, err := s.Prune(s.ctx(), store.PruneOptions{OlderThan: s.now.Add(time.Hour)})
		s.equal("error", err, nil)
		s.equal("pruned", n.Jobs, 1)
		s.equal("jobs", s.list(store.JobQuery{}), []stackjob.JobID{last.ID, applied.ID})
		if _, err := s.Job(s.ctx(), between.ID); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("the one between: %v", err)
		}
	}},
	{"OldRevisionsAreForgottenButForTheNewest", func(t *testing.T, s *subject) {
		for _, r := range []store.RevisionRecord{{Repository: "a", Commit: "1"}, {Repository: "a", Commit: "2"}, {Repository: "b", Commit: "3"}} {
			r.ComparedAt = s.now
			if err := s.RecordRevision(s.ctx(), r); err != nil {
				t.Fatal(err)
			}
		}
		n, err := s.Prune(s.ctx(), store.PruneOptions{OlderThan: s.now.Add(time.Hour)})
		s.equal("error", err, nil)
		s.equal("pruned", n, store.Pruned{Revisions: 1})
		for repository, commit := range map[string]string{"a": "2", "b": "3"} {
			r, err := s.LastRevision(s.ctx(), repository)
			s.equal("error", err, nil)
			s.equal(repository, r.Commit, commit)
		}
	}},
	{"ManyJobsAreForgottenInOneCall", func(t *testing.T, s *subject) {
		const n = 1201 // more than two batches
		var jobs []stackjob.Job
		for i := range n {
			jobs = append(jobs, s.job(fmt.Sprintf("n%d", i), "1"))
		}
		s.enqueue(jobs...)
		var all []stackjob.JobID
		for _, j := range jobs {
			all = append(all, j.ID)
		}
		if _, err := s.Enqueue(s.ctx(), store.Enqueue{Supersede: all}); err != nil {
			t.Fatal(err)
		}
		got, err := s.Prune(s.ctx(), store.PruneOptions{OlderThan: s.now.Add(time.Hour)})
		s.equal("error", err, nil)
		s.equal("pruned", got, store.Pruned{Jobs: n, Events: 2 * n})
	}},
	{"ABackupNeedsANewFile", func(t *testing.T, s *subject) {
		s.enqueued("net", "1")
		path := filepath.Join(t.TempDir(), "copy")
		if err := s.Backup(s.ctx(), path); err != nil {
			t.Fatal(err)
		}
		fi, err := os.Stat(path)
		if err != nil || fi.Size() == 0 || fi.Mode().Perm() != 0o600 {
			t.Errorf("the copy: %v, %v", fi, err)
		}
		if err := s.Backup(s.ctx(), path); !errors.Is(err, os.ErrExist) {
			t.Errorf("over an old copy: %v", err)
		}
	}},
}
