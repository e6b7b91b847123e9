-- Lines that handlers logged, and how those that failed did; the latest of each install.

CREATE TABLE rowgate.handler_lines (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    install_id uuid NOT NULL,
    at timestamptz NOT NULL,
    -- As the caller was told it; none where no request came.
    request_id text,
    function text NOT NULL,
    level text NOT NULL CHECK (level IN ('info', 'warn', 'error')),
    file text,
    line int4,
    message text NOT NULL,
    -- JSON text, cut where it is long.
    attributes text
);
CREATE INDEX handler_lines_install_id_idx ON rowgate.handler_lines (install_id, id);
