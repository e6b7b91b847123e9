-- swap
ALTER TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" RENAME COLUMN "body" TO "text";
ALTER TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" RENAME CONSTRAINT "rules_body_check" TO "rules_text_check";
