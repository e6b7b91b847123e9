-- swap
CREATE TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."_rows" ( "table_name" text COLLATE "C" NOT NULL, "scope_key" uuid NOT NULL, "rows" bigint NOT NULL, CONSTRAINT "_rows_pkey" PRIMARY KEY ("table_name", "scope_key") ) WITH (fillfactor = 50);
CREATE FUNCTION "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."_count_rows"() RETURNS trigger LANGUAGE plpgsql AS $rowgate$
DECLARE
    most bigint;
BEGIN
    IF TG_OP = 'INSERT' THEN
        WITH counted AS (
            INSERT INTO "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."_rows" AS c (table_name, scope_key, rows)
            SELECT TG_ARGV[0], n.scope_key, count(*) FROM changed n GROUP BY n.scope_key ORDER BY n.scope_key
            ON CONFLICT (table_name, scope_key) DO UPDATE SET rows = c.rows + excluded.rows
            RETURNING c.rows
        )
        SELECT max(counted.rows) INTO most FROM counted;
        IF most > TG_ARGV[1]::bigint THEN
            RAISE EXCEPTION USING ERRCODE = 'RG507', MESSAGE = 'the quota of rows is spent';
        END IF;
    ELSE
        UPDATE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."_rows" c SET rows = c.rows - gone.rows
        FROM (SELECT o.scope_key, count(*) AS rows FROM changed o GROUP BY o.scope_key) gone
        WHERE c.table_name = TG_ARGV[0] AND c.scope_key = gone.scope_key;
    END IF;
    RETURN NULL;
END
$rowgate$;
CREATE OR REPLACE TRIGGER "_rows_inserted" AFTER INSERT ON "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."votes" REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."_count_rows"('votes', '100000');
CREATE OR REPLACE TRIGGER "_rows_deleted" AFTER DELETE ON "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."votes" REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."_count_rows"('votes');
INSERT INTO "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."_rows" ("table_name", "scope_key", "rows") SELECT 'votes', "scope_key", count(*) FROM "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."votes" GROUP BY "scope_key";
