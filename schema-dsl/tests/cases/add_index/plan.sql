-- swap
CREATE INDEX "rules_by_text_idx" ON "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" ("scope_key", "text", "score", "id");
