-- swap
ALTER TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" ALTER COLUMN "text" SET DEFAULT 'none';
UPDATE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" SET "text" = 'none' WHERE "text" IS NULL;
ALTER TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" ALTER COLUMN "text" SET NOT NULL;
ALTER TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" ALTER COLUMN "n" SET DEFAULT 7;
UPDATE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" SET "n" = 7 WHERE "n" IS NULL;
ALTER TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" ALTER COLUMN "n" SET NOT NULL;
