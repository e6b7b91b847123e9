-- existing_rows: rows of table `votes` have a value in `rule` that is no row of `rules`
--   hint: change those values first, or keep the column as it was
SELECT count(*) OVER () AS "rows", t."id" FROM "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."votes" t WHERE t."rule" IS NOT NULL AND NOT EXISTS (SELECT FROM "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" r WHERE r."scope_key" = t."scope_key" AND r."id" = t."rule") ORDER BY t."id" LIMIT 5;
-- swap
ALTER TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."votes" DROP CONSTRAINT "votes_rule_fkey";
ALTER TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."votes" ADD CONSTRAINT "votes_rule_fkey" FOREIGN KEY ("scope_key", "rule") REFERENCES "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" ("scope_key", "id") ON DELETE NO ACTION;
