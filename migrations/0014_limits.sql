-- Rate limits that operators change while the gateway runs.
ALTER TABLE rowgate.installs ADD COLUMN plan text CHECK (char_length(plan) BETWEEN 1 AND 63);

-- What an operator says of the calls that meet every condition that is not null.
CREATE TABLE rowgate.limit_overrides (
    layer text NOT NULL CHECK (layer IN ('caller', 'function', 'install', 'extension')),
    class text CHECK (class IN ('query_rows', 'write_rows', 'query', 'mutation', 'action')),
    install_id uuid REFERENCES rowgate.installs (id) ON DELETE CASCADE,
    extension_id uuid REFERENCES rowgate.extensions (id) ON DELETE CASCADE,
    function text,
    plan text,
    caller text CHECK (caller IN ('token', 'key', 'anonymous')),
    per_minute bigint CHECK (per_minute BETWEEN 0 AND 4294967295),
    burst bigint CHECK (burst BETWEEN 1 AND 4294967295),
    mode text CHECK (mode IN ('enforce', 'shadow', 'off')),
    changed_at timestamptz NOT NULL DEFAULT now(),
    -- The operator's key by its name.
    changed_by text NOT NULL,
    UNIQUE NULLS NOT DISTINCT (layer, class, install_id, extension_id, function, plan, caller),
    CHECK (per_minute IS NOT NULL OR mode IS NOT NULL),
    CHECK (burst IS NULL OR per_minute IS NOT NULL)
);
CREATE INDEX limit_overrides_install_id_idx ON rowgate.limit_overrides (install_id);
CREATE INDEX limit_overrides_extension_id_idx ON rowgate.limit_overrides (extension_id);

-- Who changed what and when. They outlive what they tell of, so nothing is referred to.
CREATE TABLE rowgate.limit_changes (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    changed_at timestamptz NOT NULL DEFAULT now(),
    changed_by text NOT NULL,
    -- An override as it was and as it became, or the plan of an install.
    before jsonb,
    after jsonb
);
