-- swap
ALTER INDEX "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules_one_text_key" RENAME TO "rules_each_text_key";
ALTER INDEX "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules_by_score_idx" RENAME TO "rules_scores_idx";
