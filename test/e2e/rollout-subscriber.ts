/**
 * Services that depend on their config, in one process: each registers with a health check, follows its config by a client
 * of its own, and acknowledges each config as applied or failed. The config decides what they do: `refused by ID` cannot be
 * applied by that instance, `ill on ID` makes that instance fail its health check. It prints every value that each receives,
 * and each mix of two releases. Arguments: `--api URL --token TOKEN ID=ZONE…`.
 */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { parseArgs } from "node:util";
import { systemHost } from "#base/system";
import { Client, fetchTransport } from "#client";

const { values, positionals } = parseArgs({
  options: { api: { type: "string" }, token: { type: "string" } },
  allowPositionals: true,
});
const { api = "", token = "" } = values;
const stop = new AbortController();
const host = systemHost({ logLevel: "error" });

async function serve(id: string, zone: string): Promise<void> {
  let value = "";
  const server = createServer((_request, answer) => {
    answer.writeHead(value === `ill on ${id}` ? 500 : 200).end();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;

  const client = new Client(host, { transport: fetchTransport({ urls: [api] }), token });
  await client.registry.register(
    { namespace: "default", service: "orders", id },
    {
      address: "127.0.0.1",
      port,
      metadata: { zone },
      checks: [{ id: "http", type: "http", path: "/health", intervalSeconds: 0.2, fall: 2 }],
    },
  );

  const name = { namespace: "default", app: "orders", profile: "default" };
  const instance = { id, labels: { zone } };
  const say = client.config.acknowledger(name, instance, stop.signal);
  for await (const { data } of client.config.watch(name, { signal: stop.signal, instance })) {
    if (!data || data.revision === 0) continue;
    const [a, b] = ["a.txt", "b.txt"].map((key) => data.items[key]?.value);
    if (a !== b) console.log(`mix ${a} ${b}`);
    if (a === value) continue;
    value = a ?? "";
    console.log(`told ${id} ${value}`);
    say(data, value === `refused by ${id}` ? "no room" : undefined);
  }
}

await Promise.all(
  positionals.map((one) => {
    const [id = "", zone = ""] = one.split("=");
    return serve(id, zone);
  }),
);
