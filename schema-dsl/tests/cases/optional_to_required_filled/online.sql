-- prepare
CREATE FUNCTION "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."_set_rules_text"() RETURNS trigger LANGUAGE plpgsql AS $rowgate$
BEGIN
    BEGIN
        NEW."text" := coalesce(NEW."text", 'none');
    EXCEPTION WHEN data_exception THEN
        NEW."text" := NULL;
    END;
    RETURN NEW;
END
$rowgate$;
CREATE TRIGGER "_set_rules_text" BEFORE INSERT OR UPDATE ON "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" FOR EACH ROW EXECUTE FUNCTION "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."_set_rules_text"();
--   undone by: DROP TRIGGER "_set_rules_text" ON "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules"; DROP FUNCTION "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."_set_rules_text"()
WITH batch AS MATERIALIZED (
    SELECT "scope_key", "id" FROM "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" WHERE ("scope_key", "id") > ($1, $2)
    ORDER BY "scope_key", "id" LIMIT 1000
), free AS MATERIALIZED (
    SELECT t."scope_key", t."id" FROM "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" t JOIN batch b ON b."scope_key" = t."scope_key" AND b."id" = t."id"
    WHERE t."text" IS NULL FOR NO KEY UPDATE OF t SKIP LOCKED
), filled AS (
    UPDATE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" t SET "text" = 'none' FROM free f
    WHERE t."scope_key" = f."scope_key" AND t."id" = f."id" RETURNING 1
)
SELECT "scope_key", "id", (SELECT count(*) FROM batch) >= 1000 AS "is_full" FROM batch
ORDER BY "scope_key" DESC, "id" DESC LIMIT 1;
ALTER TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" ADD CONSTRAINT "_set_rules_text" CHECK ("text" IS NOT NULL) NOT VALID;
--   undone by: ALTER TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" DROP CONSTRAINT "_set_rules_text"
ALTER TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" VALIDATE CONSTRAINT "_set_rules_text";
CREATE FUNCTION "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."_set_rules_n"() RETURNS trigger LANGUAGE plpgsql AS $rowgate$
BEGIN
    BEGIN
        NEW."n" := coalesce(NEW."n", 7);
    EXCEPTION WHEN data_exception THEN
        NEW."n" := NULL;
    END;
    RETURN NEW;
END
$rowgate$;
CREATE TRIGGER "_set_rules_n" BEFORE INSERT OR UPDATE ON "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" FOR EACH ROW EXECUTE FUNCTION "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."_set_rules_n"();
--   undone by: DROP TRIGGER "_set_rules_n" ON "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules"; DROP FUNCTION "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."_set_rules_n"()
WITH batch AS MATERIALIZED (
    SELECT "scope_key", "id" FROM "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" WHERE ("scope_key", "id") > ($1, $2)
    ORDER BY "scope_key", "id" LIMIT 1000
), free AS MATERIALIZED (
    SELECT t."scope_key", t."id" FROM "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" t JOIN batch b ON b."scope_key" = t."scope_key" AND b."id" = t."id"
    WHERE t."n" IS NULL FOR NO KEY UPDATE OF t SKIP LOCKED
), filled AS (
    UPDATE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" t SET "n" = 7 FROM free f
    WHERE t."scope_key" = f."scope_key" AND t."id" = f."id" RETURNING 1
)
SELECT "scope_key", "id", (SELECT count(*) FROM batch) >= 1000 AS "is_full" FROM batch
ORDER BY "scope_key" DESC, "id" DESC LIMIT 1;
ALTER TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" ADD CONSTRAINT "_set_rules_n" CHECK ("n" IS NOT NULL) NOT VALID;
--   undone by: ALTER TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" DROP CONSTRAINT "_set_rules_n"
ALTER TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" VALIDATE CONSTRAINT "_set_rules_n";
-- swap
ALTER TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" ALTER COLUMN "text" SET DEFAULT 'none';
ALTER TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" ALTER COLUMN "text" SET NOT NULL;
ALTER TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" DROP CONSTRAINT "_set_rules_text";
DROP TRIGGER "_set_rules_text" ON "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules";
DROP FUNCTION "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."_set_rules_text"();
ALTER TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" ALTER COLUMN "n" SET DEFAULT 7;
ALTER TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" ALTER COLUMN "n" SET NOT NULL;
ALTER TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" DROP CONSTRAINT "_set_rules_n";
DROP TRIGGER "_set_rules_n" ON "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules";
DROP FUNCTION "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."_set_rules_n"();
