/**
 * Durable transactions per second with 1 and with 128 writers: compare-and-set of a 1 KB value, acknowledged when durable. LMDB in this
 * process, compared with one etcd node with sync on, on the same disk in the same run, in turn.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemHost } from "#base/system";
import { openStore, type Store } from "#store";
import { freePort } from "#test/kit";
import { cpuMicrosOfTree, need, percentiles, round, spread, startPinned } from "./kit.ts";

const ROUNDS = 5;
const SECONDS = 2;
const VALUE = new Uint8Array(1024).fill(120);

interface Sample {
  readonly perSecond: number;
  readonly cpuMicros: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

async function writers(store: Store, count: number, label: string, cpu: () => number): Promise<Sample> {
  const latencies: number[] = [];
  const cpuBefore = cpu();
  const began = performance.now();
  const end = began + SECONDS * 1000;
  await Promise.all(
    Array.from({ length: count }, async (_, writer) => {
      const key = `bench/${label}/${writer}`;
      let modRevision = (await store.range({ key })).entries[0]?.modRevision ?? 0;
      while (performance.now() < end) {
        const at = performance.now();
        const done = await store.txn({
          when: [{ key, target: "modRevision", is: "equal", value: modRevision }],
          then: [{ type: "put", key, value: VALUE }],
        });
        if (!done.succeeded) throw new Error("a compare-and-set failed without a rival");
        modRevision = done.revision;
        latencies.push(performance.now() - at);
      }
    }),
  );
  const seconds = (performance.now() - began) / 1000;
  const { p50, p99 } = percentiles(latencies);
  return {
    perSecond: latencies.length / seconds,
    cpuMicros: (cpu() - cpuBefore) / latencies.length,
    p50Ms: p50,
    p99Ms: p99,
  };
}

export async function benchStore(): Promise<object> {
  need("etcd", "taskset");
  const folder = await mkdtemp(join(tmpdir(), "posthouse-bench-"));
  const host = systemHost({ logLevel: "error" });
  const [client, peer] = [await freePort(), await freePort()];
  const url = `http://127.0.0.1:${client}`;
  const peerUrl = `http://127.0.0.1:${peer}`;
  const etcdArgs = ["--data-dir", join(folder, "etcd"), "--listen-client-urls", url, "--advertise-client-urls", url];
  const etcdPeers = ["--listen-peer-urls", peerUrl, "--initial-advertise-peer-urls", peerUrl];
  await using etcd = await startPinned(1, "etcd", [
    ...etcdArgs,
    ...etcdPeers,
    "--initial-cluster",
    `default=${peerUrl}`,
    "--log-level",
    "error",
  ]);
  const own = () => process.cpuUsage().user + process.cpuUsage().system;
  try {
    await using lmdb = await openStore(host, { engine: "lmdb", folder: join(folder, "lmdb") });
    await using remote = await openStore(host, { engine: "etcd", endpoints: [url] });
    const result: Record<string, object> = {};
    for (const count of [1, 128]) {
      const samples: Record<string, Sample[]> = { lmdb: [], etcd: [] };
      for (let round = 0; round < ROUNDS; round++) {
        samples["lmdb"]?.push(await writers(lmdb, count, String(count), own));
        samples["etcd"]?.push(await writers(remote, count, String(count), () => own() + cpuMicrosOfTree(etcd.pid)));
      }
      const sum = (name: string) => ({
        perSecond: spread(samples[name]?.map((sample) => sample.perSecond) ?? []),
        cpuMicrosPerTransaction: spread(samples[name]?.map((sample) => sample.cpuMicros) ?? []),
        p50Ms: spread(samples[name]?.map((sample) => sample.p50Ms) ?? []),
        p99Ms: spread(samples[name]?.map((sample) => sample.p99Ms) ?? []),
      });
      const [ours, theirs] = [sum("lmdb"), sum("etcd")];
      result[`${count} writers`] = {
        lmdb: ours,
        "etcd, one node": theirs,
        ratio: round(ours.perSecond.median / theirs.perSecond.median),
      };
    }
    return result;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
