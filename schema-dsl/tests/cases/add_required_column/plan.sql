-- existing_rows: rows of table `rules` have no value for the new column `author`
--   hint: make it optional or give it a default
SELECT count(*) OVER () AS "rows", t."id" FROM "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" t WHERE true ORDER BY t."id" LIMIT 5;
-- swap
ALTER TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" ADD COLUMN "author" text COLLATE "C" NOT NULL;
