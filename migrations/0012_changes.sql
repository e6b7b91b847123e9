-- The change of an extension's tables that is under way: one that could not be made in one transaction.
-- Each step and the count of those done are committed together, so that whoever comes after a gateway
-- that was killed goes on where it stopped, or takes back what was prepared.
CREATE TABLE rowgate.changes (
    extension_id uuid PRIMARY KEY REFERENCES rowgate.extensions (id) ON DELETE CASCADE,
    definition_sha256 bytea NOT NULL CHECK (octet_length(definition_sha256) = 32),
    -- What was allowed by name: the steps are made from it.
    allowed text[] NOT NULL,
    steps json NOT NULL,
    done integer NOT NULL DEFAULT 0 CHECK (done >= 0),
    -- Whether the new revision is deployed already.
    swapped boolean NOT NULL DEFAULT false,
    started_at timestamptz NOT NULL DEFAULT now()
);
