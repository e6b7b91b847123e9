-- deletes_data: rows of table `rules` belong to each `instance` and would belong to nobody
--   hint: keep `instance`, or delete them by `--allow deletes-data:rules`
SELECT count(*) OVER () AS "rows", t."id" FROM "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" t WHERE true ORDER BY t."id" LIMIT 5;
-- swap
LOCK TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" IN ACCESS EXCLUSIVE MODE;
SELECT count(*) OVER () AS "rows", t."id" FROM "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" t WHERE true ORDER BY t."id" LIMIT 5;
