/** Callers of client certificates: what their node or their name makes of them, and that a certificate alone is not enough. */
import { expect, test } from "vitest";
import { Access } from "#access";
import { openMemoryStore } from "#store";
import { testHost } from "#test/kit";

const peer = (workload: object) => ({ workload, serial: "ab12", expiresAtMs: 5_000 }) as never;

test("nodes and services are callers within their limits; members and unknown nodes are not callers", async () => {
  const host = testHost();
  await using store = openMemoryStore(host);
  const access = new Access(host, store);
  const nodes = new Map<string, object>([
    ["agent web-1", { limits: { namespaces: ["prod"], apps: ["orders"], services: ["orders"] } }],
    ["agent bare", {}],
    ["gateway edge", {}],
  ]);
  const of = (kind: string, name: string) => access.principalOfPeer(peer({ kind, name }));
  expect(of("agent", "web-1")).toBeUndefined();
  access.followNodes({ nodeOf: (kind, name) => nodes.get(`${kind} ${name}`), isRevoked: () => false, list: () => [] });
  expect(of("agent", "web-1")).toMatchObject({
    id: "agent:web-1",
    kind: "certificate",
    policies: ["agent"],
    limits: { namespaces: ["prod"], apps: ["orders"], services: ["orders"] },
    secretApps: ["orders"],
    serial: "ab12",
  });
  // An agent that is bound to no app reads none.
  expect(of("agent", "bare")).toMatchObject({ limits: { apps: [] }, secretApps: [] });
  expect(of("gateway", "edge")).toMatchObject({
    id: "gateway:edge",
    policies: ["gateway"],
    limits: { apps: ["gateway"] },
  });
  const service = access.principalOfPeer(peer({ kind: "service", namespace: "prod", name: "orders" }));
  expect(service).toMatchObject({
    id: "service:prod/orders",
    policies: ["service"],
    limits: { namespaces: ["prod"], services: ["orders"], apps: ["orders"] },
  });
  expect([of("member", "one"), of("gateway", "web-1"), of("agent", "stranger")]).toEqual([
    undefined,
    undefined,
    undefined,
  ]);
});

test("a caller by certificate ends with its node, its certificate, and a change of its limits", async () => {
  const host = testHost();
  await using store = openMemoryStore(host);
  const access = new Access(host, store);
  let node: object | undefined = { limits: { apps: ["orders"] } };
  access.followNodes({ nodeOf: () => node, isRevoked: () => false, list: () => [] });
  const far = {
    workload: { kind: "agent", name: "web-1" },
    serial: "ab12",
    expiresAtMs: host.clock.now() + 60_000,
  } as const;
  const principal = access.principalOfPeer(far);
  if (!principal) throw new Error("no caller");
  expect(access.isCurrent(principal)).toBe(true);
  expect(access.isCurrent({ ...principal, expiresAtMs: host.clock.now() - 1 })).toBe(false);
  node = { limits: { apps: ["orders", "pay"] } };
  expect(access.isCurrent(principal)).toBe(false);
  node = undefined;
  expect(access.isCurrent(principal)).toBe(false);
});
