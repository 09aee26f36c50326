-- +goose Up
CREATE TABLE revisions (
    seq         INTEGER PRIMARY KEY AUTOINCREMENT,
    repository  TEXT    NOT NULL,
    commit_hash TEXT    NOT NULL,
    compared_at INTEGER NOT NULL, -- microseconds since 1970, as all times here
    document    TEXT    NOT NULL,
    UNIQUE (repository, commit_hash)
) STRICT;
CREATE INDEX revisions_newest ON revisions (repository, seq);

CREATE TABLE jobs (
    id             TEXT    NOT NULL PRIMARY KEY,
    version        INTEGER NOT NULL, -- grows with every write: compare-and-set
    org            TEXT    NOT NULL,
    env            TEXT    NOT NULL,
    kind           TEXT    NOT NULL,
    name           TEXT    NOT NULL,
    purpose        TEXT    NOT NULL,
    action         TEXT    NOT NULL,
    state          TEXT    NOT NULL,
    desired_digest TEXT    NOT NULL,
    because        TEXT    NOT NULL, -- JSON
    commit_hash    TEXT    NOT NULL,
    created_at     INTEGER NOT NULL,
    ended_at       INTEGER,          -- null while the job is open
    document       TEXT    NOT NULL, -- the job without the large parts of its plan
    plan           TEXT              -- those parts
) STRICT;
-- The law that one job of a stack runs at a time, whatever the code does.
CREATE UNIQUE INDEX jobs_one_running ON jobs (org, env, kind, name) WHERE state IN ('planning', 'applying');
CREATE INDEX jobs_open ON jobs (org, env, kind, name, id) WHERE ended_at IS NULL;
CREATE INDEX jobs_of_stack ON jobs (org, env, kind, name, id);
CREATE INDEX jobs_by_state ON jobs (state, id);
CREATE INDEX jobs_by_commit ON jobs (commit_hash, id);
CREATE INDEX jobs_ended ON jobs (ended_at) WHERE ended_at IS NOT NULL;

-- Which open job waits for which.
CREATE TABLE job_waits (
    job      TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    producer TEXT NOT NULL,
    PRIMARY KEY (job, producer)
) STRICT, WITHOUT ROWID;
CREATE INDEX job_waits_producer ON job_waits (producer);

CREATE TABLE job_events (
    seq      INTEGER PRIMARY KEY AUTOINCREMENT, -- without gaps until pruned
    job      TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    document TEXT NOT NULL
) STRICT;
CREATE INDEX job_events_of_job ON job_events (job, seq);

CREATE TABLE stacks (
    org          TEXT NOT NULL,
    env          TEXT NOT NULL,
    kind         TEXT NOT NULL,
    name         TEXT NOT NULL,
    observed     TEXT, -- JSON; null while nothing is applied
    observed_job TEXT, -- the job that was applied last
    last         TEXT, -- JSON of the newest ended job
    last_job     TEXT,
    PRIMARY KEY (org, env, kind, name)
) STRICT, WITHOUT ROWID;
