/**
 * Ten thousand instances that flap: their subscribers receive each flip, others receive nothing, and the server keeps
 * serving.
 */
import { expect, test } from "vitest";
import { type TestControl, withControl } from "#test/kit";

const SERVICES = 100;
const INSTANCES = 10_000;
const FLIPS = ["critical", "passing"] as const;
const AT_ONCE = 64;
const CHECKS = [{ id: "up", type: "http" as const, path: "/", intervalSeconds: 3600 }];

function follow({ client }: TestControl, service: string) {
  const abort = new AbortController();
  const told = { deltas: 0, statuses: new Map<string, string>(), synced: false };
  const reading = (async () => {
    const watch = client.registry.watch({ namespace: "default", services: [service] }, { signal: abort.signal });
    for await (const { event, data } of watch) {
      if (event === "synced") told.synced = true;
      if (event === "delta") told.deltas++;
      for (const { id, status } of data?.instances ?? []) told.statuses.set(id, status);
    }
  })();
  return Object.assign(told, {
    async [Symbol.asyncDispose]() {
      abort.abort();
      await reading;
    },
  });
}

async function each(count: number, work: (index: number) => Promise<unknown>): Promise<void> {
  let next = 0;
  const worker = async () => {
    while (next < count) await work(next++);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
}

test(
  "ten thousand flapping instances wake only their subscribers, each flip in order",
  { timeout: 300_000 },
  async () => {
    await using control = await withControl();
    const { registry } = control.client;
    const name = (index: number) => ({ namespace: "default", service: `s-${index % SERVICES}`, id: `i-${index}` });
    await registry.register({ namespace: "default", service: "calm", id: "c" }, { address: "10.0.0.1", port: 80 });
    await each(INSTANCES / 25, (batch) => {
      const instances = Array.from({ length: 25 }, (_, i) => {
        const { service, id } = name(batch * 25 + i);
        return {
          service,
          id,
          registration: { address: "10.0.0.1", port: 80, probedBy: "agent" as const, checks: CHECKS },
        };
      });
      return registry.registerBatch("default", { instances });
    });
    await using calm = follow(control, "calm");
    await using one = follow(control, "s-0");
    await expect.poll(() => calm.synced && one.synced).toBe(true);
    let last = 0;
    for (const status of FLIPS) {
      await each(INSTANCES, async (index) => {
        const { revision } = await registry.report(name(index), "up", { status });
        last = Math.max(last, revision);
      });
      // In the middle of it all a reader is answered, with everything up to the last flip.
      const { instances } = await registry.instances(name(7), { revision: last });
      expect(new Set(instances.map((instance) => instance.status))).toEqual(new Set([status]));
    }
    await expect.poll(() => one.deltas).toBe((INSTANCES / SERVICES) * FLIPS.length);
    expect(new Set(one.statuses.values())).toEqual(new Set(["passing"]));
    expect(calm.deltas).toBe(0);
    const { revision } = await registry.report(name(3), "up", { status: "passing" });
    expect(revision, "an unchanged verdict writes nothing").toBe(last);
  },
);
