-- deletes_data: rows of table `votes`, which is no longer declared, would be deleted
--   hint: declare it again, or delete them by `--allow deletes-data:votes`
SELECT count(*) OVER () AS "rows", t."id" FROM "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."votes" t WHERE true ORDER BY t."id" LIMIT 5;
-- swap
LOCK TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."votes" IN ACCESS EXCLUSIVE MODE;
SELECT count(*) OVER () AS "rows", t."id" FROM "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."votes" t WHERE true ORDER BY t."id" LIMIT 5;
ALTER TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."votes" DROP CONSTRAINT "votes_rule_fkey";
DROP TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."votes";
