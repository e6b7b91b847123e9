-- swap
ALTER TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" RENAME TO "norms";
ALTER INDEX "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules_pkey" RENAME TO "norms_pkey";
ALTER INDEX "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules_by_score_idx" RENAME TO "norms_by_score_idx";
ALTER INDEX "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules_one_text_key" RENAME TO "norms_one_text_key";
ALTER TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."norms" RENAME CONSTRAINT "rules_text_check" TO "norms_text_check";
