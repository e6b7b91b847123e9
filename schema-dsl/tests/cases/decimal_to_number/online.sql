-- existing_rows: rows of table `a` have a value in `x` that is no number as declared now
--   hint: change those values first, or keep the type `decimal`
SELECT count(*) OVER () AS "rows", t."id" FROM "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."a" t WHERE (CASE WHEN abs(t."x") > 1e300 OR t."x" <> 0 AND abs(t."x") < 1e-300 THEN true ELSE t."x"::double precision::text::numeric <> t."x" END) IS TRUE ORDER BY t."id" LIMIT 5;
-- existing_rows: rows of table `a` have a value in `x` that the new limits do not allow
--   hint: change those values first, or keep the limits
SELECT count(*) OVER () AS "rows", t."id" FROM "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."a" t WHERE (SELECT ("x" > CAST('-Infinity' AS double precision) AND "x" < CAST('Infinity' AS double precision)) IS FALSE FROM (SELECT CASE WHEN (CASE WHEN abs(t."x") > 1e300 OR t."x" <> 0 AND abs(t."x") < 1e-300 THEN true ELSE t."x"::double precision::text::numeric <> t."x" END) IS FALSE THEN t."x"::double precision END AS "x") AS next) ORDER BY t."id" LIMIT 5;
-- prepare
ALTER TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."a" ADD COLUMN "_new_x" double precision;
CREATE FUNCTION "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."_keep_a_x"() RETURNS trigger LANGUAGE plpgsql AS $rowgate$
BEGIN
    BEGIN
        NEW."_new_x" := NEW."x"::double precision;
    EXCEPTION WHEN data_exception THEN
        NEW."_new_x" := NULL;
    END;
    RETURN NEW;
END
$rowgate$;
CREATE TRIGGER "_keep_a_x" BEFORE INSERT OR UPDATE ON "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."a" FOR EACH ROW EXECUTE FUNCTION "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."_keep_a_x"();
--   undone by: DROP TRIGGER "_keep_a_x" ON "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."a"; DROP FUNCTION "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."_keep_a_x"(); ALTER TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."a" DROP COLUMN "_new_x"
WITH batch AS MATERIALIZED (
    SELECT "scope_key", "id" FROM "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."a" WHERE ("scope_key", "id") > ($1, $2)
    ORDER BY "scope_key", "id" LIMIT 1000
), free AS MATERIALIZED (
    SELECT t."scope_key", t."id" FROM "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."a" t JOIN batch b ON b."scope_key" = t."scope_key" AND b."id" = t."id"
    WHERE t."x" IS NOT NULL AND t."_new_x" IS NULL AND (CASE WHEN abs(t."x") > 1e300 OR t."x" <> 0 AND abs(t."x") < 1e-300 THEN true ELSE t."x"::double precision::text::numeric <> t."x" END) IS FALSE FOR NO KEY UPDATE OF t SKIP LOCKED
), filled AS (
    UPDATE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."a" t SET "_new_x" = t."x"::double precision FROM free f
    WHERE t."scope_key" = f."scope_key" AND t."id" = f."id" RETURNING 1
)
SELECT "scope_key", "id", (SELECT count(*) FROM batch) >= 1000 AS "is_full" FROM batch
ORDER BY "scope_key" DESC, "id" DESC LIMIT 1;
CREATE INDEX CONCURRENTLY "_new_a_by_x_idx" ON "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."a" ("scope_key", "_new_x", "other", "id");
--   undone by: DROP INDEX CONCURRENTLY IF EXISTS "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."_new_a_by_x_idx"
-- swap
LOCK TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."a" IN ACCESS EXCLUSIVE MODE;
SELECT count(*) OVER () AS "rows", t."id" FROM "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."a" t WHERE (CASE WHEN abs(t."x") > 1e300 OR t."x" <> 0 AND abs(t."x") < 1e-300 THEN true ELSE t."x"::double precision::text::numeric <> t."x" END) IS TRUE ORDER BY t."id" LIMIT 5;
DROP TRIGGER "_keep_a_x" ON "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."a";
DROP FUNCTION "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."_keep_a_x"();
ALTER TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."a" DROP COLUMN "x";
ALTER TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."a" RENAME COLUMN "_new_x" TO "x";
ALTER INDEX "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."_new_a_by_x_idx" RENAME TO "a_by_x_idx";
ALTER TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."a" ALTER COLUMN "x" SET NOT NULL;
ALTER TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."a" ADD CONSTRAINT "a_x_check" CHECK ("x" > CAST('-Infinity' AS double precision) AND "x" < CAST('Infinity' AS double precision)) NOT VALID;
-- finish
ALTER TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."a" VALIDATE CONSTRAINT "a_x_check";
