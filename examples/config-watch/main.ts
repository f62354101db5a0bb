/** Follows one value of the config, with a schema, and says which values it could use. */
import { connect } from "posthouse/client";
import { z } from "zod";

const stop = new AbortController();
process.once("SIGTERM", () => stop.abort());

await using posthouse = connect({
  app: "orders",
  lastKnownGoodFile: "./orders-config.json",
  onProblem: ({ code, message }) => console.error(code, message),
});

const schema = z.object({ pool: z.number().int().min(1) });
for await (const change of posthouse.config.watch("db.yaml", { schema, signal: stop.signal })) {
  const { pool } = change.value;
  if (pool > 100) change.failed(new Error(`the database takes 100 connections, not ${pool}`));
  else console.log(`the pool has ${pool} connections`);
}
