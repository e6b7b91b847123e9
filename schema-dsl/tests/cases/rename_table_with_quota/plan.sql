-- swap
ALTER TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" RENAME TO "norms";
ALTER INDEX "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules_pkey" RENAME TO "norms_pkey";
CREATE OR REPLACE TRIGGER "_rows_inserted" AFTER INSERT ON "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."norms" REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."_count_rows"('norms', '100000');
CREATE OR REPLACE TRIGGER "_rows_deleted" AFTER DELETE ON "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."norms" REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."_count_rows"('norms');
UPDATE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."_rows" SET "table_name" = 'norms' WHERE "table_name" = 'rules';
