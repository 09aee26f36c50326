-- +goose Up
-- The pull requests that want to apply to a stack before they are merged, in the order
-- in which they asked; the first one of a stack has its turn.
CREATE TABLE turns (
    seq        INTEGER PRIMARY KEY AUTOINCREMENT,
    org        TEXT    NOT NULL,
    env        TEXT    NOT NULL,
    kind       TEXT    NOT NULL,
    name       TEXT    NOT NULL,
    repository TEXT    NOT NULL,
    number     INTEGER NOT NULL,
    document   TEXT    NOT NULL,
    UNIQUE (org, env, kind, name, repository, number)
) STRICT;

-- +goose Down
DROP TABLE turns;
