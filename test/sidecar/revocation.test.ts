/** Revoked certificates between sidecars: open connections end, new ones are refused, and those of others are left alone. */
import { once } from "node:events";
import { connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { beforeAll, expect, test } from "vitest";
import type { IdentityMaterial } from "#identity/core";
import { eventually } from "#test/kit";
import { callerOf, exchange, ingressOf, instanceAt, meshAuthority, serialOf, spiffeOf } from "./mesh-kit.ts";
import { tcpService, TestMesh, type MeshAuthority } from "./mesh-kit.ts";

let authority: MeshAuthority;
beforeAll(async () => {
  authority = await meshAuthority();
});

/** `orders` and `web` call `stock`, whose sidecar drains for a while. */
async function trio(drainMs = 0) {
  await using stack = new AsyncDisposableStack();
  const mesh = new TestMesh(authority);
  const service = stack.use(await tcpService());
  const callee = stack.use(await mesh.sidecar([ingressOf("stock", service.port)], drainMs));
  mesh.setInstances("stock", [instanceAt("stock", "stock-1", await callee.ingressPort("stock-1"))]);
  const [orders, web] = [
    stack.use(await mesh.sidecar([callerOf("orders", "stock")])),
    stack.use(await mesh.sidecar([callerOf("web", "stock")])),
  ] as const;
  const serial = (name: string) => serialOf(mesh.identities.get(name)?.current as IdentityMaterial);
  const owned = stack.move();
  return { mesh, callee, orders, web, serial, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

/** A connection that has carried a byte. */
async function openAt(port: number) {
  const socket = connect(port, "127.0.0.1");
  const end = new Promise<string>((resolve) => {
    socket.once("error", (error) => resolve((error as { code?: string }).code ?? "error"));
    socket.once("end", () => resolve("end"));
  });
  socket.write("a");
  await once(socket, "data");
  return { socket, end };
}

test("an ingress ends the open connections of a revoked caller, refuses new ones, and counts both", async () => {
  await using parts = await trio();
  const { mesh, callee, serial } = parts;
  const [ordersPort, webPort] = [await parts.orders.upstreamPort(), await parts.web.upstreamPort()];
  const [revoked, other] = [await openAt(ordersPort), await openAt(webPort)];
  mesh.revocations.replace([serial("orders")]);
  expect(await revoked.end).toBe("ECONNRESET");
  expect(String((await exchange(ordersPort, "hello")).received)).toBe("");
  other.socket.write("b");
  expect(String((await once(other.socket, "data"))[0])).toBe("b");
  other.socket.destroy();
  const refused = { service: "stock", reason: "revoked", detail: expect.stringContaining(serial("orders")) };
  expect(callee.refusals).toMatchObject([{ ...refused, caller: expect.stringMatching(/orders$/) }, refused]);
  expect(await callee.metrics()).toContain(
    'posthouse_sidecar_handshake_failures_total{service="stock",side="ingress",reason="revoked"} 2',
  );

  // A new certificate of the same service is as good as ever.
  mesh.identities.get("orders")?.set(await authority.issue(spiffeOf("orders")));
  expect(String((await exchange(ordersPort, "hello")).received)).toBe("hello");
});

test("an egress ends the open connections to a revoked ingress, and opens no new one to it", async () => {
  await using parts = await trio();
  const { mesh, orders, serial } = parts;
  const port = await orders.upstreamPort();
  const { end } = await openAt(port);
  mesh.revocations.replace([serial("stock")]);
  expect(await end).toBe("ECONNRESET");
  expect(String((await exchange(port, "hello")).received)).toBe("");
  expect(orders.sidecar.view().upstreams[0]?.problem).toContain("was revoked");
  await eventually("both are counted", async () =>
    (await orders.metrics()).includes(
      'posthouse_sidecar_handshake_failures_total{service="orders",side="egress",reason="revoked"} 2',
    ),
  );
});

test("a connection that drains from a removed ingress ends when its caller is revoked", async () => {
  await using parts = await trio(60_000);
  const { mesh, callee, serial } = parts;
  const { socket, end } = await openAt(await parts.orders.upstreamPort());
  callee.sidecar.define([]);
  socket.write("b");
  expect(String((await once(socket, "data"))[0])).toBe("b");
  mesh.revocations.replace([serial("orders")]);
  expect(await Promise.race([end, sleep(5_000, "still open")])).toBe("ECONNRESET");
});
