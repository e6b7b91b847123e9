-- existing_rows: rows of table `a` have a value in `x` that the new limits do not allow
--   hint: change those values first, or keep the limits
SELECT count(*) OVER () AS "rows", t."id" FROM "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."a" t WHERE (SELECT ("x" > CAST('-Infinity' AS numeric) AND "x" < CAST('Infinity' AS numeric)) IS FALSE FROM (SELECT (t."x"::numeric) AS "x") AS next) ORDER BY t."id" LIMIT 5;
-- prepare
ALTER TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."a" ADD COLUMN "_new_x" numeric;
INSERT INTO "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."_bytes" AS c ("scope_key", "storage", "stripe", "bytes") SELECT _row."scope_key", 'instance', 0, sum(octet_length(record_send(ROW(_row."_new_x"))) - 4) FROM "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."a" _row GROUP BY _row."scope_key" ON CONFLICT ("scope_key", "storage", "stripe") DO UPDATE SET "bytes" = c."bytes" + excluded."bytes";
CREATE FUNCTION "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."_keep_a_x"() RETURNS trigger LANGUAGE plpgsql AS $rowgate$
BEGIN
    BEGIN
        NEW."_new_x" := NEW."x"::numeric;
    EXCEPTION WHEN data_exception THEN
        NEW."_new_x" := NULL;
    END;
    RETURN NEW;
END
$rowgate$;
CREATE TRIGGER "_keep_a_x" BEFORE INSERT OR UPDATE ON "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."a" FOR EACH ROW EXECUTE FUNCTION "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."_keep_a_x"();
--   undone by: DROP TRIGGER "_keep_a_x" ON "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."a"; DROP FUNCTION "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."_keep_a_x"(); INSERT INTO "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."_bytes" AS c ("scope_key", "storage", "stripe", "bytes") SELECT _row."scope_key", 'instance', 0, sum(4 - octet_length(record_send(ROW(_row."_new_x")))) FROM "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."a" _row GROUP BY _row."scope_key" ON CONFLICT ("scope_key", "storage", "stripe") DO UPDATE SET "bytes" = c."bytes" + excluded."bytes"; ALTER TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."a" DROP COLUMN "_new_x"
WITH batch AS MATERIALIZED (
    SELECT "scope_key", "id" FROM "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."a" WHERE ("scope_key", "id") > ($1, $2)
    ORDER BY "scope_key", "id" LIMIT 1000
), free AS MATERIALIZED (
    SELECT t."scope_key", t."id" FROM "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."a" t JOIN batch b ON b."scope_key" = t."scope_key" AND b."id" = t."id"
    WHERE t."x" IS NOT NULL AND t."_new_x" IS NULL FOR NO KEY UPDATE OF t SKIP LOCKED
), filled AS (
    UPDATE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."a" t SET "_new_x" = t."x"::numeric FROM free f
    WHERE t."scope_key" = f."scope_key" AND t."id" = f."id" RETURNING 1
)
SELECT "scope_key", "id", (SELECT count(*) FROM batch) >= 1000 AS "is_full" FROM batch
ORDER BY "scope_key" DESC, "id" DESC LIMIT 1;
-- swap
DROP TRIGGER "_keep_a_x" ON "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."a";
DROP FUNCTION "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."_keep_a_x"();
INSERT INTO "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."_bytes" AS c ("scope_key", "storage", "stripe", "bytes") SELECT _row."scope_key", 'instance', 0, sum(4 - octet_length(record_send(ROW(_row."x")))) FROM "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."a" _row GROUP BY _row."scope_key" ON CONFLICT ("scope_key", "storage", "stripe") DO UPDATE SET "bytes" = c."bytes" + excluded."bytes";
ALTER TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."a" DROP COLUMN "x";
ALTER TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."a" RENAME COLUMN "_new_x" TO "x";
ALTER TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."a" ALTER COLUMN "x" SET NOT NULL;
ALTER TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."a" ADD CONSTRAINT "a_x_check" CHECK ("x" > CAST('-Infinity' AS numeric) AND "x" < CAST('Infinity' AS numeric)) NOT VALID;
-- finish
ALTER TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."a" VALIDATE CONSTRAINT "a_x_check";
