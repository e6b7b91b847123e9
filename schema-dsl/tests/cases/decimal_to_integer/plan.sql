-- existing_rows: rows of table `a` have a value in `x` that is no integer as declared now
--   hint: change those values first, or keep the type `decimal`
SELECT count(*) OVER () AS "rows", t."id" FROM "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."a" t WHERE (t."x" <> trunc(t."x") OR t."x" NOT BETWEEN -9223372036854775808 AND 9223372036854775807) IS TRUE ORDER BY t."id" LIMIT 5;
-- swap
LOCK TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."a" IN ACCESS EXCLUSIVE MODE;
SELECT count(*) OVER () AS "rows", t."id" FROM "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."a" t WHERE (t."x" <> trunc(t."x") OR t."x" NOT BETWEEN -9223372036854775808 AND 9223372036854775807) IS TRUE ORDER BY t."id" LIMIT 5;
ALTER TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."a" DROP CONSTRAINT "a_x_check";
ALTER TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."a" ALTER COLUMN "x" TYPE bigint USING "x"::bigint;
