-- swap
ALTER TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."votes" DROP CONSTRAINT "votes_rule_fkey";
INSERT INTO "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."_bytes" AS c ("scope_key", "storage", "stripe", "bytes") SELECT _row."scope_key", 'instance', 0, sum(-octet_length(record_send(_row))) FROM "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."votes" _row GROUP BY _row."scope_key" ON CONFLICT ("scope_key", "storage", "stripe") DO UPDATE SET "bytes" = c."bytes" + excluded."bytes";
DROP TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."votes";
