-- +goose Up
CREATE TABLE pulls (
    repository TEXT    NOT NULL,
    number     INTEGER NOT NULL,
    version    INTEGER NOT NULL, -- grows with every write: compare-and-set
    phase      TEXT    NOT NULL,
    updated_at INTEGER NOT NULL,
    document   TEXT    NOT NULL,
    PRIMARY KEY (repository, number)
) STRICT, WITHOUT ROWID;
CREATE INDEX pulls_unfinished ON pulls (repository, number) WHERE phase <> 'done';

CREATE TABLE deliveries (
    seq         INTEGER PRIMARY KEY AUTOINCREMENT,
    repository  TEXT    NOT NULL,
    id          TEXT    NOT NULL, -- the forge's
    received_at INTEGER NOT NULL,
    finished_at INTEGER,          -- null while it is in the inbox
    document    TEXT    NOT NULL,
    UNIQUE (repository, id)
) STRICT;
CREATE INDEX deliveries_inbox ON deliveries (seq) WHERE finished_at IS NULL;

-- What people said of plans that no job of a stack holds yet.
CREATE TABLE approvals (
    seq      INTEGER PRIMARY KEY AUTOINCREMENT,
    org      TEXT NOT NULL,
    env      TEXT NOT NULL,
    kind     TEXT NOT NULL,
    name     TEXT NOT NULL,
    digest   TEXT NOT NULL,
    actor    TEXT NOT NULL,
    given_at INTEGER NOT NULL,
    document TEXT NOT NULL,
    UNIQUE (org, env, kind, name, digest, actor)
) STRICT;

-- The pull request that a plan-only job belongs to.
ALTER TABLE jobs ADD COLUMN pull TEXT NOT NULL DEFAULT '';

-- +goose Down
ALTER TABLE jobs DROP COLUMN pull;
DROP TABLE approvals;
DROP TABLE deliveries;
DROP TABLE pulls;
