-- prepare
ALTER TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" ADD COLUMN "weight" bigint NOT NULL DEFAULT 1;
--   undone by: ALTER TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" DROP COLUMN "weight"
ALTER TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" ADD CONSTRAINT "rules_weight_check" CHECK ("weight" >= 0 AND "weight" <= 10) NOT VALID;
ALTER TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" VALIDATE CONSTRAINT "rules_weight_check";
