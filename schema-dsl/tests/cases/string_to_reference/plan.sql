-- existing_rows: rows of table `votes` have a value in `rule` that is no id as declared now
--   hint: change those values first, or keep the type `string`
SELECT count(*) OVER () AS "rows", t."id" FROM "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."votes" t WHERE (t."rule" !~ '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$') IS TRUE ORDER BY t."id" LIMIT 5;
-- existing_rows: rows of table `votes` have a value in `rule` that is no row of `rules`
--   hint: change those values first, or keep the column as it was
SELECT count(*) OVER () AS "rows", t."id" FROM "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."votes" t WHERE CASE WHEN (t."rule" !~ '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$') IS FALSE THEN t."rule"::uuid END IS NOT NULL AND NOT EXISTS (SELECT FROM "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" r WHERE r."scope_key" = t."scope_key" AND r."id" = CASE WHEN (t."rule" !~ '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$') IS FALSE THEN t."rule"::uuid END) ORDER BY t."id" LIMIT 5;
-- swap
LOCK TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."votes" IN ACCESS EXCLUSIVE MODE;
SELECT count(*) OVER () AS "rows", t."id" FROM "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."votes" t WHERE (t."rule" !~ '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$') IS TRUE ORDER BY t."id" LIMIT 5;
ALTER TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."votes" ALTER COLUMN "rule" TYPE uuid USING "rule"::uuid;
CREATE INDEX "votes_rule_ref" ON "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."votes" ("scope_key", "rule");
ALTER TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."votes" ADD CONSTRAINT "votes_rule_fkey" FOREIGN KEY ("scope_key", "rule") REFERENCES "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" ("scope_key", "id") ON DELETE NO ACTION;
