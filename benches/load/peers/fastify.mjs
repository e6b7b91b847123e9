// A server as one writes it by hand: the bundle's functions as fastify routes over pg.
import { randomUUID } from "node:crypto";
import Fastify from "fastify";
import { pool, run, verifier } from "./common.mjs";

const TABLE = process.env.PEER_TABLE;
const COLUMNS = "id, category, title, score, hits, done, seen_at, created_at, updated_at, version";
const ROW = "scope_key = $1 AND id = $2";
const SQL = {
  getItem: `SELECT ${COLUMNS} FROM ${TABLE} WHERE ${ROW}`,
  listItems: `SELECT ${COLUMNS} FROM ${TABLE} WHERE scope_key = $1 AND category = $2 ORDER BY score DESC, id DESC LIMIT 20`,
  addItem: `INSERT INTO ${TABLE} (scope_key, id, category, title, score, seen_at) VALUES ($1, $2, $3, $4, $5, now()) RETURNING ${COLUMNS}`,
  bumpItem: `UPDATE ${TABLE} SET hits = hits + 1, updated_at = now(), version = version + 1 WHERE ${ROW} RETURNING ${COLUMNS}`,
};

const text = (most) => ({ type: "string", maxLength: most });
const time = { type: "string", format: "date-time" };
const item = {
  type: "object",
  properties: {
    id: text(36), category: text(40), title: text(200), score: { type: "integer" }, hits: { type: "integer" },
    done: { type: "boolean" }, seen_at: { ...time, nullable: true }, created_at: time, updated_at: time,
    version: { type: "integer" },
  },
};
const byId = object({ id: { type: "string", format: "uuid" } });
const FUNCTIONS = {
  getItem: { role: "viewer", body: byId, values: (args) => [args.id], one: true },
  listItems: { role: "viewer", body: object({ category: text(40) }), values: (args) => [args.category], one: false },
  addItem: {
    role: "editor",
    body: object({ category: text(40), title: text(200), score: { type: "integer" } }),
    values: (args) => [uuidv7(), args.category, args.title, args.score],
    one: true,
  },
  bumpItem: { role: "editor", body: byId, values: (args) => [args.id], one: true },
};
const ROLES = ["anonymous", "viewer", "editor", "owner"];

function object(properties) {
  return { type: "object", properties, required: Object.keys(properties), additionalProperties: false };
}

// The time first, so that new rows go to the right edge of the index.
function uuidv7() {
  const time = Date.now().toString(16).padStart(12, "0");
  return `${time.slice(0, 8)}-${time.slice(8)}-7${randomUUID().slice(15)}`;
}

run(async (secret) => {
  const verify = verifier(secret);
  const database = pool();
  const app = Fastify({ logger: false });
  for (const [name, { role, body, values, one }] of Object.entries(FUNCTIONS)) {
    const schema = { body, response: { 200: one ? item : { type: "array", items: item } } };
    app.post(`/v1/extension-functions/:install/${name}`, { schema }, async (request, reply) => {
      const claims = verify(request.headers.authorization);
      if (claims === undefined) return reply.code(401).send();
      if (claims.install_id !== request.params.install) return reply.code(404).send();
      if (ROLES.indexOf(claims.role) < ROLES.indexOf(role)) return reply.code(403).send();
      const query = { name, text: SQL[name], values: [claims.install_id, ...values(request.body)] };
      const { rows } = await database.query(query);
      if (one && rows.length === 0) return reply.code(404).send();
      return one ? rows[0] : rows;
    });
  }
  await app.listen({ host: "127.0.0.1", port: 0 });
});
