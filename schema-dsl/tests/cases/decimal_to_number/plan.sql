-- existing_rows: rows of table `a` have a value in `x` that is no number as declared now
--   hint: change those values first, or keep the type `decimal`
SELECT count(*) OVER () AS "rows", t."id" FROM "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."a" t WHERE (CASE WHEN abs(t."x") > 1e300 OR t."x" <> 0 AND abs(t."x") < 1e-300 THEN true ELSE t."x"::double precision::text::numeric <> t."x" END) IS TRUE ORDER BY t."id" LIMIT 5;
-- existing_rows: rows of table `a` have a value in `x` that the new limits do not allow
--   hint: change those values first, or keep the limits
SELECT count(*) OVER () AS "rows", t."id" FROM "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."a" t WHERE (SELECT ("x" > CAST('-Infinity' AS double precision) AND "x" < CAST('Infinity' AS double precision)) IS FALSE FROM (SELECT CASE WHEN (CASE WHEN abs(t."x") > 1e300 OR t."x" <> 0 AND abs(t."x") < 1e-300 THEN true ELSE t."x"::double precision::text::numeric <> t."x" END) IS FALSE THEN t."x"::double precision END AS "x") AS next) ORDER BY t."id" LIMIT 5;
-- swap
LOCK TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."a" IN ACCESS EXCLUSIVE MODE;
SELECT count(*) OVER () AS "rows", t."id" FROM "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."a" t WHERE (CASE WHEN abs(t."x") > 1e300 OR t."x" <> 0 AND abs(t."x") < 1e-300 THEN true ELSE t."x"::double precision::text::numeric <> t."x" END) IS TRUE ORDER BY t."id" LIMIT 5;
ALTER TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."a" DROP CONSTRAINT "a_x_check";
ALTER TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."a" ALTER COLUMN "x" TYPE double precision USING "x"::double precision;
ALTER TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."a" ADD CONSTRAINT "a_x_check" CHECK ("x" > CAST('-Infinity' AS double precision) AND "x" < CAST('Infinity' AS double precision));
