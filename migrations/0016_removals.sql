-- Removals of extensions are counted at each reading of the registry; other receipts are many.
CREATE INDEX receipts_removals_idx ON rowgate.receipts (began_at) WHERE kind = 'extension';
