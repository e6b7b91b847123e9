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
ALTER TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."votes" ALTER COLUMN "user_id" TYPE bigint USING "user_id"::bigint;
ALTER TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."votes" ADD COLUMN "weight" bigint NOT NULL;
ALTER TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."votes" ADD COLUMN "note" text COLLATE "C";
