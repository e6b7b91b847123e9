// PostGraphile 5 over the same tables, as a library in Node's own HTTP server.
import { createServer } from "node:http";
import { postgraphile } from "postgraphile";
import { makePgService } from "postgraphile/adaptors/pg";
import { grafserv } from "postgraphile/grafserv/node";
import { PostGraphileAmberPreset } from "postgraphile/presets/amber";
import { pool, run, verifier } from "./common.mjs";

run(async (secret) => {
  const verify = verifier(secret);
  const preset = {
    extends: [PostGraphileAmberPreset],
    pgServices: [makePgService({ pool: pool(), schemas: [process.env.PEER_SCHEMA] })],
    grafserv: { graphqlPath: "/graphql", graphiql: false, watch: false },
    grafast: {
      explain: false,
      context: (request) => {
        const claims = verify(request.node?.req.headers.authorization);
        if (claims === undefined) throw new Error("the token is missing or not valid");
        return { claims };
      },
    },
  };
  const server = createServer();
  const api = postgraphile(preset).createServ(grafserv);
  await api.addTo(server);
  await api.ready();
  server.listen(0, "127.0.0.1");
});
