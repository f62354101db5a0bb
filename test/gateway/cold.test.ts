/** How a gateway handles a registry that has just started: endpoints known before stay until the registry is warm. */
import { expect, test } from "vitest";
import type { Frame } from "#http/frames";
import type { Instance, ServiceDelta } from "#registry/api";
import { eventually, testHost } from "#test/kit";
import { RegistrySource } from "../../gateway/sources/registry.ts";
import { instance } from "./kit.ts";

type Given = Partial<Frame<ServiceDelta>> & Pick<Frame, "event">;

const of = (service: string, instances: readonly Instance[], more: Partial<ServiceDelta> = {}): ServiceDelta => ({
  namespace: "default",
  service,
  instances,
  removed: [],
  panic: false,
  ...more,
});
const orders = (port: number, over: Partial<Instance> = {}) => instance(port, { id: `o-${port}`, ...over });
const snapshot = (...given: Parameters<typeof of>): Given => ({ event: "snapshot", data: of(...given) });
const delta = (...given: Parameters<typeof of>): Given => ({ event: "delta", data: of(...given) });

/** A source over frames that a test hands out, and what it holds after them. */
function follow() {
  const frames: Given[] = [];
  let wake = () => {};
  let revision = 0;
  const changes: unknown[] = [];
  const source = new RegistrySource(
    testHost(),
    {
      async *watch(_query, { signal }) {
        signal.addEventListener("abort", () => wake(), { once: true });
        while (!signal.aborted) {
          const frame = frames.shift();
          if (frame) yield { revision: ++revision, ...frame };
          else await new Promise<void>((resolve) => (wake = resolve));
        }
      },
    },
    (_namespace, services) => void changes.push(services === "all" ? "all" : [...services].join()),
  );
  source.use(new Set(["default"]));
  const held = (service: string) =>
    [...source.instances("default", service)].map(({ id, port }) => `${id}:${port}`).sort();
  return {
    source,
    changes,
    held,
    async hear(...given: Given[]) {
      frames.push(...given);
      // A frame that changes nothing, so that all before it were taken.
      frames.push({ event: "heartbeat", cold: true });
      wake();
      await eventually("the gateway has received the frames", () => frames.length === 0);
      await new Promise((resolve) => setImmediate(resolve));
      return { orders: held("orders"), users: held("users") };
    },
    [Symbol.asyncDispose]: () => source[Symbol.asyncDispose](),
  };
}

const KNOWN = [
  snapshot("orders", [orders(1), orders(2)]),
  snapshot("users", [instance(3, { service: "users", id: "u" })]),
];
const BOTH = { orders: ["o-1:1", "o-2:2"], users: ["u:3"] };

test("endpoints known before stay beside those of a cold registry, and go when it is warm without them", async () => {
  await using gateway = follow();
  expect(await gateway.hear(...KNOWN, { event: "synced" })).toEqual(BOTH);
  const moved = snapshot("orders", [orders(9, { id: "o-1" })]);
  expect(await gateway.hear({ event: "reset" }, moved)).toEqual(BOTH);
  expect(await gateway.hear({ event: "synced", cold: true })).toEqual({ orders: ["o-1:9", "o-2:2"], users: ["u:3"] });
  expect(gateway.source.instance("default", "orders", "o-2")?.port).toBe(2);
  // Agents come back; what leaves, leaves at once.
  const back = delta("orders", [orders(8, { id: "o-3" })], { removed: ["o-2"] });
  expect(await gateway.hear(back)).toEqual({ orders: ["o-1:9", "o-3:8"], users: ["u:3"] });
  expect(await gateway.hear(delta("users", [], { removed: ["u"] }))).toEqual({ orders: ["o-1:9", "o-3:8"], users: [] });
  gateway.changes.length = 0;
  expect(await gateway.hear({ event: "heartbeat" })).toEqual({ orders: ["o-1:9", "o-3:8"], users: [] });
  expect(gateway.changes).toEqual(["all"]);
});

test("a service that a warm registry no longer has is gone at its first heartbeat", async () => {
  await using gateway = follow();
  await gateway.hear(...KNOWN, { event: "synced" });
  expect(await gateway.hear({ event: "reset" }, { event: "synced", cold: true })).toEqual(BOTH);
  expect(gateway.source.complete).toBe(true);
  expect(await gateway.hear({ event: "heartbeat" })).toEqual({ orders: [], users: [] });
});

test("the first word of a cold registry is taken when nothing is known, and held beside the last good state", async () => {
  await using fresh = follow();
  expect(fresh.source.complete).toBe(false);
  expect(await fresh.hear(KNOWN[0] as Given, { event: "synced", cold: true })).toEqual({ ...BOTH, users: [] });
  expect(fresh.source.complete).toBe(true);
  await using restored = follow();
  restored.source.restore("default", [orders(1), orders(5)], new Map());
  expect(await restored.hear(snapshot("orders", [orders(2)]), { event: "synced", cold: true })).toEqual({
    orders: ["o-1:1", "o-2:2", "o-5:5"],
    users: [],
  });
  expect(await restored.hear({ event: "heartbeat" })).toEqual({ orders: ["o-2:2"], users: [] });
});

test("a registry that goes again while it is cold takes nothing away, and the next warm one replaces all", async () => {
  await using gateway = follow();
  await gateway.hear(...KNOWN, { event: "synced" });
  const { revision } = gateway.source;
  expect(await gateway.hear({ event: "reset" }, { event: "synced", cold: true }, { event: "reset" })).toEqual(BOTH);
  // The next server's heartbeat, before its snapshot is whole, confirms nothing of the one before.
  expect(await gateway.hear({ event: "heartbeat" })).toEqual(BOTH);
  expect(gateway.source.revision).toBeLessThan(revision + 5);
  expect(await gateway.hear(snapshot("orders", [orders(7)]), { event: "synced" })).toEqual({
    orders: ["o-7:7"],
    users: [],
  });
});

test("hints and idle times of a cold registry take effect as it says them", async () => {
  await using gateway = follow();
  const policy = { gateway: { pathPrefixes: ["/orders"], keepAliveSeconds: 7 } };
  await gateway.hear(snapshot("orders", [orders(1)], policy), { event: "synced" });
  const hints = gateway.source.hints("default");
  expect([...hints]).toEqual([["orders", ["/orders"]]]);
  expect(gateway.source.instance("default", "orders", "o-1")?.keepAliveMs).toBe(7_000);
  await gateway.hear(delta("orders", [orders(1)], policy));
  expect(gateway.source.hints("default")).toBe(hints);
  await gateway.hear({ event: "reset" }, snapshot("orders", []), { event: "synced", cold: true });
  expect([...gateway.source.hints("default")]).toEqual([]);
  expect(gateway.source.instance("default", "orders", "o-1")).toMatchObject({ port: 1 });
  expect(gateway.source.instance("default", "orders", "o-1")?.keepAliveMs).toBeUndefined();
});
