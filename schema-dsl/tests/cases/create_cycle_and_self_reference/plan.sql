-- swap
CREATE SCHEMA "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11";
CREATE TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."leaves" ( "scope_key" uuid NOT NULL, "id" uuid NOT NULL, "node" uuid NOT NULL, "created_at" timestamp with time zone NOT NULL DEFAULT CURRENT_TIMESTAMP, "updated_at" timestamp with time zone NOT NULL DEFAULT CURRENT_TIMESTAMP, "version" bigint NOT NULL DEFAULT 1, CONSTRAINT "leaves_pkey" PRIMARY KEY ("scope_key", "id") );
CREATE TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."nodes" ( "scope_key" uuid NOT NULL, "id" uuid NOT NULL, "parent" uuid, "best" uuid, "created_at" timestamp with time zone NOT NULL DEFAULT CURRENT_TIMESTAMP, "updated_at" timestamp with time zone NOT NULL DEFAULT CURRENT_TIMESTAMP, "version" bigint NOT NULL DEFAULT 1, CONSTRAINT "nodes_pkey" PRIMARY KEY ("scope_key", "id") );
CREATE INDEX "leaves_node_ref" ON "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."leaves" ("scope_key", "node");
CREATE INDEX "nodes_parent_ref" ON "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."nodes" ("scope_key", "parent");
CREATE INDEX "nodes_best_ref" ON "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."nodes" ("scope_key", "best");
ALTER TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."leaves" ADD CONSTRAINT "leaves_node_fkey" FOREIGN KEY ("scope_key", "node") REFERENCES "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."nodes" ("scope_key", "id") ON DELETE NO ACTION;
ALTER TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."nodes" ADD CONSTRAINT "nodes_parent_fkey" FOREIGN KEY ("scope_key", "parent") REFERENCES "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."nodes" ("scope_key", "id") ON DELETE CASCADE;
ALTER TABLE "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."nodes" ADD CONSTRAINT "nodes_best_fkey" FOREIGN KEY ("scope_key", "best") REFERENCES "ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11"."leaves" ("scope_key", "id") ON DELETE SET NULL ("best");
