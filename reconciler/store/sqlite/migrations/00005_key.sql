-- +goose Up
-- The public half of the key that these records are sealed and hashed with.
CREATE TABLE sealing_key (
    id        INTEGER PRIMARY KEY CHECK (id = 1),
    recipient TEXT    NOT NULL
) STRICT;

-- +goose Down
DROP TABLE sealing_key;
