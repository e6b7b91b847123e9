-- The life of an install: uninstalled and kept for a while, erased with a receipt, pinned to a revision.
ALTER TABLE rowgate.installs
    ADD COLUMN uninstalled_at timestamptz,
    -- The operator's key by its name.
    ADD COLUMN uninstalled_by text,
    -- From then on its rows may go.
    ADD COLUMN erase_at timestamptz,
    -- They have begun to go, and it cannot come back.
    ADD COLUMN erasing_at timestamptz,
    -- The revision its calls run, where that is not the extension's current one.
    ADD COLUMN pinned_revision bigint,
    ADD CHECK ((uninstalled_at IS NULL) = (erase_at IS NULL)),
    ADD CHECK (erasing_at IS NULL OR uninstalled_at IS NOT NULL),
    ADD FOREIGN KEY (extension_id, pinned_revision) REFERENCES rowgate.revisions (extension_id, revision);
CREATE INDEX installs_erase_at_idx ON rowgate.installs (erase_at) WHERE erase_at IS NOT NULL;
CREATE INDEX installs_pinned_revision_idx ON rowgate.installs (extension_id, pinned_revision)
    WHERE pinned_revision IS NOT NULL;

-- So that they go with their install; those from before are kept for no longer than their time.
ALTER TABLE rowgate.kept_answers ADD COLUMN install_id uuid;
CREATE INDEX kept_answers_install_id_idx ON rowgate.kept_answers (install_id);

-- What was erased, for whom and by whom. They outlive what they tell of, so nothing is referred to.
CREATE TABLE rowgate.receipts (
    id uuid PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('install', 'user', 'extension')),
    extension_id uuid NOT NULL,
    extension_name text NOT NULL,
    install_id uuid,
    account_id uuid,
    overlay_id uuid,
    -- SHA-256 of the user's id: who asks by the id finds the receipt, and it names nobody.
    user_sha256 bytea CHECK (octet_length(user_sha256) = 32),
    asked_by text NOT NULL,
    asked_at timestamptz NOT NULL DEFAULT now(),
    began_at timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz,
    -- Looked through once more, when no gateway could still have written for the install.
    settled_at timestamptz,
    -- How many rows went, by table.
    rows jsonb NOT NULL DEFAULT '{}',
    -- How many of the gateway's own went, by what they are.
    own jsonb NOT NULL DEFAULT '{}',
    -- Storage that others share, and that stays for them.
    shared text[] NOT NULL DEFAULT '{}'
);
CREATE INDEX receipts_install_id_idx ON rowgate.receipts (install_id);
CREATE INDEX receipts_extension_id_idx ON rowgate.receipts (extension_id);
CREATE INDEX receipts_unsettled_idx ON rowgate.receipts (began_at) WHERE settled_at IS NULL;
