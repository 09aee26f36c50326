-- +goose Up
-- The turns that an operator ended, and why.
CREATE TABLE releases (
    seq         INTEGER PRIMARY KEY AUTOINCREMENT,
    org         TEXT    NOT NULL,
    env         TEXT    NOT NULL,
    kind        TEXT    NOT NULL,
    name        TEXT    NOT NULL,
    released_at INTEGER NOT NULL,
    document    TEXT    NOT NULL
) STRICT;
CREATE INDEX releases_of_stack ON releases (org, env, kind, name, seq);

-- +goose Down
DROP TABLE releases;
