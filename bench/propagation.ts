/**
 * The time from a registration's first byte until the gateway can send requests to the instance: through the API, the store, the watch, the
 * stream and the gateway's endpoint set; and from a release's first byte until the gateway routes by it. The gateway follows over a
 * socket, like a gateway on another machine.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemHost } from "#base/system";
import { Client, fetchTransport } from "#client";
import { createGateway, GATEWAY_SETTINGS } from "#gateway";
import { startPosthouse } from "#test/kit";
import { percentiles } from "./kit.ts";

const CHANGES = 2_000;
const RELEASES = 300;
/** Routes of each release. */
const ROUTES = 100;

export async function benchPropagation(): Promise<object> {
  const folder = await mkdtemp(join(tmpdir(), "posthouse-bench-"));
  try {
    await using server = await startPosthouse({ data: folder, args: ["--roles", "registry", "config-server"] });
    const host = systemHost({ logLevel: "error" });
    await using transport = fetchTransport({ urls: [server.api] });
    const client = new Client(host, { transport, token: server.token });
    const set = { namespace: "default", app: "gateway", profile: "default" };
    const value = JSON.stringify({ routes: [{ name: "orders", match: { path: { prefix: "/" } }, service: "orders" }] });
    await client.config.publish(set, { items: { "gateway.yaml": { format: "yaml", value } } });
    await using gateway = createGateway(host, {
      client,
      settings: {
        ...GATEWAY_SETTINGS,
        namespace: "default",
        host: "127.0.0.1",
        port: 0,
        tlsPort: 0,
        tls: undefined,
        dataFile: undefined,
      },
    });
    await gateway.ready(AbortSignal.timeout(10_000));
    const endpoints = () => gateway.status().clusters[0]?.endpoints ?? 0;
    const reaches = async (count: number) => {
      const deadline = performance.now() + 5_000;
      while (endpoints() !== count) {
        if (performance.now() > deadline) throw new Error(`the gateway never had ${count} endpoints`);
        await new Promise((resolve) => setImmediate(resolve));
      }
    };
    const name = { namespace: "default", service: "orders", id: "one" };
    const appear: number[] = [];
    const vanish: number[] = [];
    for (let i = 0; i < CHANGES / 2; i++) {
      let at = performance.now();
      const registering = client.registry.register(name, { address: "127.0.0.1", port: 4000 });
      await reaches(1);
      appear.push(performance.now() - at);
      await registering;
      at = performance.now();
      const leaving = client.registry.deregister(name);
      await reaches(0);
      vanish.push(performance.now() - at);
      await leaving;
    }
    const effective: number[] = [];
    for (let i = 0; i < RELEASES; i++) {
      const routes = Array.from({ length: ROUTES }, (_, n) => ({
        name: `r${n}`,
        match: { path: { prefix: `/${i}/${n}` } },
        service: "orders",
      }));
      const before = gateway.status().releaseKey;
      const at = performance.now();
      const publishing = client.config.publish(set, {
        items: { "gateway.yaml": { format: "yaml", value: JSON.stringify({ routes }) } },
      });
      while (gateway.status().releaseKey === before) await new Promise((resolve) => setImmediate(resolve));
      effective.push(performance.now() - at);
      await publishing;
    }
    return {
      changes: CHANGES,
      releases: RELEASES,
      [`release of ${ROUTES} routes → in force in the gateway, ms`]: percentiles(effective),
      "register → in the gateway, ms": percentiles(appear),
      "deregister → out of the gateway, ms": percentiles(vanish),
    };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
