-- existing_rows: rows of table `rules` share their values of `score`
--   hint: change or delete all but one of them first
SELECT count(*) OVER () AS "rows", t."id" FROM "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" t WHERE t."id" IN (SELECT s."id" FROM (SELECT o."id", count(*) OVER (PARTITION BY o."scope_key", o."score") AS "same" FROM "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" o WHERE o."scope_key" IS NOT NULL AND o."score" IS NOT NULL) s WHERE s."same" > 1) ORDER BY t."id" LIMIT 5;
-- prepare
CREATE UNIQUE INDEX CONCURRENTLY "rules_one_score_key" ON "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" ("scope_key", "score");
--   undone by: DROP INDEX CONCURRENTLY IF EXISTS "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules_one_score_key"
