/**
 * Clients of a control plane over TLS: one HTTP/2 connection for everything, certificates that must not be trusted, authorities pinned
 * by fingerprint, and renewals, stops and hangs under load.
 */
import { once } from "node:events";
import { createServer as createHttpsServer } from "node:https";
import type { AddressInfo } from "node:net";
import type { FastifyInstance } from "fastify";
import { afterEach, describe, expect, test } from "vitest";
import { fetchTransport, type ControlTls, type Transport } from "#client";
import { httpTransport } from "#client/light";
import { closeHttpServer, createHttpServer, peerCertificateOf, WatchHub } from "#http";
import type { IdentityMaterial } from "#identity/core";
import { eventually, hangSignal, testHost, type TestTls, testTls } from "#test/kit";
import { authority } from "../gateway/certificates.ts";

const stack: AsyncDisposable[] = [];
afterEach(async () => {
  for (const one of stack.splice(0).toReversed()) await one[Symbol.asyncDispose]();
});

interface Member extends AsyncDisposable {
  readonly app: FastifyInstance;
  readonly hub: WatchHub;
  readonly url: string;
  readonly tls: TestTls;
  /** TCP connections so far, and requests. */
  connections: number;
  requests: number;
}

async function startMember(tls: TestTls, port = 0): Promise<Member> {
  const host = testHost();
  const hub = new WatchHub(host, "test");
  hub.reset(1);
  const app = createHttpServer(host, { name: "test", tls: { source: tls, requestClientCertificate: true } });
  app.addHook("onRequest", async () => void (member.requests += 1));
  app.get("/livez", () => ({ status: "live" }));
  app.get("/peer", (request) => ({ peer: peerCertificateOf(request)?.toString("base64") ?? null }));
  app.post("/call", () => ({ done: true }));
  app.get("/large", (_request, reply) => reply.send("x".repeat(1_000_000)));
  app.get("/watch", (_request, reply) => {
    hub.attach(reply, { topics: ["a"], after: undefined, snapshot: () => ["state"] });
  });
  app.addHook("preClose", () => hub[Symbol.asyncDispose]());
  app.server.on("connection", () => (member.connections += 1));
  await app.listen({ port, host: "127.0.0.1" });
  const at = (app.server.address() as AddressInfo).port;
  let closed: Promise<void> | undefined;
  const member: Member = {
    app,
    hub,
    tls,
    url: `https://127.0.0.1:${at}`,
    connections: 0,
    requests: 0,
    [Symbol.asyncDispose]: () => (closed ??= closeHttpServer(host, app)),
  };
  stack.push(member);
  return member;
}

function transportTo(urls: readonly string[], tls: ControlTls): Transport {
  const transport = fetchTransport({ urls, tls });
  stack.push(transport);
  return transport;
}

const get = async (transport: Transport, path: string) => {
  const answer = await transport.request({ method: "GET", path, signal: hangSignal() });
  return answer.text();
};
const post = async (transport: Transport, repeatable = false) => {
  const answer = await transport.request({ method: "POST", path: "/call", body: {}, repeatable, signal: hangSignal() });
  return answer.text();
};

/** Reads a watch until it ends, and counts its frames of a kind. */
function watch(transport: Transport, signal: AbortSignal = hangSignal()) {
  const seen = { deltas: 0, ended: false, error: undefined as unknown };
  const headers = { accept: "text/event-stream" };
  const opened = transport.request({ method: "GET", path: "/watch", headers, signal });
  const reading = (async () => {
    try {
      for await (const chunk of (await opened).stream()) {
        seen.deltas += Buffer.from(chunk).toString().split("event: delta").length - 1;
      }
      seen.ended = true;
    } catch (error) {
      seen.error = error;
    }
  })();
  return { seen, reading, opened };
}

test("a thousand watches, their calls and their aborts share one connection", async () => {
  const member = await startMember(await testTls());
  const transport = transportTo([member.url], { ca: member.tls.authority.pem });
  const abort = new AbortController();
  const watches = Array.from({ length: 1_000 }, () => watch(transport, abort.signal));
  await Promise.all(watches.map(({ opened }) => opened));
  member.hub.publish(2, [{ topics: ["a"], data: "b" }]);
  await eventually("all have it", () => watches.every(({ seen }) => seen.deltas === 1));
  await Promise.all(Array.from({ length: 50 }, () => post(transport)));
  expect((await get(transport, "/large")).length).toBe(1_000_000);
  abort.abort(new Error("enough"));
  await Promise.all(watches.map(({ reading }) => reading));
  await eventually("the server has forgotten them", () => [...member.hub.watchers()].length === 0);
  expect(await post(transport)).toBe('{"done":true}');
  expect(member.connections).toBe(1);
});

test("calls that begin at once before the first connection share it, too", async () => {
  const member = await startMember(await testTls());
  const transport = transportTo([member.url], { ca: member.tls.authority.pem });
  await Promise.all(Array.from({ length: 40 }, () => get(transport, "/livez")));
  expect(member.connections).toBe(1);
});

const HOUR = 3_600_000;
const at = (ms: number) => new Date(Date.now() + ms);
const TRANSPORTS = { "a service's": fetchTransport, "a command's": httpTransport };

describe.each(Object.entries(TRANSPORTS))("%s transport", (_name, openTransport) => {
  const open = (url: string, tls: ControlTls) => {
    const transport = openTransport({ urls: [url], tls });
    stack.push(transport);
    return transport;
  };

  test.each([
    ["expired", () => testTls(undefined, { notBefore: at(-2 * HOUR), notAfter: at(-HOUR) })],
    ["not-yet-valid", () => testTls(undefined, { notBefore: at(HOUR), notAfter: at(2 * HOUR) })],
    ["wrong-name", () => testTls(["other.example"])],
  ] as const)("refuses a certificate that is %s", async (reason, make) => {
    const tls = await make();
    const member = await startMember(tls);
    for (const trust of [{ ca: tls.authority.pem }, { fingerprint: tls.authority.fingerprint }]) {
      await expect(get(open(member.url, trust), "/livez")).rejects.toMatchObject({
        code: "CLIENT_UNTRUSTED",
        extra: { reason },
      });
    }
    expect(member.requests).toBe(0);
  });

  test("refuses another authority, and names both fingerprints", async () => {
    const member = await startMember(await testTls());
    const other = await authority();
    for (const trust of [{ ca: other.pem }, { fingerprint: other.fingerprint }, {}]) {
      const known = Object.keys(trust).length === 0 ? "the authorities of the system" : other.fingerprint;
      await expect(get(open(member.url, trust), "/livez")).rejects.toMatchObject({
        code: "CLIENT_UNTRUSTED",
        message: expect.stringMatching(new RegExp(`${member.tls.authority.fingerprint}[^]*${known}[^]*login`)),
        extra: { reason: "unknown-authority", fingerprint: member.tls.authority.fingerprint },
      });
    }
    expect(member.requests).toBe(0);
  });

  test("trusts the authority with the fingerprint, with and without colons", async () => {
    const member = await startMember(await testTls());
    const { fingerprint } = member.tls.authority;
    for (const text of [fingerprint, fingerprint.toUpperCase().match(/../g)?.join(":")]) {
      expect(await get(open(member.url, { fingerprint: text }), "/livez")).toBe('{"status":"live"}');
    }
  });

  test("a fingerprint or an authority that is none is refused at once", () => {
    expect(() => openTransport({ urls: ["https://x"], tls: { fingerprint: "abc" } })).toThrow("fingerprint");
    expect(() => openTransport({ urls: ["https://x"], tls: { ca: "none" } })).toThrow("PEM");
  });
});

test("a server with TLS that speaks HTTP/1.1 only is served, too", async () => {
  const tls = await testTls();
  const { certificate: cert, key } = tls.current;
  const server = createHttpsServer({ cert, key }, (_request, response) => response.end("older"));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  stack.push({
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      server.close();
    },
  });
  const url = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const transport = transportTo([url], { ca: tls.authority.pem });
  expect(await Promise.all([get(transport, "/"), get(transport, "/")])).toEqual(["older", "older"]);
});

/** Calls one after the other until `stop`; the failures. */
function keepCalling(transport: Transport) {
  const failed: unknown[] = [];
  const over = new AbortController();
  let count = 0;
  const running = Promise.all(
    Array.from({ length: 4 }, async () => {
      while (!over.signal.aborted) {
        await post(transport).catch((error: unknown) => failed.push(error));
        count += 1;
      }
    }),
  );
  const stop = async () => {
    over.abort();
    await running;
    return { failed, count };
  };
  return { stop, count: () => count };
}

test("a certificate that is renewed under load fails no call and cuts no watch, over both versions of HTTP", async () => {
  const member = await startMember(await testTls());
  const trust = { ca: member.tls.authority.pem };
  const one = transportTo([member.url], trust);
  const older = httpTransport({ urls: [member.url], tls: trust });
  stack.push(older);
  const abort = new AbortController();
  const watches = [watch(one, abort.signal), watch(older, abort.signal)];
  await Promise.all(watches.map(({ opened }) => opened));
  const calls = [keepCalling(one), keepCalling(older)];
  for (let renewal = 1; renewal <= 5; renewal++) {
    await member.tls.renew();
    const fresh = transportTo([member.url], trust);
    expect(await get(fresh, "/livez")).toBe('{"status":"live"}');
    member.hub.publish(1 + renewal, [{ topics: ["a"], data: renewal }]);
  }
  await eventually("both watches have all", () => watches.every(({ seen }) => seen.deltas === 5));
  for (const { failed, count } of await Promise.all(calls.map(({ stop }) => stop()))) {
    expect(failed).toEqual([]);
    expect(count).toBeGreaterThan(10);
  }
  abort.abort();
  await Promise.all(watches.map(({ reading }) => reading));
});

test("members that stop and start in turn under load fail no call that may be repeated, and no other that was not begun", async () => {
  const tls = await testTls();
  const first = await startMember(tls);
  let second = await startMember(tls);
  const transport = transportTo([first.url, second.url], { ca: tls.authority.pem });
  const calls = keepCalling(transport);
  for (let round = 0; round < 4; round++) {
    const before = calls.count();
    await eventually("calls go on", () => calls.count() > before + 20);
    const port = Number(new URL(second.url).port);
    await second[Symbol.asyncDispose]();
    await eventually("calls go on", () => calls.count() > before + 60);
    second = await startMember(tls, port);
  }
  // The member that is preferred stops last.
  await first[Symbol.asyncDispose]();
  const before = calls.count();
  await eventually("calls go on at the other", () => calls.count() > before + 20);
  expect((await calls.stop()).failed).toEqual([]);
});

test("a body that the server breaks off is an error, not a short answer", async () => {
  const member = await startMember(await testTls());
  const transport = transportTo([member.url], { ca: member.tls.authority.pem });
  const opened = watch(transport);
  await opened.opened;
  await eventually("it is attached", () => [...member.hub.watchers()].length === 1);
  // Too much at once for a reader: the hub drops it.
  const data = "x".repeat(3_000_000);
  for (let revision = 3; revision < 9; revision++) member.hub.publish(revision, [{ topics: ["a"], data }]);
  await opened.reading;
  expect([opened.seen.ended, opened.seen.error]).toMatchObject([false, { code: "CLIENT_UNREACHABLE" }]);
});

test("a new client certificate is used by new calls, while a watch goes on", async () => {
  const member = await startMember(await testTls());
  const clients = await testTls(["spiffe://posthouse/agent/a"]);
  const listeners = new Set<() => void>();
  const materialOf = ({ certificate, key }: TestTls["current"]): IdentityMaterial => ({
    certificate,
    key,
    bundle: member.tls.authority.pem,
    spiffeId: "spiffe://posthouse/agent/a",
    expiresAtMs: Infinity,
  });
  const identity = {
    current: materialOf(clients.current),
    onChange: (listener: () => void) => {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
  };
  const transport = transportTo([member.url], { identity });
  const abort = new AbortController();
  const open = watch(transport, abort.signal);
  await open.opened;
  const calls = keepCalling(transport);
  const before = await get(transport, "/peer");
  identity.current = materialOf(await clients.renew());
  for (const listener of listeners) listener();
  const after = await get(transport, "/peer");
  expect(JSON.parse(after)).not.toEqual(JSON.parse(before));
  expect(JSON.parse(before)).not.toEqual({ peer: null });
  member.hub.publish(2, [{ topics: ["a"], data: "b" }]);
  await eventually("the watch has it", () => open.seen.deltas === 1);
  expect((await calls.stop()).failed).toEqual([]);
  expect(member.connections).toBe(2);
  abort.abort();
  await open.reading;
});
