-- What is set for an install, or for an extension and so for all of its installs: secrets, which the
-- gateway seals under a key that is not here, and plain configuration as JSON text.
CREATE TABLE rowgate.secrets (
    extension_id uuid NOT NULL REFERENCES rowgate.extensions (id) ON DELETE CASCADE,
    install_id uuid REFERENCES rowgate.installs (id) ON DELETE CASCADE,
    name text COLLATE "C" NOT NULL CHECK (octet_length(name) BETWEEN 1 AND 63),
    key_mark bytea NOT NULL,
    sealed bytea NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE NULLS NOT DISTINCT (extension_id, install_id, name)
);
CREATE INDEX secrets_install_id_idx ON rowgate.secrets (install_id);

CREATE TABLE rowgate.config_values (
    extension_id uuid NOT NULL REFERENCES rowgate.extensions (id) ON DELETE CASCADE,
    install_id uuid REFERENCES rowgate.installs (id) ON DELETE CASCADE,
    name text COLLATE "C" NOT NULL CHECK (octet_length(name) BETWEEN 1 AND 63),
    value text NOT NULL CHECK (octet_length(value) <= 65536),
    updated_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE NULLS NOT DISTINCT (extension_id, install_id, name)
);
CREATE INDEX config_values_install_id_idx ON rowgate.config_values (install_id);
