-- swap
CREATE SCHEMA "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11";
CREATE TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."notes" ( "scope_key" uuid NOT NULL, "id" uuid NOT NULL, "text" text COLLATE "C" NOT NULL, "created_at" timestamp with time zone NOT NULL DEFAULT CURRENT_TIMESTAMP, "updated_at" timestamp with time zone NOT NULL DEFAULT CURRENT_TIMESTAMP, "version" bigint NOT NULL DEFAULT 1, CONSTRAINT "notes_pkey" PRIMARY KEY ("scope_key", "id") );
CREATE TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" ( "scope_key" uuid NOT NULL, "id" uuid NOT NULL, "text" text COLLATE "C" NOT NULL CONSTRAINT "rules_text_check" CHECK (CHAR_LENGTH("text") <= 280), "score" bigint NOT NULL DEFAULT 0, "owner_id" text COLLATE "C" NOT NULL, "created_at" timestamp with time zone NOT NULL DEFAULT CURRENT_TIMESTAMP, "updated_at" timestamp with time zone NOT NULL DEFAULT CURRENT_TIMESTAMP, "version" bigint NOT NULL DEFAULT 1, CONSTRAINT "rules_pkey" PRIMARY KEY ("scope_key", "id") );
CREATE TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."votes" ( "scope_key" uuid NOT NULL, "id" uuid NOT NULL, "rule" uuid NOT NULL, "created_at" timestamp with time zone NOT NULL DEFAULT CURRENT_TIMESTAMP, "updated_at" timestamp with time zone NOT NULL DEFAULT CURRENT_TIMESTAMP, "version" bigint NOT NULL DEFAULT 1, CONSTRAINT "votes_pkey" PRIMARY KEY ("scope_key", "id") );
CREATE INDEX "rules_owner_id_ref" ON "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" ("scope_key", "owner_id", "id");
CREATE INDEX "votes_rule_ref" ON "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."votes" ("scope_key", "rule");
ALTER TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."votes" ADD CONSTRAINT "votes_rule_fkey" FOREIGN KEY ("scope_key", "rule") REFERENCES "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" ("scope_key", "id") ON DELETE CASCADE;
CREATE TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."_bytes" ( "scope_key" uuid NOT NULL, "storage" text COLLATE "C" NOT NULL, "stripe" integer NOT NULL, "bytes" bigint NOT NULL, CONSTRAINT "_bytes_pkey" PRIMARY KEY ("scope_key", "storage", "stripe") ) WITH (fillfactor = 50);
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
        ) > 1000000 THEN
            RAISE EXCEPTION USING ERRCODE = 'RG508', MESSAGE = 'the quota of bytes is spent';
        END IF;
    END LOOP;
    CLOSE _changes;
    RETURN NULL;
END
$rowgate$;
CREATE TRIGGER "_bytes_inserted" AFTER INSERT ON "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."notes" REFERENCING NEW TABLE AS came FOR EACH STATEMENT EXECUTE FUNCTION "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."_count_bytes"('account');
CREATE TRIGGER "_bytes_updated" AFTER UPDATE ON "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."notes" REFERENCING OLD TABLE AS gone NEW TABLE AS came FOR EACH STATEMENT EXECUTE FUNCTION "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."_count_bytes"('account');
CREATE TRIGGER "_bytes_deleted" AFTER DELETE ON "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."notes" REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."_count_bytes"('account');
CREATE TRIGGER "_bytes_inserted" AFTER INSERT ON "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" REFERENCING NEW TABLE AS came FOR EACH STATEMENT EXECUTE FUNCTION "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."_count_bytes"('instance');
CREATE TRIGGER "_bytes_updated" AFTER UPDATE ON "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" REFERENCING OLD TABLE AS gone NEW TABLE AS came FOR EACH STATEMENT EXECUTE FUNCTION "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."_count_bytes"('instance');
CREATE TRIGGER "_bytes_deleted" AFTER DELETE ON "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."_count_bytes"('instance');
CREATE TRIGGER "_bytes_inserted" AFTER INSERT ON "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."votes" REFERENCING NEW TABLE AS came FOR EACH STATEMENT EXECUTE FUNCTION "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."_count_bytes"('instance');
CREATE TRIGGER "_bytes_updated" AFTER UPDATE ON "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."votes" REFERENCING OLD TABLE AS gone NEW TABLE AS came FOR EACH STATEMENT EXECUTE FUNCTION "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."_count_bytes"('instance');
CREATE TRIGGER "_bytes_deleted" AFTER DELETE ON "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."votes" REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."_count_bytes"('instance');
