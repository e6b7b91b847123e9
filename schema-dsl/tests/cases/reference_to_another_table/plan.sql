-- existing_rows: rows of table `votes` have a value in `of` that is no row of `norms`
--   hint: change those values first, or keep the column as it was
SELECT count(*) OVER () AS "rows", t."id" FROM "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."votes" t WHERE t."of" IS NOT NULL AND NOT EXISTS (SELECT FROM "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."norms" r WHERE r."scope_key" = t."scope_key" AND r."id" = t."of") ORDER BY t."id" LIMIT 5;
-- swap
ALTER TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."votes" DROP CONSTRAINT "votes_of_fkey";
ALTER TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."votes" ADD CONSTRAINT "votes_of_fkey" FOREIGN KEY ("scope_key", "of") REFERENCES "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."norms" ("scope_key", "id") ON DELETE NO ACTION;
