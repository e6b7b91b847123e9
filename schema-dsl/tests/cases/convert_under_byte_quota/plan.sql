-- existing_rows: rows of table `a` have a value in `x` that the new limits do not allow
--   hint: change those values first, or keep the limits
SELECT count(*) OVER () AS "rows", t."id" FROM "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."a" t WHERE (SELECT ("x" > CAST('-Infinity' AS numeric) AND "x" < CAST('Infinity' AS numeric)) IS FALSE FROM (SELECT (t."x"::numeric) AS "x") AS next) ORDER BY t."id" LIMIT 5;
-- swap
INSERT INTO "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."_bytes" AS c ("scope_key", "storage", "stripe", "bytes") SELECT _row."scope_key", 'instance', 0, sum(4 - octet_length(record_send(ROW(_row."x")))) FROM "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."a" _row GROUP BY _row."scope_key" ON CONFLICT ("scope_key", "storage", "stripe") DO UPDATE SET "bytes" = c."bytes" + excluded."bytes";
ALTER TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."a" ALTER COLUMN "x" TYPE numeric USING "x"::numeric;
INSERT INTO "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."_bytes" AS c ("scope_key", "storage", "stripe", "bytes") SELECT _row."scope_key", 'instance', 0, sum(octet_length(record_send(ROW(_row."x"))) - 4) FROM "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."a" _row GROUP BY _row."scope_key" ON CONFLICT ("scope_key", "storage", "stripe") DO UPDATE SET "bytes" = c."bytes" + excluded."bytes";
ALTER TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."a" ADD CONSTRAINT "a_x_check" CHECK ("x" > CAST('-Infinity' AS numeric) AND "x" < CAST('Infinity' AS numeric));
