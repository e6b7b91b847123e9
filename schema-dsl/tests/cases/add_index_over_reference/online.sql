-- existing_rows: rows of table `votes` share their values of `rule`, `user_id`
--   hint: change or delete all but one of them first
SELECT count(*) OVER () AS "rows", t."id" FROM "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."votes" t WHERE t."id" IN (SELECT s."id" FROM (SELECT o."id", count(*) OVER (PARTITION BY o."scope_key", o."rule", o."user_id") AS "same" FROM "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."votes" o WHERE o."scope_key" IS NOT NULL AND o."rule" IS NOT NULL AND o."user_id" IS NOT NULL) s WHERE s."same" > 1) ORDER BY t."id" LIMIT 5;
-- prepare
CREATE UNIQUE INDEX CONCURRENTLY "votes_one_vote_key" ON "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."votes" ("scope_key", "rule", "user_id");
--   undone by: DROP INDEX CONCURRENTLY IF EXISTS "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."votes_one_vote_key"
-- swap
DROP INDEX "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."votes_rule_ref";
