-- swap
CREATE SCHEMA "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11";
CREATE TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" ( "scope_key" uuid NOT NULL, "id" uuid NOT NULL, "text" text COLLATE "C" NOT NULL CONSTRAINT "rules_text_check" CHECK (CHAR_LENGTH("text") <= 280), "created_at" timestamp with time zone NOT NULL DEFAULT CURRENT_TIMESTAMP, "updated_at" timestamp with time zone NOT NULL DEFAULT CURRENT_TIMESTAMP, "version" bigint NOT NULL DEFAULT 1, CONSTRAINT "rules_pkey" PRIMARY KEY ("scope_key", "id") );
CREATE TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."votes" ( "scope_key" uuid NOT NULL, "id" uuid NOT NULL, "rule" uuid NOT NULL, "created_at" timestamp with time zone NOT NULL DEFAULT CURRENT_TIMESTAMP, "updated_at" timestamp with time zone NOT NULL DEFAULT CURRENT_TIMESTAMP, "version" bigint NOT NULL DEFAULT 1, CONSTRAINT "votes_pkey" PRIMARY KEY ("scope_key", "id") );
CREATE INDEX "votes_rule_ref" ON "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."votes" ("scope_key", "rule");
ALTER TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."votes" ADD CONSTRAINT "votes_rule_fkey" FOREIGN KEY ("scope_key", "rule") REFERENCES "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" ("scope_key", "id") ON DELETE CASCADE;
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
CREATE OR REPLACE TRIGGER "_rows_inserted" AFTER INSERT ON "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."_count_rows"('rules', '1000');
CREATE OR REPLACE TRIGGER "_rows_deleted" AFTER DELETE ON "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."_count_rows"('rules');
CREATE OR REPLACE TRIGGER "_rows_inserted" AFTER INSERT ON "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."votes" REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."_count_rows"('votes', '100000');
CREATE OR REPLACE TRIGGER "_rows_deleted" AFTER DELETE ON "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."votes" REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."_count_rows"('votes');
