-- prepare
CREATE INDEX CONCURRENTLY "rules_by_owner_idx" ON "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" ("scope_key", "owner_id", "id");
--   undone by: DROP INDEX CONCURRENTLY IF EXISTS "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules_by_owner_idx"
-- swap
DROP INDEX "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules_owner_id_ref";
