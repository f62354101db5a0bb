/** Runs the sample shop for real: a server per instance, registered by the Node client, that calls the others by name. */
import { createServer } from "node:http";
import { connect, type Log, type Posthouse } from "../../client/package.ts";
import { REQUESTS, SHOP, type ShopService, TROUBLE } from "./shop.ts";

export interface Fleet extends AsyncDisposable {
  /** From now on, these instances are in trouble, and no others. */
  setTrouble(ids: readonly string[]): void;
}

interface FleetOptions {
  readonly api: string;
  readonly token: string;
}

/** Share of a service's own calls that a request makes. */
const CALL_SHARE = 0.5;
const ZONES = ["eu-1", "eu-2"];

export async function startFleet({ api, token }: FleetOptions): Promise<Fleet> {
  await using stack = new AsyncDisposableStack();
  const troubled = new Set<string>();
  for (const service of SHOP) {
    for (let number = 1; number <= service.instances; number++) {
      const id = `${service.name}-${number}`;
      const zone = ZONES[number % ZONES.length] ?? "eu-1";
      const posthouse = stack.use(
        connect({ url: api, token, app: service.name, instance: id, labels: { zone }, zone, log: SILENT }),
      );
      await startInstance(stack, { posthouse, service, id, troubled });
    }
  }
  const owned = stack.move();
  return {
    setTrouble(ids) {
      troubled.clear();
      for (const id of ids) troubled.add(id);
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** Trouble is part of the pictures, so nothing of it is worth a line. */
const SILENT: Log = { debug() {}, info() {}, warn() {}, error() {}, child: () => SILENT };

interface InstanceParts {
  readonly posthouse: Posthouse;
  readonly service: ShopService;
  readonly id: string;
  readonly troubled: ReadonlySet<string>;
}

async function startInstance(
  stack: AsyncDisposableStack,
  { posthouse, service, id, troubled }: InstanceParts,
): Promise<void> {
  const trouble = () => (troubled.has(id) ? TROUBLE[id] : undefined);
  const server = createServer((_request, response) => {
    const work = async () => {
      await sleep(service.workMs * (0.5 + Math.random()));
      if (trouble()?.status === "critical" && Math.random() < 0.3) return response.writeHead(503).end();
      const calls = service.calls.filter(() => Math.random() < CALL_SHARE);
      const answers = await Promise.all(calls.map((name) => posthouse.fetch(`http://${name}.service/`)));
      await Promise.all(answers.map((answer) => answer.arrayBuffer()));
      return response.writeHead(answers.every(({ ok }) => ok) ? 200 : 502).end(`${id}\n`);
    };
    work().catch(() => response.writeHead(502).end());
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  stack.defer(() => {
    server.closeAllConnections();
    server.close();
  });
  const probe = () => {
    const found = trouble();
    if (found?.status === "critical") throw new Error(found.output);
    return found?.status;
  };
  const registration = await posthouse.register({
    server,
    id,
    version: service.version,
    checks: [{ id: "health", type: "ttl", ttlSeconds: 15, probe }],
    stopOn: false,
    drainSeconds: 0,
    finishSeconds: 1,
  });
  stack.use(registration);
  follow(stack, posthouse);
}

/** Follows the instance's config, and acknowledges each release. */
function follow(stack: AsyncDisposableStack, posthouse: Posthouse): void {
  const stop = new AbortController();
  stack.defer(() => stop.abort());
  const watch = async () => {
    for await (const _change of posthouse.config.watchAll({ signal: stop.signal })) void _change;
  };
  watch().catch(() => {});
}

/** Requests at the gateway until the signal aborts. */
export async function sendTraffic(gateway: string, perSecond: number, signal: AbortSignal): Promise<void> {
  const total = REQUESTS.reduce((sum, [, weight]) => sum + weight, 0);
  while (!signal.aborted) {
    let at = Math.random() * total;
    const [path = "/"] = REQUESTS.find(([, weight]) => (at -= weight) < 0) ?? [];
    void request(`${gateway}${path}`);
    // A slow wave, so that the charts have a shape.
    const wave = 1 + 0.4 * Math.sin(Date.now() / 20_000);
    await sleep((1000 / (perSecond * wave)) * (0.4 + 1.2 * Math.random()));
  }
}

async function request(url: string): Promise<void> {
  const { request } = await import("node:http");
  return new Promise((resolve) => {
    const { hostname, port, pathname, search } = new URL(url);
    const sent = request(
      { hostname, port, path: pathname + search, headers: { host: "shop.example.com" } },
      (answer) => {
        answer.resume();
        answer.on("close", resolve);
      },
    );
    sent.on("error", () => resolve());
    sent.end();
  });
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
