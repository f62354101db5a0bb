/**
 * An abort leaves nothing behind, by each way to the control plane. A call that was aborted before it began never
 * reaches the server; a call that is aborted later ends with the abort's reason, at the server too; and there is no
 * unhandled error, since that would end the process.
 */
import { PassThrough } from "node:stream";
import fastify from "fastify";
import * as fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { fetchTransport, injectTransport, type Transport, type TransportResponse } from "#client";
import { createHttpServer } from "#http";
import { eventually, testHost, type TestTls, testTls } from "#test/kit";
import { relayed } from "./relayed.ts";

/** The moments of a call at which its caller may give up. */
const MOMENTS = ["before", "same tick", "next tick", "connecting", "head", "body", "after the end"] as const;
type Moment = (typeof MOMENTS)[number];
const READS = ["text", "stream", "left unread"] as const;
type Read = (typeof READS)[number];

const REASON = new Error("followed again");

/** A server whose answers begin, go on and end when the test says so. */
function openServer(tls?: TestTls) {
  const app = tls ? createHttpServer(testHost(), openHttps(tls)) : fastify({ forceCloseConnections: true });
  const open = new Set<string>();
  const reached = new Set<string>();
  const steps = new Map<string, { head: () => void; body: PassThrough }>();
  app.get<{ Params: { id: string } }>("/calls/:id", async (request, reply) => {
    const { id } = request.params;
    reached.add(id);
    // A call may have ended before its handler begins.
    if (request.raw.destroyed || reply.raw.destroyed) return reply.send("");
    open.add(id);
    request.raw.once("close", () => open.delete(id));
    reply.raw.once("close", () => open.delete(id));
    const { promise, resolve } = Promise.withResolvers<void>();
    const body = new PassThrough();
    body.on("error", () => {});
    reply.raw.once("close", () => resolve());
    steps.set(id, { head: resolve, body });
    await promise;
    return reply.type("text/plain").send(body);
  });
  return { app, open, reached, steps };
}

const openHttps = (source: TestTls) => ({ name: "test", tls: { source, requestClientCertificate: false } });

const WAYS: Record<string, (app: ReturnType<typeof openServer>["app"], tls: TestTls) => Promise<Transport>> = {
  inject: async (app) => injectTransport(app),
  relay: async (app) => relayed({ transport: injectTransport(app), token: "t" }),
  fetch: async (app) => fetchTransport({ urls: [await app.listen({ host: "127.0.0.1", port: 0 })] }),
  "http/2": async (app, tls) =>
    fetchTransport({ urls: [await app.listen({ host: "127.0.0.1", port: 0 })], tls: { ca: tls.authority.pem } }),
};

const tls = await testTls();

describe.each(Object.entries(WAYS))("by %s", (name, openWay) => {
  const server = openServer(name === "http/2" ? tls : undefined);
  const unheard: unknown[] = [];
  const note = (error: unknown) => unheard.push(error);
  let transport: Transport;
  let calls = 0;

  beforeAll(async () => {
    process.on("unhandledRejection", note);
    process.on("uncaughtException", note);
    transport = await openWay(server.app, tls);
  });
  afterAll(async () => {
    await transport[Symbol.asyncDispose]();
    await server.app.close();
    process.off("unhandledRejection", note);
    process.off("uncaughtException", note);
  });

  /** One call that is aborted at a moment; how it ended for its caller. */
  async function aborted(moment: Moment, read: Read): Promise<{ id: string; ended: unknown }> {
    const id = `${++calls}`;
    const abort = new AbortController();
    const give = () => abort.abort(REASON);
    if (moment === "before") give();
    const asked = transport.request({ method: "GET", path: `/calls/${id}`, signal: abort.signal });
    const outcome = asked.then(
      (answer) => ({ answer }),
      (error: unknown) => ({ error }),
    );
    if (moment === "same tick") give();
    if (moment === "next tick") process.nextTick(give);
    const last = moment === "before" || moment === "same tick" || moment === "next tick";
    if (last) return { id, ended: ((await outcome) as { error?: unknown }).error };
    const step = await eventually("the call is at the server", () => server.steps.get(id));
    if (moment === "connecting") {
      give();
      return { id, ended: ((await outcome) as { error?: unknown }).error };
    }
    step.head();
    step.body.write("a");
    const { answer } = (await outcome) as { answer: TransportResponse };
    if (moment === "head") give();
    const reading = read === "left unread" ? Promise.resolve("unread") : readAll(answer, read);
    const ended = reading.then(
      (text) => text,
      (error: unknown) => error,
    );
    if (moment === "body") {
      await new Promise((resolve) => setImmediate(resolve));
      give();
    }
    if (moment === "after the end") {
      step.body.end("b");
      await ended;
      give();
    }
    return { id, ended: await ended };
  }

  test("an abort at any moment leaves no call open and no error unheard", async () => {
    const plan = fc.array(fc.record({ moment: fc.constantFrom(...MOMENTS), read: fc.constantFrom(...READS) }), {
      minLength: 1,
      maxLength: 8,
    });
    await fc.assert(
      fc.asyncProperty(plan, async (steps) => {
        const ends = await Promise.all(
          steps.map(async (step) => ({ ...step, ...(await aborted(step.moment, step.read)) })),
        );
        for (const { moment, read, id, ended } of ends) {
          const isRead = moment === "after the end" ? read !== "left unread" : false;
          if (isRead) expect(ended).toBe("ab");
          else if (ended !== "unread") expect(ended, `${moment}, ${read}`).toBe(REASON);
          if (moment === "before") expect(server.reached.has(id)).toBe(false);
          if (read === "left unread" && moment === "after the end") continue;
          await eventually(`call ${id} (${moment}, ${read}) is over at the server`, () => !server.open.has(id));
        }
        await new Promise((resolve) => setImmediate(resolve));
        expect(unheard).toEqual([]);
      }),
      { numRuns: 60 },
    );
  });
});

async function readAll(answer: TransportResponse, read: Exclude<Read, "left unread">): Promise<string> {
  if (read === "text") return answer.text();
  let text = "";
  for await (const chunk of answer.stream()) text += Buffer.from(chunk).toString();
  return text;
}
