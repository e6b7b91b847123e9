-- swap
CREATE SCHEMA "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11";
CREATE TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" ( "scope_key" uuid NOT NULL, "id" uuid NOT NULL, "text" text COLLATE "C" NOT NULL CONSTRAINT "rules_text_check" CHECK (CHAR_LENGTH("text") <= 280), "score" bigint NOT NULL DEFAULT 0, "created_at" timestamp with time zone NOT NULL DEFAULT CURRENT_TIMESTAMP, "updated_at" timestamp with time zone NOT NULL DEFAULT CURRENT_TIMESTAMP, "version" bigint NOT NULL DEFAULT 1, CONSTRAINT "rules_pkey" PRIMARY KEY ("scope_key", "id") );
CREATE TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."votes" ( "scope_key" uuid NOT NULL, "id" uuid NOT NULL, "rule" uuid NOT NULL, "user_id" text COLLATE "C" NOT NULL, "created_at" timestamp with time zone NOT NULL DEFAULT CURRENT_TIMESTAMP, "updated_at" timestamp with time zone NOT NULL DEFAULT CURRENT_TIMESTAMP, "version" bigint NOT NULL DEFAULT 1, CONSTRAINT "votes_pkey" PRIMARY KEY ("scope_key", "id") );
CREATE INDEX "rules_by_score_idx" ON "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" ("scope_key", "score", "id");
CREATE UNIQUE INDEX "rules_one_text_key" ON "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" ("scope_key", "text");
CREATE UNIQUE INDEX "votes_one_vote_key" ON "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."votes" ("scope_key", "rule", "user_id");
ALTER TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."votes" ADD CONSTRAINT "votes_rule_fkey" FOREIGN KEY ("scope_key", "rule") REFERENCES "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" ("scope_key", "id") ON DELETE CASCADE;
