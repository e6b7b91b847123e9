-- existing_rows: rows of table `a` have a value in `x` that the new limits do not allow
--   hint: change those values first, or keep the limits
SELECT count(*) OVER () AS "rows", t."id" FROM "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."a" t WHERE (SELECT ("x" > CAST('-Infinity' AS numeric) AND "x" < CAST('Infinity' AS numeric)) IS FALSE FROM (SELECT (t."x"::numeric) AS "x") AS next) ORDER BY t."id" LIMIT 5;
-- existing_rows: rows of table `a` have no value in `x`
--   hint: give them one first, or declare a default for them
SELECT count(*) OVER () AS "rows", t."id" FROM "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."a" t WHERE t."x" IS NULL ORDER BY t."id" LIMIT 5;
-- swap
ALTER TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."a" ALTER COLUMN "x" TYPE numeric USING "x"::numeric;
ALTER TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."a" ADD CONSTRAINT "a_x_check" CHECK ("x" > CAST('-Infinity' AS numeric) AND "x" < CAST('Infinity' AS numeric)) NOT VALID;
ALTER TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."a" ALTER COLUMN "x" SET NOT NULL;
-- finish
ALTER TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."a" VALIDATE CONSTRAINT "a_x_check";
