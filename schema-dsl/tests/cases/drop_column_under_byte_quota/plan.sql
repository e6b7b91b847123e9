-- swap
DROP INDEX "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules_by_score_idx";
INSERT INTO "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."_bytes" AS c ("scope_key", "storage", "stripe", "bytes") SELECT _row."scope_key", 'instance', 0, sum(4 - octet_length(record_send(ROW(_row."score")))) FROM "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" _row GROUP BY _row."scope_key" ON CONFLICT ("scope_key", "storage", "stripe") DO UPDATE SET "bytes" = c."bytes" + excluded."bytes";
ALTER TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" DROP COLUMN "score";
