-- swap
CREATE SCHEMA "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11";
CREATE TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."select" ( "scope_key" uuid NOT NULL, "id" uuid NOT NULL, "order" text COLLATE "C" NOT NULL, "From" bigint NOT NULL, "user" boolean, "created_at" timestamp with time zone NOT NULL DEFAULT CURRENT_TIMESTAMP, "updated_at" timestamp with time zone NOT NULL DEFAULT CURRENT_TIMESTAMP, "version" bigint NOT NULL DEFAULT 1, CONSTRAINT "select_pkey" PRIMARY KEY ("scope_key", "id") );
CREATE INDEX "select_table_idx" ON "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."select" ("scope_key", "order", "From", "id");
