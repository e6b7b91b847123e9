-- swap
DELETE FROM "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules";
DROP TRIGGER "_bytes_inserted" ON "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules";
DROP TRIGGER "_bytes_updated" ON "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules";
DROP TRIGGER "_bytes_deleted" ON "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules";
CREATE TRIGGER "_bytes_inserted" AFTER INSERT ON "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" REFERENCING NEW TABLE AS came FOR EACH STATEMENT EXECUTE FUNCTION "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."_count_bytes"('global');
CREATE TRIGGER "_bytes_updated" AFTER UPDATE ON "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" REFERENCING OLD TABLE AS gone NEW TABLE AS came FOR EACH STATEMENT EXECUTE FUNCTION "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."_count_bytes"('global');
CREATE TRIGGER "_bytes_deleted" AFTER DELETE ON "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."_count_bytes"('global');
