-- deletes_data: rows of table `rules` have a value in `score`, which is no longer declared; it would be deleted
--   hint: declare it again, or delete them by `--allow deletes-data:rules.score`
SELECT count(*) OVER () AS "rows", t."id" FROM "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" t WHERE t."score" IS NOT NULL ORDER BY t."id" LIMIT 5;
-- swap
LOCK TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" IN ACCESS EXCLUSIVE MODE;
SELECT count(*) OVER () AS "rows", t."id" FROM "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" t WHERE t."score" IS NOT NULL ORDER BY t."id" LIMIT 5;
DROP INDEX "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules_by_score_idx";
ALTER TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" DROP COLUMN "score";
