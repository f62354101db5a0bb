/** Quotas over HTTP and the store: who may lease, what concurrent askers get together, and what outlives a restart. */
import { expect, test } from "vitest";
import { Client, injectTransport } from "#client";
import { Quotas } from "#quotas";
import { openStore } from "#store";
import { ManualClock, tempFolder, testHost, withControl } from "#test/kit";

const ask = (key: string, over: object = {}) => ({ key, requests: 100, per: 3_600, want: 10, ...over });

test("fifty concurrent asks on two members are granted at most the limit, and most of it", async () => {
  await using store = await openStore(testHost(), { engine: "memory" });
  const members = [new Quotas(testHost(), store), new Quotas(testHost(), store)];
  let granted = 0;
  for (let round = 0; round < 10; round++) {
    const answers = await Promise.allSettled(
      Array.from({ length: 6 }, (_, at) =>
        (members[at % 2] as Quotas).lease("default", { asks: [ask("k"), ask(`k${at}`)] }),
      ),
    );
    for (const answer of answers) if (answer.status === "fulfilled") granted += answer.value.leases[0]?.granted ?? 0;
  }
  expect(granted).toBeLessThanOrEqual(100);
  expect(granted).toBeGreaterThan(95);
});

test("namespaces have limits of their own, and a limit twice in one call is refused", async () => {
  await using store = await openStore(testHost(), { engine: "memory" });
  const quotas = new Quotas(testHost(), store);
  const lease = async (namespace: string) =>
    (await quotas.lease(namespace, { asks: [ask("k", { requests: 4 })] })).leases[0];
  expect([await lease("a"), await lease("a"), await lease("b")].map((one) => one?.granted)).toEqual([2, 1, 2]);
  await expect(quotas.lease("a", { asks: [ask("k"), ask("k")] })).rejects.toMatchObject({ code: "QUOTAS_DUPLICATE" });
});

test("a month's count outlives the process, on disk", async () => {
  await using folder = await tempFolder();
  const spend = async () => {
    await using store = await openStore(testHost(), { engine: "lmdb", folder: folder.path });
    const quotas = new Quotas(testHost({ clock: new ManualClock() }), store);
    return (await quotas.lease("default", { asks: [ask("k", { per: "month", want: 0, spent: 30 })] })).leases[0]
      ?.remaining;
  };
  expect([await spend(), await spend(), await spend()]).toEqual([70, 40, 10]);
});

test("store leases that were revoked are granted again", async () => {
  await using store = await openStore(testHost(), { engine: "memory" });
  const granted: string[] = [];
  const watched = new Proxy(store, {
    get: (target, name) => {
      if (name !== "grant") return (target[name as "txn"] as () => unknown).bind(target);
      return async (seconds: number) => {
        const lease = await target.grant(seconds);
        granted.push(lease.id);
        return lease;
      };
    },
  });
  const quotas = new Quotas(testHost(), watched);
  await quotas.lease("default", { asks: [ask("k")] });
  await store.revoke(granted[0] as string);
  expect((await quotas.lease("default", { asks: [ask("k")] })).leases[0]?.granted).toBe(10);
  expect(granted).toHaveLength(2);
});

test("a gateway may lease; an agent and a viewer may not; an invalid ask is refused by its field", async () => {
  await using control = await withControl();
  const as = async (policy: "gateway" | "viewer" | "agent") => {
    const { json } = await control.call("POST", "/v1/tokens", { name: policy, policies: [policy] });
    return new Client(testHost(), { transport: injectTransport(control.app), token: json["token"] as string });
  };
  const gateway = await as("gateway");
  const { leases } = await gateway.quotas.lease("default", { asks: [ask("k")] });
  expect(leases).toMatchObject([{ key: "k", granted: 10, remaining: 90, validMs: 2_000 }]);
  for (const policy of ["agent", "viewer"] as const) {
    const other = await as(policy);
    await expect(other.quotas.lease("default", { asks: [ask("k")] })).rejects.toMatchObject({ code: "HTTP_FORBIDDEN" });
  }
  const refused = gateway.quotas.lease("default", { asks: [ask("k", { per: "week" })] as never });
  await expect(refused).rejects.toMatchObject({ code: "HTTP_INVALID" });
});
