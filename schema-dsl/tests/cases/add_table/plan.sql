-- swap
CREATE TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."votes" ( "scope_key" uuid NOT NULL, "id" uuid NOT NULL, "rule" uuid NOT NULL, "user_id" text COLLATE "C" NOT NULL, "created_at" timestamp with time zone NOT NULL DEFAULT CURRENT_TIMESTAMP, "updated_at" timestamp with time zone NOT NULL DEFAULT CURRENT_TIMESTAMP, "version" bigint NOT NULL DEFAULT 1, CONSTRAINT "votes_pkey" PRIMARY KEY ("scope_key", "id") );
CREATE UNIQUE INDEX "votes_one_vote_key" ON "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."votes" ("scope_key", "rule", "user_id");
ALTER TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."votes" ADD CONSTRAINT "votes_rule_fkey" FOREIGN KEY ("scope_key", "rule") REFERENCES "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" ("scope_key", "id") ON DELETE CASCADE;
