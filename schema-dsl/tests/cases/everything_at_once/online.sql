-- deletes_data: rows of table `rules`, which is no longer declared, would be deleted
--   hint: declare it again, or delete them by `--allow deletes-data:rules`
SELECT count(*) OVER () AS "rows", t."id" FROM "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" t WHERE true ORDER BY t."id" LIMIT 5;
-- deletes_data: rows of table `votes` belong to each `instance` and would belong to nobody
--   hint: keep `instance`, or delete them by `--allow deletes-data:votes`
SELECT count(*) OVER () AS "rows", t."id" FROM "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."votes" t WHERE true ORDER BY t."id" LIMIT 5;
-- deletes_data: rows of table `votes` have a value in `rule`, which is no longer declared; it would be deleted
--   hint: declare it again, or delete them by `--allow deletes-data:votes.rule`
SELECT count(*) OVER () AS "rows", t."id" FROM "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."votes" t WHERE t."rule" IS NOT NULL ORDER BY t."id" LIMIT 5;
-- existing_rows: rows of table `votes` have a value in `user_id` that is no integer as declared now
--   hint: change those values first, or keep the type `string`
SELECT count(*) OVER () AS "rows", t."id" FROM "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."votes" t WHERE (t."user_id" !~ '^(0|-?[1-9][0-9]{0,17})$') IS TRUE ORDER BY t."id" LIMIT 5;
-- existing_rows: rows of table `votes` have no value for the new column `weight`
--   hint: make it optional or give it a default
SELECT count(*) OVER () AS "rows", t."id" FROM "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."votes" t WHERE true ORDER BY t."id" LIMIT 5;
-- prepare
ALTER TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."votes" ADD COLUMN "_new_user_id" bigint;
CREATE FUNCTION "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."_keep_votes_user_id"() RETURNS trigger LANGUAGE plpgsql AS $rowgate$
BEGIN
    BEGIN
        NEW."_new_user_id" := NEW."user_id"::bigint;
    EXCEPTION WHEN data_exception THEN
        NEW."_new_user_id" := NULL;
    END;
    RETURN NEW;
END
$rowgate$;
CREATE TRIGGER "_keep_votes_user_id" BEFORE INSERT OR UPDATE ON "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."votes" FOR EACH ROW EXECUTE FUNCTION "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."_keep_votes_user_id"();
--   undone by: DROP TRIGGER "_keep_votes_user_id" ON "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."votes"; DROP FUNCTION "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."_keep_votes_user_id"(); ALTER TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."votes" DROP COLUMN "_new_user_id"
WITH batch AS MATERIALIZED (
    SELECT "scope_key", "id" FROM "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."votes" WHERE ("scope_key", "id") > ($1, $2)
    ORDER BY "scope_key", "id" LIMIT 1000
), free AS MATERIALIZED (
    SELECT t."scope_key", t."id" FROM "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."votes" t JOIN batch b ON b."scope_key" = t."scope_key" AND b."id" = t."id"
    WHERE t."user_id" IS NOT NULL AND t."_new_user_id" IS NULL AND (t."user_id" !~ '^(0|-?[1-9][0-9]{0,17})$') IS FALSE FOR NO KEY UPDATE OF t SKIP LOCKED
), filled AS (
    UPDATE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."votes" t SET "_new_user_id" = t."user_id"::bigint FROM free f
    WHERE t."scope_key" = f."scope_key" AND t."id" = f."id" RETURNING 1
)
SELECT "scope_key", "id", (SELECT count(*) FROM batch) >= 1000 AS "is_full" FROM batch
ORDER BY "scope_key" DESC, "id" DESC LIMIT 1;
ALTER TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."votes" ADD COLUMN "note" text COLLATE "C";
--   undone by: ALTER TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."votes" DROP COLUMN "note"
-- swap
LOCK TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" IN ACCESS EXCLUSIVE MODE;
SELECT count(*) OVER () AS "rows", t."id" FROM "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" t WHERE true ORDER BY t."id" LIMIT 5;
LOCK TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."votes" IN ACCESS EXCLUSIVE MODE;
SELECT count(*) OVER () AS "rows", t."id" FROM "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."votes" t WHERE true ORDER BY t."id" LIMIT 5;
LOCK TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."votes" IN ACCESS EXCLUSIVE MODE;
SELECT count(*) OVER () AS "rows", t."id" FROM "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."votes" t WHERE t."rule" IS NOT NULL ORDER BY t."id" LIMIT 5;
LOCK TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."votes" IN ACCESS EXCLUSIVE MODE;
SELECT count(*) OVER () AS "rows", t."id" FROM "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."votes" t WHERE (t."user_id" !~ '^(0|-?[1-9][0-9]{0,17})$') IS TRUE ORDER BY t."id" LIMIT 5;
ALTER TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."votes" DROP CONSTRAINT "votes_rule_fkey";
DROP INDEX "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."votes_one_vote_key";
DROP TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules";
ALTER TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."votes" DROP COLUMN "rule";
DROP TRIGGER "_keep_votes_user_id" ON "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."votes";
DROP FUNCTION "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."_keep_votes_user_id"();
ALTER TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."votes" DROP COLUMN "user_id";
ALTER TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."votes" RENAME COLUMN "_new_user_id" TO "user_id";
ALTER TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."votes" ALTER COLUMN "user_id" SET NOT NULL;
ALTER TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."votes" ADD COLUMN "weight" bigint NOT NULL;
