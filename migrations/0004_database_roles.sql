-- The database role that an extension's statements run as; none where it was deployed before there
-- were such roles, until it is deployed again.
ALTER TABLE rowgate.extensions ADD COLUMN database_role text;
