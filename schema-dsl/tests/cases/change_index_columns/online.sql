-- prepare
CREATE INDEX CONCURRENTLY "_new_rules_by_score_idx" ON "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" ("scope_key", "score", "text", "id");
--   undone by: DROP INDEX CONCURRENTLY IF EXISTS "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."_new_rules_by_score_idx"
-- swap
DROP INDEX "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules_one_text_key";
DROP INDEX "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules_by_score_idx";
ALTER INDEX "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."_new_rules_by_score_idx" RENAME TO "rules_by_score_idx";
