/** A caller that goes is noticed, whenever it goes. */
import { setImmediate as turn } from "node:timers/promises";
import fastify from "fastify";
import { expect, test } from "vitest";
import { injectTransport } from "#client";
import { eventually } from "#test/kit";
import { whileConnected } from "../../kernel/http/caller.ts";

test.each([
  ["before its handler begins", true],
  ["while its handler works", false],
])("a caller that goes %s ends what is waited for", async (_when, early) => {
  await using app = fastify();
  const abort = new AbortController();
  let signal: AbortSignal | undefined;
  // As authentication does, which asks the store.
  app.addHook("onRequest", async () => {
    if (!early) return;
    abort.abort(new Error("gone"));
    await turn();
  });
  app.get("/", async (_request, reply) => {
    signal = whileConnected(reply);
    if (!early) abort.abort(new Error("gone"));
    await turn();
    return "";
  });
  await using transport = injectTransport(app);
  await expect(transport.request({ method: "GET", path: "/", signal: abort.signal })).rejects.toThrow("gone");
  await eventually("the handler knows", () => signal?.aborted);
});
