-- prepare
ALTER TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" ADD COLUMN "weight" bigint NOT NULL DEFAULT 1;
--   undone by: ALTER TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" DROP COLUMN "weight"
CREATE INDEX CONCURRENTLY "rules_by_weight_idx" ON "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" ("scope_key", "weight", "id");
--   undone by: DROP INDEX CONCURRENTLY IF EXISTS "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules_by_weight_idx"
