-- The gateway's own tables: which extensions are deployed, who installed them, who may call.
-- Every name is qualified, so no search_path matters. Hashes alone are kept of keys.

CREATE TABLE rowgate.extensions (
    id uuid PRIMARY KEY,
    name text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    revision bigint NOT NULL CHECK (revision >= 1)
);

-- Every definition that was ever deployed, and the statements that led to it. `json` and not
-- `jsonb`: the order of columns is the author's, and rows are answered in it.
CREATE TABLE rowgate.revisions (
    extension_id uuid NOT NULL REFERENCES rowgate.extensions (id) ON DELETE CASCADE,
    revision bigint NOT NULL CHECK (revision >= 1),
    definition json NOT NULL,
    definition_sha256 bytea NOT NULL CHECK (octet_length(definition_sha256) = 32),
    statements text[] NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (extension_id, revision)
);

ALTER TABLE rowgate.extensions
    ADD FOREIGN KEY (id, revision) REFERENCES rowgate.revisions (extension_id, revision)
    DEFERRABLE INITIALLY DEFERRED;

CREATE TABLE rowgate.installs (
    id uuid PRIMARY KEY,
    extension_id uuid NOT NULL REFERENCES rowgate.extensions (id) ON DELETE CASCADE,
    account_id uuid NOT NULL,
    overlay_id uuid,
    created_at timestamptz NOT NULL DEFAULT now(),
    disabled_at timestamptz
);
CREATE INDEX installs_extension_id_idx ON rowgate.installs (extension_id);

CREATE TABLE rowgate.api_keys (
    id uuid PRIMARY KEY,
    hash bytea NOT NULL UNIQUE CHECK (octet_length(hash) = 32),
    install_id uuid NOT NULL REFERENCES rowgate.installs (id) ON DELETE CASCADE,
    role text NOT NULL CHECK (role IN ('anonymous', 'viewer', 'editor', 'owner')),
    name text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz,
    revoked_at timestamptz
);
CREATE INDEX api_keys_install_id_idx ON rowgate.api_keys (install_id);

CREATE TABLE rowgate.admin_keys (
    id uuid PRIMARY KEY,
    hash bytea NOT NULL UNIQUE CHECK (octet_length(hash) = 32),
    name text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz,
    revoked_at timestamptz
);

-- One row: what the whole fleet shares.
CREATE TABLE rowgate.settings (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    fleet_id uuid NOT NULL DEFAULT gen_random_uuid(),
    created_at timestamptz NOT NULL DEFAULT now()
);
INSERT INTO rowgate.settings DEFAULT VALUES;
