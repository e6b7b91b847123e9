-- swap
DROP TRIGGER "_bytes_inserted" ON "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules";
DROP TRIGGER "_bytes_updated" ON "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules";
DROP TRIGGER "_bytes_deleted" ON "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules";
DROP TRIGGER "_bytes_inserted" ON "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."votes";
DROP TRIGGER "_bytes_updated" ON "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."votes";
DROP TRIGGER "_bytes_deleted" ON "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."votes";
DROP FUNCTION "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."_count_bytes"();
DROP TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."_bytes";
