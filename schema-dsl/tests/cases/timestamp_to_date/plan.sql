-- existing_rows: rows of table `a` have a value in `x` that is no date as declared now
--   hint: change those values first, or keep the type `timestamp`
SELECT count(*) OVER () AS "rows", t."id" FROM "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."a" t WHERE (timezone('UTC', t."x") <> date_trunc('day', timezone('UTC', t."x"))) IS TRUE ORDER BY t."id" LIMIT 5;
-- existing_rows: rows of table `a` have a value in `x` that the new limits do not allow
--   hint: change those values first, or keep the limits
SELECT count(*) OVER () AS "rows", t."id" FROM "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."a" t WHERE (SELECT ("x" >= CAST('0001-01-01' AS date) AND "x" <= CAST('9999-12-31' AS date)) IS FALSE FROM (SELECT CASE WHEN (timezone('UTC', t."x") <> date_trunc('day', timezone('UTC', t."x"))) IS FALSE THEN timezone('UTC', t."x")::date END AS "x") AS next) ORDER BY t."id" LIMIT 5;
-- swap
LOCK TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."a" IN ACCESS EXCLUSIVE MODE;
SELECT count(*) OVER () AS "rows", t."id" FROM "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."a" t WHERE (timezone('UTC', t."x") <> date_trunc('day', timezone('UTC', t."x"))) IS TRUE ORDER BY t."id" LIMIT 5;
ALTER TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."a" DROP CONSTRAINT "a_x_check";
ALTER TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."a" ALTER COLUMN "x" TYPE date USING timezone('UTC', "x")::date;
ALTER TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."a" ADD CONSTRAINT "a_x_check" CHECK ("x" >= CAST('0001-01-01' AS date) AND "x" <= CAST('9999-12-31' AS date));
