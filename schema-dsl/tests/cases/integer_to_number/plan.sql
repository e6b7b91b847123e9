-- existing_rows: rows of table `rules` have a value in `score` that is no number as declared now
--   hint: change those values first, or keep the type `integer`
SELECT count(*) OVER () AS "rows", t."id" FROM "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" t WHERE (t."score" NOT BETWEEN -9007199254740992 AND 9007199254740992) IS TRUE ORDER BY t."id" LIMIT 5;
-- existing_rows: rows of table `rules` have a value in `score` that the new limits do not allow
--   hint: change those values first, or keep the limits
SELECT count(*) OVER () AS "rows", t."id" FROM "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" t WHERE (SELECT ("score" > CAST('-Infinity' AS double precision) AND "score" < CAST('Infinity' AS double precision)) IS FALSE FROM (SELECT CASE WHEN (t."score" NOT BETWEEN -9007199254740992 AND 9007199254740992) IS FALSE THEN t."score"::double precision END AS "score") AS next) ORDER BY t."id" LIMIT 5;
-- swap
LOCK TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" IN ACCESS EXCLUSIVE MODE;
SELECT count(*) OVER () AS "rows", t."id" FROM "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" t WHERE (t."score" NOT BETWEEN -9007199254740992 AND 9007199254740992) IS TRUE ORDER BY t."id" LIMIT 5;
ALTER TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" ALTER COLUMN "score" DROP DEFAULT;
ALTER TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" ALTER COLUMN "score" TYPE double precision USING "score"::double precision;
ALTER TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" ALTER COLUMN "score" SET DEFAULT CAST('0.0' AS double precision);
ALTER TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" ADD CONSTRAINT "rules_score_check" CHECK ("score" > CAST('-Infinity' AS double precision) AND "score" < CAST('Infinity' AS double precision));
