// What both peers share: two processes, a bearer token, the connection pool.
//
// The bench starts a peer with PG* variables for the database, reads the one line of JSON it prints
// when both processes listen, and ends it by closing its standard input.
import cluster from "node:cluster";
import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import pg from "pg";

const PROCESSES = 2;
const HEADER = encode({ typ: "JWT", alg: "HS256" });

// Numbers of rows stay far below 2^53, so bigint may be a number as in the gateway's answers.
pg.types.setTypeParser(pg.types.builtins.INT8, Number);

// Sixteen connections in all for the bench's 32 callers. They are given back when another side's turn comes.
export const pool = (max = 8) => new pg.Pool({ max, idleTimeoutMillis: 3_000 });

// Runs `listen(secret)` in each process; it listens on port 0, which is the same for both.
export function run(listen) {
  if (!cluster.isPrimary) return listen(process.env.PEER_SECRET);
  const secret = randomBytes(32).toString("hex");
  let listening = 0;
  cluster.on("listening", (_, address) => {
    listening += 1;
    if (listening === PROCESSES) console.log(JSON.stringify({ port: address.port, token: sign(secret) }));
  });
  cluster.on("exit", () => process.exit(1));
  for (let index = 0; index < PROCESSES; index += 1) cluster.fork({ PEER_SECRET: secret });
  process.stdin.on("end", () => process.exit(0)).resume();
}

// Answers the claims of an `Authorization` header's token, or nothing. As in the gateway a token is
// verified once and then remembered until it expires.
export function verifier(secret) {
  const known = new Map();
  return (header) => {
    const found = known.get(header);
    if (found !== undefined && found.exp * 1_000 > Date.now()) return found;
    const claims = verify(secret, header?.startsWith("Bearer ") ? header.slice(7) : "");
    if (claims !== undefined && known.size < 10_000) known.set(header, claims);
    return claims;
  };
}

function verify(secret, token) {
  const [header, body, signature] = token.split(".");
  if (header !== HEADER || body === undefined || signature === undefined) return undefined;
  const expected = hmac(secret, `${header}.${body}`);
  const given = Buffer.from(signature, "base64url");
  if (given.length !== expected.length || !timingSafeEqual(given, expected)) return undefined;
  const claims = JSON.parse(Buffer.from(body, "base64url").toString());
  return claims.exp * 1_000 > Date.now() ? claims : undefined;
}

function sign(secret) {
  const exp = Math.floor(Date.now() / 1_000) + 86_400;
  const signed = `${HEADER}.${encode({ install_id: process.env.PEER_INSTALL, role: "editor", exp })}`;
  return `${signed}.${hmac(secret, signed).toString("base64url")}`;
}

function hmac(secret, text) {
  return createHmac("sha256", secret).update(text).digest();
}

function encode(value) {
  return Buffer.from(JSON.stringify(value)).toString("base64url");
}
