/**
 * The cost of a call by name: microseconds of CPU per `client.fetch` and per plain undici fetch to the same server, turn by turn in one
 * process that is pinned to one core. The server runs on the other core.
 */
import { execFile } from "node:child_process";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { promisify } from "node:util";
import { fetch as undiciFetch } from "undici";
import { withControl } from "../test/kit/mod.ts";
import { connect } from "../client/package.ts";
import { round, spread, startPinned } from "./kit.ts";

const CALLS = 1_000;
const ROUNDS = 12;
/** Calls at once, as in a busy service. */
const AT_ONCE = 16;
const ME = "bench/client.ts";

/** Serves on two ports, and the control API with them, until it is killed. */
async function serve(): Promise<void> {
  const control = await withControl();
  const url = await control.app.listen({ host: "127.0.0.1", port: 0 });
  let port = 0;
  for (const id of ["orders-1", "orders-2"]) {
    const server = createServer((_, answer) => answer.end("ok"));
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    ({ port } = server.address() as AddressInfo);
    const name = { namespace: "default", service: "orders", id };
    await control.client.registry.register(name, { address: "127.0.0.1", port });
  }
  console.log(`ready ${port} ${url} ${control.token}`);
}

/** CPU microseconds of this process per call. */
async function cost(call: () => Promise<Response>): Promise<number> {
  const before = process.cpuUsage();
  let left = CALLS;
  const worker = async () => {
    while (left-- > 0) await (await call()).text();
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  const { user, system } = process.cpuUsage(before);
  return (user + system) / CALLS;
}

async function measure(port: string, url: string, token: string): Promise<void> {
  await using posthouse = connect({ url, token, app: "bench" });
  const plainUrl = `http://127.0.0.1:${port}/`;
  const ways = {
    plain: () => undiciFetch(plainUrl) as Promise<unknown> as Promise<Response>,
    byName: () => posthouse.fetch("http://orders.service/"),
  };
  const costs = { plain: [] as number[], byName: [] as number[] };
  for (let turn = 0; turn < ROUNDS; turn++) {
    for (const way of ["plain", "byName"] as const) costs[way].push(await cost(ways[way]));
  }
  // The first rounds warm the compiler up.
  const warm = { plain: costs.plain.slice(2), byName: costs.byName.slice(2) };
  const ratios = warm.byName.map((value, index) => round(value / (warm.plain[index] as number)));
  const found = {
    microsPerPlainFetch: spread(warm.plain),
    microsPerClientFetch: spread(warm.byName),
    ratio: spread(ratios),
  };
  console.log(`result ${JSON.stringify(found)}`);
}

export async function benchClient(): Promise<object> {
  await using server = await startPinned(1, process.execPath, [ME, "serve"], /ready .*\n/);
  const [, port = "", url = "", token = ""] = /ready (\S+) (\S+) (\S+)/.exec(server.output()) ?? [];
  const args = ["-c", "0", process.execPath, ME, "measure", port, url, token];
  const { stdout } = await promisify(execFile)("taskset", args);
  return JSON.parse(/result (.*)\n/.exec(stdout)?.[1] ?? "{}") as object;
}

if (import.meta.main) {
  const [mode, port = "", url = "", token = ""] = process.argv.slice(2);
  if (mode === "serve") await serve();
  else if (mode === "measure") await measure(port, url, token);
  else console.log(JSON.stringify(await benchClient(), null, 2));
}
