/** A gateway that reaches services through the mTLS ingresses of their sidecars, with a certificate of its own. */
import { once } from "node:events";
import { createServer as createHttp2Server, type ServerHttp2Stream } from "node:http2";
import type { AddressInfo } from "node:net";
import { beforeAll, expect, test } from "vitest";
import type { IdentityMaterial } from "#identity/core";
import type { Instance } from "#registry/api";
import { eventually, freePort } from "#test/kit";
import { instance, oneRoute, runGateway, upstream } from "../gateway/kit.ts";
import {
  ingressOf,
  meshAuthority,
  serialOf,
  spiffeOf,
  TestMesh,
  testIdentity,
  type MeshAuthority,
} from "./mesh-kit.ts";

const GATEWAY_ID = "spiffe://posthouse/gateway/edge-1";

let authority: MeshAuthority;
beforeAll(async () => {
  authority = await meshAuthority();
});

/** `orders` behind a sidecar, and a gateway with a certificate. The registered port of orders is closed. */
async function meshGateway(
  localPort: number,
  {
    protocol = "http",
    cluster = {},
    over = {},
    hasIngress = true,
  }: { protocol?: Instance["protocol"]; cluster?: object; over?: Partial<Instance>; hasIngress?: boolean } = {},
) {
  await using stack = new AsyncDisposableStack();
  const mesh = new TestMesh(authority);
  const sidecar = stack.use(await mesh.sidecar([ingressOf("orders", localPort, protocol)]));
  const ingress = { port: await sidecar.ingressPort("orders-1") };
  const identity = testIdentity(await authority.issue(GATEWAY_ID));
  const closed = await freePort();
  const config = {
    ...oneRoute(
      { cluster: "orders", service: undefined },
      { clusters: [{ name: "orders", service: "orders", ...cluster }] },
    ),
  };
  const gateway = stack.use(
    await runGateway(
      JSON.stringify(config),
      [instance(closed, { namespace: "shop", protocol, ...(hasIngress ? { ingress } : {}), ...over })],
      {
        identity,
      },
    ),
  );
  const owned = stack.move();
  const ask = async (init: RequestInit = {}) => {
    const answer = await fetch(`${gateway.url}/x`, init);
    return { status: answer.status, text: await answer.text() };
  };
  return { mesh, sidecar, identity, gateway, ask, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

test("requests go to the ingress, and their connection is kept", async () => {
  await using service = await upstream();
  await using mesh = await meshGateway(service.port);
  for (let i = 0; i < 5; i++) expect((await mesh.ask({ method: "POST", body: `body ${i}` })).status).toBe(200);
  expect(service.requests.map(({ body }) => body)).toEqual([0, 1, 2, 3, 4].map((i) => `body ${i}`));
  expect(await mesh.sidecar.metrics()).toContain('ingress_connections_total{service="orders",outcome="admitted"} 1');
});

test("HTTP/2 goes through the ingress, too", async () => {
  const server = createHttp2Server();
  server.on("stream", (stream: ServerHttp2Stream) => {
    stream.respond({ ":status": 200 });
    stream.pipe(stream);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  {
    await using mesh = await meshGateway((server.address() as AddressInfo).port, { protocol: "h2c" });
    const answers = await Promise.all([1, 2, 3].map((i) => mesh.ask({ method: "POST", body: `stream ${i}` })));
    expect(answers).toEqual([1, 2, 3].map((i) => ({ status: 200, text: `stream ${i}` })));
  }
  server.close();
});

test("a rule decides about the gateways", async () => {
  await using service = await upstream();
  await using mesh = await meshGateway(service.port);
  mesh.mesh.setRules("rules: [web may call orders]");
  const refused = await mesh.ask();
  expect(refused.status).toBe(502);
  expect(refused.text).toContain("UPSTREAM_UNTRUSTED");
  expect(service.requests).toHaveLength(0);
  expect(mesh.sidecar.sidecar.view().denials[0]?.caller).toBe(GATEWAY_ID);
  mesh.mesh.setRules("rules: [gateway may call *]");
  expect((await mesh.ask()).status).toBe(200);
});

test("an ingress with the certificate of another service gets no request", async () => {
  await using service = await upstream();
  await using mesh = await meshGateway(service.port);
  mesh.mesh.identities.get("orders")?.set(await authority.issue(spiffeOf("payments")));
  expect((await mesh.ask({ method: "POST", body: "secret" })).status).toBe(502);
  expect(service.requests).toHaveLength(0);
});

test("without a certificate or an ingress the plain port is used, unless the cluster requires the mesh", async () => {
  await using service = await upstream();
  await using plain = await meshGateway(service.port, { over: { port: service.port }, hasIngress: false });
  expect((await plain.ask()).status).toBe(200);
  await using off = await meshGateway(service.port, { over: { port: service.port }, cluster: { mesh: "off" } });
  expect((await off.ask()).status).toBe(200);
  expect(await off.sidecar.metrics()).not.toContain('outcome="admitted"');
  await using required = await meshGateway(service.port, {
    over: { port: service.port },
    hasIngress: false,
    cluster: { mesh: "required" },
  });
  expect((await required.ask()).status).toBe(503);
  await using nameless = await meshGateway(service.port, {
    over: { port: service.port },
    cluster: { mesh: "required" },
  });
  expect((await nameless.ask()).status).toBe(200);
  const lone = await runGateway(
    oneRoute(
      { cluster: "orders", service: undefined },
      { clusters: [{ name: "orders", service: "orders", mesh: "required" }] },
    ),
    [instance(service.port, { ingress: { port: 1 } })],
  );
  await using _ = lone;
  expect((await fetch(`${lone.url}/x`)).status).toBe(502);
});

test("the certificates of both sides rotate under load, and no request fails", async () => {
  await using service = await upstream();
  await using mesh = await meshGateway(service.port);
  let done = 0;
  const failures: unknown[] = [];
  const stop = new AbortController();
  const load = Array.from({ length: 4 }, async () => {
    while (!stop.signal.aborted) {
      const { status, text } = await mesh.ask({ method: "POST", body: "not repeatable" });
      if (status === 200) done += 1;
      else failures.push(text);
    }
  });
  const next = await meshAuthority("next");
  const both = `${authority.bundle}\n${next.bundle}`;
  const replace = async (issuer: MeshAuthority, bundle: string) => {
    mesh.mesh.identities.get("orders")?.set(await issuer.issue(spiffeOf("orders"), { bundle }));
    mesh.identity.set(await issuer.issue(GATEWAY_ID, { bundle }));
    const before = done;
    await eventually("requests go on", () => done > before + 20);
  };
  await replace(authority, authority.bundle);
  await replace(authority, both);
  await replace(next, both);
  await replace(next, next.bundle);
  stop.abort();
  await Promise.all(load);
  expect(failures).toEqual([]);
  // Each rotation of the gateway opened new connections.
  const admitted = /ingress_connections_total\{service="orders",outcome="admitted"\} (\d+)/.exec(
    await mesh.sidecar.metrics(),
  );
  expect(Number(admitted?.[1])).toBeGreaterThan(4);
});

test("a gateway ends its connections to a revoked ingress, and an ingress those of a revoked gateway", async () => {
  await using service = await upstream();
  const open = () => new Promise<number>((resolve) => service.server.getConnections((_error, count) => resolve(count)));
  await using mesh = await meshGateway(service.port);
  expect((await mesh.ask()).status).toBe(200);
  expect(await open()).toBe(1);
  const serial = serialOf(mesh.mesh.identities.get("orders")?.current as IdentityMaterial);
  mesh.identity.revocations.replace([serial]);
  await eventually("the kept connection ends", async () => (await open()) === 0);
  const { status, text } = await mesh.ask();
  expect([status, text]).toEqual([502, expect.stringContaining("UPSTREAM_UNTRUSTED")]);
  mesh.identity.revocations.replace([]);
  await eventually("the endpoint is tried again", async () => (await mesh.ask()).status === 200);

  mesh.mesh.revocations.replace([serialOf(mesh.identity.current as IdentityMaterial)]);
  await eventually("its connection ends, too", async () => (await open()) === 0);
  expect((await mesh.ask()).status).toBe(502);
  expect(await mesh.sidecar.metrics()).toContain('side="ingress",reason="revoked"');
});
