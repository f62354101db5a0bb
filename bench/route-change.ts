/**
 * A thousand route changes under load, on separate gateways: the time from a release's first byte until the last gateway answers requests
 * by it, as a client sees it, and the number of requests that failed meanwhile.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Agent, request } from "undici";
import { startPosthouse, startService } from "#test/kit";
import { cpuMicrosOfTree, percentiles, round } from "./kit.ts";

const CHANGES = 1_000;
const GATEWAYS = 3;
/** Routes of each release. */
const ROUTES = 100;
/** Milliseconds between two releases, unless one takes longer. */
const PACE_MS = 40;
/** Milliseconds between two requests to each gateway, without the requests that check for the release. */
const LOAD_MS = 5;
/** Milliseconds between two checks. A figure may be too high by that. */
const LOOK_MS = 1;

export async function benchRouteChange(): Promise<object> {
  const folder = await mkdtemp(join(tmpdir(), "posthouse-bench-"));
  await using stack = new AsyncDisposableStack();
  stack.defer(() => rm(folder, { recursive: true, force: true }));
  const control = stack.use(
    await startPosthouse({
      data: join(folder, "control"),
      args: ["--roles", "registry", "config-server", "--dns", "off"],
    }),
  );
  const agent = new Agent({ connections: 32, pipelining: 1 });
  stack.defer(() => agent.destroy());
  const call = async (method: "PUT" | "POST", path: string, body: object): Promise<void> => {
    const answer = await request(`${control.api}${path}`, {
      method,
      dispatcher: agent,
      headers: { authorization: `Bearer ${control.token}`, "content-type": "application/json" },
      body: JSON.stringify(body),
    });
    const text = await answer.body.text();
    if (answer.statusCode >= 300) throw new Error(`${method} ${path}: ${answer.statusCode} ${text}`);
  };
  const publish = (n: number) =>
    call("POST", "/v1/config/default/gateway/default/releases", {
      items: { "gateway.yaml": { format: "yaml", value: JSON.stringify(config(n)) } },
    });
  const service = stack.use(await startService("orders"));
  await call("PUT", "/v1/services/orders/instances/one", { address: "127.0.0.1", port: service.port });
  await publish(0);
  const gateways = await Promise.all(
    Array.from({ length: GATEWAYS }, async (_, index) => {
      const args = ["--roles", "gateway", "--control-urls", control.api, "--token", control.token as string];
      const started = await startPosthouse({ data: join(folder, `gateway-${index}`), args });
      return stack.use(started);
    }),
  );
  const ask = async (gateway: string, path: string) => {
    const answer = await request(`${gateway}${path}`, { dispatcher: agent });
    return { status: answer.statusCode, text: await answer.body.text() };
  };
  const answers = async (gateway: string, n: number) => {
    const deadline = performance.now() + 10_000;
    while ((await ask(gateway, "/release")).text !== String(n)) {
      if (performance.now() > deadline) throw new Error(`release ${n} never came to a gateway`);
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
    }
  };
  await Promise.all(gateways.map(({ gateway }) => answers(gateway, 0)));

  let requests = 0;
  const failures: string[] = [];
  const load = setInterval(() => {
    for (const { gateway } of gateways) {
      requests += 1;
      ask(gateway, "/orders").then(
        ({ status, text }) => void (status === 200 || failures.push(`${status} ${text}`)),
        (error: unknown) => void failures.push(String(error)),
      );
    }
  }, LOAD_MS);
  const acknowledged: number[] = [];
  const each: number[] = [];
  const all: number[] = [];
  const usedBefore = [control, ...gateways].map(({ child }) => cpuMicrosOfTree(child.pid as number));
  for (let n = 1; n <= CHANGES; n++) {
    const began = performance.now();
    const publishing = publish(n).then(() => acknowledged.push(performance.now() - began));
    await Promise.all(
      gateways.map(async ({ gateway }) => {
        await answers(gateway, n);
        each.push(performance.now() - began);
      }),
    );
    all.push(performance.now() - began);
    await publishing;
    const left = PACE_MS - (performance.now() - began);
    if (left > 0) await new Promise((resolve) => setTimeout(resolve, left));
  }
  clearInterval(load);
  const used = [control, ...gateways].map(
    ({ child }, index) => cpuMicrosOfTree(child.pid as number) - (usedBefore[index] as number),
  );
  return {
    changes: CHANGES,
    gateways: GATEWAYS,
    routes: ROUTES,
    requests,
    failed: failures.length,
    firstFailure: failures[0],
    "release → acknowledged, ms": percentiles(acknowledged),
    "release → in force on each gateway, ms": percentiles(each),
    "release → in force on every gateway, ms": percentiles(all),
    "CPU of the control plane per release, ms": round((used[0] as number) / CHANGES / 1_000),
    "CPU of a gateway per release and its requests, ms": round((used[1] as number) / CHANGES / 1_000),
  };
}

function config(n: number): object {
  const routes: object[] = Array.from({ length: ROUTES - 2 }, (_, index) => ({
    name: `r${index}`,
    match: { path: { prefix: `/${n}/${index}` } },
    service: "orders",
  }));
  routes.push({ name: "orders", match: { path: { prefix: "/orders" } }, service: "orders" });
  routes.push({ name: "release", match: { path: { exact: "/release" } }, respond: { status: 200, body: String(n) } });
  return { routes };
}
