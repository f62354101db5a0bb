/** How an agent handles a server that has just started: instances that it knew stay until the server is warm. */
import { expect, test } from "vitest";
import type { Client } from "#client";
import type { Frame } from "#http/frames";
import type { ServiceDelta } from "#registry/api";
import { eventually, testHost, watchFeed } from "#test/kit";
import { catalogCache } from "../../agent/caches.ts";
import { instance } from "../gateway/kit.ts";

const of = (ids: readonly string[], removed: readonly string[] = []): ServiceDelta => ({
  namespace: "default",
  service: "orders",
  instances: ids.map((id) => instance(1, { id })),
  removed,
  panic: false,
});

test("beside what a cold server says an agent lists what it knew, and removals apply at once", async () => {
  const feed = watchFeed();
  await using catalog = catalogCache(testHost(), { registry: feed.registry } as Client, () => {});
  const name = { namespace: "default", service: "orders" };
  catalog.follow(name, { pinned: false });
  const holds = async (wanted: string, ...given: Frame<ServiceDelta>[]) => {
    feed.hear(...given);
    const held = () => catalog.peek(name)?.value.instances.map(({ id }) => id) ?? [];
    await eventually(`it holds ${wanted}`, () => feed.isRead() && held().toSorted().join() === wanted);
  };
  await holds("a,b", { event: "snapshot", revision: 1, data: of(["a", "b"]) }, { event: "synced", revision: 1 });
  const begun: Frame<ServiceDelta>[] = [
    { event: "reset", revision: 2 },
    { event: "snapshot", revision: 2, data: of(["c"]) },
  ];
  await holds("a,b,c", ...begun, { event: "synced", revision: 2, cold: true });
  await holds("a,c", { event: "delta", revision: 3, data: of([], ["b"]) });
  await holds("a,c,d", { event: "delta", revision: 4, data: of(["d"]) });
  await holds("c,d", { event: "heartbeat", revision: 5 });
  expect(catalog.peek(name)).toMatchObject({ stale: false });
});
