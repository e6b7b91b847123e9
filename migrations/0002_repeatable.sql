-- What lets a call be gone on from, and repeated.

-- Cursors are sealed with it by every gateway of the database. Two random UUIDs are 244 random bits
-- from the server's own strong source.
ALTER TABLE rowgate.settings
    ADD COLUMN cursor_key bytea NOT NULL
    DEFAULT uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())
    CHECK (octet_length(cursor_key) = 32);
