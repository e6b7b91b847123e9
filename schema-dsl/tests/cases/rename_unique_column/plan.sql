-- swap
ALTER TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" RENAME COLUMN "text" TO "name";
ALTER INDEX "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules_text_key" RENAME TO "rules_name_key";
ALTER TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" RENAME CONSTRAINT "rules_text_check" TO "rules_name_check";
