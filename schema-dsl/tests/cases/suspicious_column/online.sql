-- deletes_data: rows of table `rules` have a value in `text`, which is no longer declared; it would be deleted
--   hint: if it is called `body` now, say `:renamedFrom("text")` there; if not, delete them by `--allow deletes-data:rules.text`
SELECT count(*) OVER () AS "rows", t."id" FROM "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" t WHERE t."text" IS NOT NULL ORDER BY t."id" LIMIT 5;
-- prepare
ALTER TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" ADD COLUMN "body" text COLLATE "C";
--   undone by: ALTER TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" DROP COLUMN "body"
-- swap
LOCK TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" IN ACCESS EXCLUSIVE MODE;
SELECT count(*) OVER () AS "rows", t."id" FROM "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" t WHERE t."text" IS NOT NULL ORDER BY t."id" LIMIT 5;
DROP INDEX "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules_one_text_key";
ALTER TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" DROP COLUMN "text";
