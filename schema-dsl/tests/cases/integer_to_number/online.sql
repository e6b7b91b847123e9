-- existing_rows: rows of table `rules` have a value in `score` that is no number as declared now
--   hint: change those values first, or keep the type `integer`
SELECT count(*) OVER () AS "rows", t."id" FROM "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" t WHERE (t."score" NOT BETWEEN -9007199254740992 AND 9007199254740992) IS TRUE ORDER BY t."id" LIMIT 5;
-- existing_rows: rows of table `rules` have a value in `score` that the new limits do not allow
--   hint: change those values first, or keep the limits
SELECT count(*) OVER () AS "rows", t."id" FROM "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" t WHERE (SELECT ("score" > CAST('-Infinity' AS double precision) AND "score" < CAST('Infinity' AS double precision)) IS FALSE FROM (SELECT CASE WHEN (t."score" NOT BETWEEN -9007199254740992 AND 9007199254740992) IS FALSE THEN t."score"::double precision END AS "score") AS next) ORDER BY t."id" LIMIT 5;
-- prepare
ALTER TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" ADD COLUMN "_new_score" double precision;
CREATE FUNCTION "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."_keep_rules_score"() RETURNS trigger LANGUAGE plpgsql AS $rowgate$
BEGIN
    BEGIN
        NEW."_new_score" := NEW."score"::double precision;
    EXCEPTION WHEN data_exception THEN
        NEW."_new_score" := NULL;
    END;
    RETURN NEW;
END
$rowgate$;
CREATE TRIGGER "_keep_rules_score" BEFORE INSERT OR UPDATE ON "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" FOR EACH ROW EXECUTE FUNCTION "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."_keep_rules_score"();
--   undone by: DROP TRIGGER "_keep_rules_score" ON "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules"; DROP FUNCTION "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."_keep_rules_score"(); ALTER TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" DROP COLUMN "_new_score"
WITH batch AS MATERIALIZED (
    SELECT "scope_key", "id" FROM "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" WHERE ("scope_key", "id") > ($1, $2)
    ORDER BY "scope_key", "id" LIMIT 1000
), free AS MATERIALIZED (
    SELECT t."scope_key", t."id" FROM "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" t JOIN batch b ON b."scope_key" = t."scope_key" AND b."id" = t."id"
    WHERE t."score" IS NOT NULL AND t."_new_score" IS NULL AND (t."score" NOT BETWEEN -9007199254740992 AND 9007199254740992) IS FALSE FOR NO KEY UPDATE OF t SKIP LOCKED
), filled AS (
    UPDATE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" t SET "_new_score" = t."score"::double precision FROM free f
    WHERE t."scope_key" = f."scope_key" AND t."id" = f."id" RETURNING 1
)
SELECT "scope_key", "id", (SELECT count(*) FROM batch) >= 1000 AS "is_full" FROM batch
ORDER BY "scope_key" DESC, "id" DESC LIMIT 1;
CREATE INDEX CONCURRENTLY "_new_rules_by_score_idx" ON "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" ("scope_key", "_new_score", "id");
--   undone by: DROP INDEX CONCURRENTLY IF EXISTS "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."_new_rules_by_score_idx"
-- swap
LOCK TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" IN ACCESS EXCLUSIVE MODE;
SELECT count(*) OVER () AS "rows", t."id" FROM "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" t WHERE (t."score" NOT BETWEEN -9007199254740992 AND 9007199254740992) IS TRUE ORDER BY t."id" LIMIT 5;
DROP TRIGGER "_keep_rules_score" ON "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules";
DROP FUNCTION "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."_keep_rules_score"();
ALTER TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" DROP COLUMN "score";
ALTER TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" RENAME COLUMN "_new_score" TO "score";
ALTER INDEX "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."_new_rules_by_score_idx" RENAME TO "rules_by_score_idx";
ALTER TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" ALTER COLUMN "score" SET DEFAULT CAST('0.0' AS double precision);
ALTER TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" ALTER COLUMN "score" SET NOT NULL;
ALTER TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" ADD CONSTRAINT "rules_score_check" CHECK ("score" > CAST('-Infinity' AS double precision) AND "score" < CAST('Infinity' AS double precision)) NOT VALID;
-- finish
ALTER TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" VALIDATE CONSTRAINT "rules_score_check";
