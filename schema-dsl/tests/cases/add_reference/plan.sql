-- swap
ALTER TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."votes" ADD COLUMN "instead_of" uuid;
CREATE INDEX "votes_instead_of_ref" ON "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."votes" ("scope_key", "instead_of");
ALTER TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."votes" ADD CONSTRAINT "votes_instead_of_fkey" FOREIGN KEY ("scope_key", "instead_of") REFERENCES "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."rules" ("scope_key", "id") ON DELETE SET NULL ("instead_of");
