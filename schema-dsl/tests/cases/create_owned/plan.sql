-- swap
CREATE SCHEMA "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11";
CREATE TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" ( "scope_key" uuid NOT NULL, "id" uuid NOT NULL, "text" text COLLATE "C" NOT NULL CONSTRAINT "rules_text_check" CHECK (CHAR_LENGTH("text") <= 280), "owner_id" text COLLATE "C" NOT NULL, "created_at" timestamp with time zone NOT NULL DEFAULT CURRENT_TIMESTAMP, "updated_at" timestamp with time zone NOT NULL DEFAULT CURRENT_TIMESTAMP, "version" bigint NOT NULL DEFAULT 1, CONSTRAINT "rules_pkey" PRIMARY KEY ("scope_key", "id") );
CREATE UNIQUE INDEX "rules_one_each_key" ON "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" ("scope_key", "text", "owner_id");
CREATE UNIQUE INDEX "rules_one_text_key" ON "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" ("scope_key", "text");
CREATE INDEX "rules_owner_id_ref" ON "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" ("scope_key", "owner_id", "id");
