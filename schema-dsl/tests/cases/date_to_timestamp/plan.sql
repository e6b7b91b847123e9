-- existing_rows: rows of table `a` have a value in `x` that the new limits do not allow
--   hint: change those values first, or keep the limits
SELECT count(*) OVER () AS "rows", t."id" FROM "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."a" t WHERE (SELECT ("x" >= CAST('0001-01-01T00:00:00Z' AS timestamp with time zone) AND "x" <= CAST('9999-12-31T23:59:59.999999Z' AS timestamp with time zone)) IS FALSE FROM (SELECT (timezone('UTC', t."x"::timestamp)) AS "x") AS next) ORDER BY t."id" LIMIT 5;
-- swap
ALTER TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."a" DROP CONSTRAINT "a_x_check";
ALTER TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."a" ALTER COLUMN "x" TYPE timestamp with time zone USING timezone('UTC', "x"::timestamp);
ALTER TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."a" ADD CONSTRAINT "a_x_check" CHECK ("x" >= CAST('0001-01-01T00:00:00Z' AS timestamp with time zone) AND "x" <= CAST('9999-12-31T23:59:59.999999Z' AS timestamp with time zone));
