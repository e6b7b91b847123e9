-- prepare
ALTER TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" ADD COLUMN "owner_id" text COLLATE "C" NOT NULL DEFAULT '';
--   undone by: ALTER TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" DROP COLUMN "owner_id"
CREATE INDEX CONCURRENTLY "rules_owner_id_ref" ON "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" ("scope_key", "owner_id", "id");
--   undone by: DROP INDEX CONCURRENTLY IF EXISTS "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules_owner_id_ref"
-- swap
ALTER TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" ALTER COLUMN "owner_id" DROP DEFAULT;
