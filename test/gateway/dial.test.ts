/** A gateway connects to services alone: never to its own process, and to its host only where that is said to be right. */
import { generateKeyPairSync } from "node:crypto";
import { connect, type AddressInfo } from "node:net";
import { SignJWT } from "jose";
import { expect, test } from "vitest";
import { OwnListeners } from "#base/address-class";
import { createGateway } from "#gateway";
import { eventually, testHost, hangSignal } from "#test/kit";
import { baseSettings, FakeControlPlane, instance, oneRoute, rawUpstream, upstream } from "./kit.ts";

async function gatewayWith(config: object, { loopback = true, instances = [] as ReturnType<typeof instance>[] } = {}) {
  const own = new OwnListeners(() => []);
  const plane = new FakeControlPlane();
  const gateway = createGateway(testHost(), { client: plane, settings: baseSettings, dial: { loopback, own } });
  plane.release(config);
  plane.snapshot(...instances);
  await gateway.ready(hangSignal());
  const { httpPort } = await gateway.listen();
  const call = async (path = "/", headers: Record<string, string> = {}) => {
    const answer = await fetch(`http://127.0.0.1:${httpPort}${path}`, { headers });
    return { status: answer.status, text: await answer.text() };
  };
  return { own, plane, gateway, httpPort, call, [Symbol.asyncDispose]: () => gateway[Symbol.asyncDispose]() };
}

test.each(["127.0.0.1", "::ffff:127.0.0.1", "127.0.0.2"])(
  "an instance at the gateway's own port, at %s, is not an endpoint",
  async (address) => {
    await using running = await gatewayWith(oneRoute(), { instances: [instance(9)] });
    running.plane.change(instance(running.httpPort, { id: "i-9", address }));
    const answer = await eventually("it is known", async () => {
      const one = await running.call();
      return one.text.includes("posthouse itself") ? one : undefined;
    });
    expect(answer.status).toBe(503);
  },
);

test("ports opened later in this process are excluded while they are open, also when the port has a name", async () => {
  await using agent = await upstream();
  const ports = [{ name: "admin", port: agent.port, protocol: "http" as const }];
  const clusters = [{ name: "c", service: "orders", port: "admin" }];
  await using running = await gatewayWith(oneRoute({ service: undefined, cluster: "c" }, { clusters }), {
    instances: [instance(9, { ports })],
  });
  expect((await running.call()).status).toBe(200);
  const close = running.own.add({ host: "localhost", port: agent.port });
  expect((await running.call()).status).toBe(503);
  expect(agent.requests).toHaveLength(1);
  close();
  expect((await running.call()).status).toBe(200);
});

test("without services on this host its loopback is dialled by no address, name, copy, probe or key set", async () => {
  await using service = await rawUpstream(() => {});
  const { port } = service;
  const key = generateKeyPairSync("ed25519").privateKey;
  const token = await new SignJWT({}).setProtectedHeader({ alg: "EdDSA" }).sign(key);
  await using running = await gatewayWith(
    {
      jwt: [
        {
          name: "idp",
          issuer: "x",
          audience: ["x"],
          algorithms: ["EdDSA"],
          jwks: { url: `http://localhost:${port}/` },
        },
        { name: "ip", issuer: "x", audience: ["x"], algorithms: ["EdDSA"], jwks: { url: `http://127.0.0.1:${port}/` } },
      ],
      clusters: [
        { name: "address", endpoints: [{ address: "127.0.0.1", port }] },
        { name: "name", endpoints: [{ address: "localhost", port }] },
      ],
      routes: [
        ...["address", "name"].map((name) => ({
          name,
          match: { path: { prefix: `/${name}` } },
          cluster: name,
        })),
        { name: "service", match: { path: { prefix: "/service" } }, service: "orders" },
        { name: "copy", match: { path: { prefix: "/copy" } }, cluster: "name", mirror: [{ cluster: "address" }] },
        ...["idp", "ip"].map((name) => ({
          name,
          match: { path: { prefix: `/${name}` } },
          service: "orders",
          jwt: { provider: name },
        })),
      ],
    },
    { loopback: false, instances: [instance(port)] },
  );
  const statuses = async (...paths: string[]) =>
    Promise.all(paths.map(async (path) => (await running.call(path, { authorization: `Bearer ${token}` })).status));
  const plain = await statuses("/address", "/service", "/idp", "/ip");
  expect(plain).toEqual([503, 503, 503, 503]);
  for (const status of await statuses("/name", "/copy")) expect([502, 503]).toContain(status);
  const { text } = await running.call("/service");
  expect(text).toContain("gatewayLoopback");
  // The service sees the bytes sent to it afterwards first.
  const socket = connect(port, "127.0.0.1");
  await eventually("a connection", () => service.connections.length > 0);
  expect(service.connections.map(({ socket: { remotePort } }) => remotePort)).toEqual([
    (socket.address() as AddressInfo).port,
  ]);
  socket.destroy();
});

test.each([
  "http://169.254.169.254/k",
  "https://[fe80::1]/k",
  "https://100.100.100.200/k",
  "https://[::ffff:a9fe:a9fe]/k",
])("a key set at %s is refused with its config", async (url) => {
  const { parseGatewayConfig } = await import("#gateway");
  const jwt = [{ name: "idp", issuer: "x", audience: ["x"], algorithms: ["ES256"], jwks: { url } }];
  const { problems } = parseGatewayConfig(JSON.stringify({ jwt }));
  expect(problems).toMatchObject([{ pointer: "/jwt/0/jwks/url" }]);
});
