-- existing_rows: rows of table `rules` have a value in `text` that the new limits do not allow
--   hint: change those values first, or keep the limits
SELECT count(*) OVER () AS "rows", t."id" FROM "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" t WHERE (SELECT (CHAR_LENGTH("text") <= 280 AND ("text" ~ E'\\A(?:[ 0-9a-z])+\\Z')) IS FALSE FROM (SELECT t."text" AS "text") AS next) ORDER BY t."id" LIMIT 5;
-- swap
ALTER TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" DROP CONSTRAINT "rules_text_check";
ALTER TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" ADD CONSTRAINT "rules_text_check" CHECK (CHAR_LENGTH("text") <= 280 AND ("text" ~ E'\\A(?:[ 0-9a-z])+\\Z')) NOT VALID;
-- finish
ALTER TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" VALIDATE CONSTRAINT "rules_text_check";
