-- What was asked, second by second: what limits are simulated over. A row for each gateway and minute.
CREATE TABLE rowgate.limit_traffic (
    began_at timestamptz NOT NULL,
    id uuid NOT NULL,
    body bytea NOT NULL,
    PRIMARY KEY (began_at, id)
);
