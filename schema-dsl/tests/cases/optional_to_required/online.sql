-- existing_rows: rows of table `rules` have no value in `text`
--   hint: give them one first, or declare a default for them
SELECT count(*) OVER () AS "rows", t."id" FROM "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" t WHERE t."text" IS NULL ORDER BY t."id" LIMIT 5;
-- swap
ALTER TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" ADD CONSTRAINT "_set_rules_text" CHECK ("text" IS NOT NULL) NOT VALID;
-- finish
ALTER TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" VALIDATE CONSTRAINT "_set_rules_text";
ALTER TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" ALTER COLUMN "text" SET NOT NULL;
ALTER TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" DROP CONSTRAINT "_set_rules_text";
