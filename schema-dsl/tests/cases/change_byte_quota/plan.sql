-- swap
CREATE OR REPLACE FUNCTION "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."_count_bytes"() RETURNS trigger LANGUAGE plpgsql AS $rowgate$
DECLARE
    _changes refcursor;
    _scope uuid;
    _more bigint;
    _own constant integer := pg_backend_pid() % 16;
BEGIN
    IF TG_OP = 'INSERT' THEN
        OPEN _changes FOR
            SELECT _row.scope_key, sum(octet_length(record_send(_row))) FROM came _row
            GROUP BY _row.scope_key ORDER BY _row.scope_key;
    ELSIF TG_OP = 'DELETE' THEN
        OPEN _changes FOR
            SELECT _row.scope_key, -sum(octet_length(record_send(_row))) FROM gone _row
            GROUP BY _row.scope_key ORDER BY _row.scope_key;
    ELSE
        OPEN _changes FOR
            SELECT _row.scope_key, sum(_row._bytes) FROM (
                SELECT _new.scope_key, octet_length(record_send(_new)) AS _bytes FROM came _new
                UNION ALL SELECT _old.scope_key, -octet_length(record_send(_old)) FROM gone _old
            ) _row
            GROUP BY _row.scope_key HAVING sum(_row._bytes) <> 0 ORDER BY _row.scope_key;
    END IF;
    LOOP
        FETCH _changes INTO _scope, _more;
        EXIT WHEN NOT FOUND;
        INSERT INTO "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."_bytes" AS c (scope_key, storage, stripe, bytes) VALUES (_scope, TG_ARGV[0], _own, _more)
        ON CONFLICT (scope_key, storage, stripe) DO UPDATE SET bytes = c.bytes + excluded.bytes;
        -- A statement of its own, so that it sees what was committed while the one before waited.
        IF _more > 0 AND (
            SELECT sum(c.bytes) FROM "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."_bytes" c WHERE c.scope_key = _scope AND c.storage = TG_ARGV[0]
        ) > 2000000 THEN
            RAISE EXCEPTION USING ERRCODE = 'RG508', MESSAGE = 'the quota of bytes is spent';
        END IF;
    END LOOP;
    CLOSE _changes;
    RETURN NULL;
END
$rowgate$;
