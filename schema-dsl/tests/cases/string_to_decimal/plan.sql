-- existing_rows: rows of table `a` have a value in `x` that is no decimal as declared now
--   hint: change those values first, or keep the type `string`
SELECT count(*) OVER () AS "rows", t."id" FROM "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."a" t WHERE (t."x" !~ '^-?(0|[1-9][0-9]*)([.][0-9]+)?$' OR char_length(t."x") > 1000) IS TRUE ORDER BY t."id" LIMIT 5;
-- existing_rows: rows of table `a` have a value in `x` that the new limits do not allow
--   hint: change those values first, or keep the limits
SELECT count(*) OVER () AS "rows", t."id" FROM "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."a" t WHERE (SELECT ("x" > CAST('-Infinity' AS numeric) AND "x" < CAST('Infinity' AS numeric)) IS FALSE FROM (SELECT CASE WHEN (t."x" !~ '^-?(0|[1-9][0-9]*)([.][0-9]+)?$' OR char_length(t."x") > 1000) IS FALSE THEN t."x"::numeric END AS "x") AS next) ORDER BY t."id" LIMIT 5;
-- swap
LOCK TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."a" IN ACCESS EXCLUSIVE MODE;
SELECT count(*) OVER () AS "rows", t."id" FROM "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."a" t WHERE (t."x" !~ '^-?(0|[1-9][0-9]*)([.][0-9]+)?$' OR char_length(t."x") > 1000) IS TRUE ORDER BY t."id" LIMIT 5;
ALTER TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."a" ALTER COLUMN "x" TYPE numeric USING "x"::numeric;
ALTER TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."a" ADD CONSTRAINT "a_x_check" CHECK ("x" > CAST('-Infinity' AS numeric) AND "x" < CAST('Infinity' AS numeric));
