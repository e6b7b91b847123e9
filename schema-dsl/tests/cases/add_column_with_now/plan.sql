-- swap
ALTER TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" ADD COLUMN "due" timestamp with time zone NOT NULL DEFAULT CURRENT_TIMESTAMP CONSTRAINT "rules_due_check" CHECK ("due" >= CAST('0001-01-01T00:00:00Z' AS timestamp with time zone) AND "due" <= CAST('9999-12-31T23:59:59.999999Z' AS timestamp with time zone));
