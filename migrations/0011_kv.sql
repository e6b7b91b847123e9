-- The store of each install: JSON text by key, with a version that grows by one at each write.
CREATE TABLE rowgate.kv (
    install_id uuid NOT NULL REFERENCES rowgate.installs (id) ON DELETE CASCADE,
    key text COLLATE "C" NOT NULL CHECK (octet_length(key) BETWEEN 1 AND 512),
    value text NOT NULL CHECK (octet_length(value) <= 65536),
    version bigint NOT NULL,
    PRIMARY KEY (install_id, key)
);
