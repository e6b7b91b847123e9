-- Answers of writes that their callers named by a key, so that a repeated call is answered and not
-- done again. Written in the transaction of the write.

CREATE TABLE rowgate.kept_answers (
    -- SHA-256 over the install, the caller, the function and the caller's key.
    key bytea PRIMARY KEY CHECK (octet_length(key) = 32),
    -- SHA-256 over what was asked: the same key asks for the same.
    payload bytea NOT NULL CHECK (octet_length(payload) = 32),
    answer bytea NOT NULL,
    expires_at timestamptz NOT NULL
);
CREATE INDEX kept_answers_expires_at_idx ON rowgate.kept_answers (expires_at);
