-- prepare
ALTER TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" ADD COLUMN "kind" text COLLATE "C" NOT NULL DEFAULT 'fun';
--   undone by: ALTER TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" DROP COLUMN "kind"
ALTER TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" ADD CONSTRAINT "rules_kind_check" CHECK ("kind" IN ('fun', 'serious')) NOT VALID;
ALTER TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" VALIDATE CONSTRAINT "rules_kind_check";
