-- swap
DROP TRIGGER "_rows_inserted" ON "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."votes";
DROP TRIGGER "_rows_deleted" ON "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."votes";
DELETE FROM "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."_rows" WHERE "table_name" = 'votes';
DROP FUNCTION "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."_count_rows"();
DROP TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."_rows";
