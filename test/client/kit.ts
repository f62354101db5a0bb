/** A control API on a socket whose listener can be cut and restored, and clients of it as services make them. */
import type { AddressInfo } from "node:net";
import { createConnection, createServer, type Socket } from "node:net";
import type { AppError, Log } from "#base";
import type { Items } from "#config-server/api";
import { withControl, type TestControl } from "#test/kit";
import type { ConnectOptions } from "../../client/connect-options.ts";
import { connect, type Posthouse } from "../../client/connect.ts";

export const SET = { namespace: "default", app: "orders", profile: "default" };
export const SILENT: Log = {
  debug: () => {},
  info: () => {},
  warn: () => {},
  error: () => {},
  child: () => SILENT,
};

/** A wire to a port that can be cut: what is open breaks, and what comes is refused. */
export async function cuttableWire(target: string) {
  let { hostname, port } = new URL(target);
  const open = new Set<Socket>();
  let cut = false;
  const server = createServer((socket) => {
    if (cut) {
      socket.destroy();
      return;
    }
    const up = createConnection(Number(port), hostname);
    for (const one of [socket, up]) {
      open.add(one);
      one.on("error", () => {});
      one.on("close", () => {
        open.delete(one);
        socket.destroy();
        up.destroy();
      });
    }
    socket.pipe(up).pipe(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const drop = () => open.forEach((socket) => socket.destroy());
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    /** Breaks what is open; with `stay`, also refuses what comes until `mend`. */
    cut(stay: "stay" | "once" = "stay") {
      cut = stay === "stay";
      drop();
    },
    mend: () => void (cut = false),
    /** From now on it leads elsewhere. */
    lead(to: string) {
      ({ hostname, port } = new URL(to));
      drop();
    },
    async [Symbol.asyncDispose]() {
      drop();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

export interface TestService extends AsyncDisposable {
  readonly posthouse: Posthouse;
  readonly problems: AppError[];
}

export function service(url: string, options: Partial<ConnectOptions> = {}): TestService {
  const problems: AppError[] = [];
  const posthouse = connect({
    url,
    app: "orders",
    instance: "orders-1",
    log: SILENT,
    onProblem: (problem) => problems.push(problem),
    ...options,
  });
  return { posthouse, problems, [Symbol.asyncDispose]: () => posthouse.close() };
}

export interface Lab extends AsyncDisposable {
  readonly control: TestControl;
  readonly url: string;
  readonly wire: Awaited<ReturnType<typeof cuttableWire>>;
  /** A service over the wire, with the operator's token. */
  service(options?: Partial<ConnectOptions>): TestService;
  /** Releases these values, each in the format that its key's ending says. */
  release(values: Record<string, string>): Promise<{ version: number; revision: number }>;
}

export function itemsOf(values: Record<string, string>): Items {
  const formats: Record<string, string> = { yaml: "yaml", json: "json", toml: "toml", properties: "properties" };
  return Object.fromEntries(
    Object.entries(values).map(([key, value]) => [
      key,
      { format: formats[key.split(".").at(-1) ?? ""] ?? "text", value },
    ]),
  ) as Items;
}

export async function lab(): Promise<Lab> {
  await using stack = new AsyncDisposableStack();
  const control = stack.use(await withControl());
  const url = await control.app.listen({ host: "127.0.0.1", port: 0 });
  const wire = stack.use(await cuttableWire(url));
  const owned = stack.move();
  return {
    control,
    url,
    wire,
    service: (options) => owned.use(service(wire.url, { token: control.token, ...options })),
    release: (values) => control.client.config.publish(SET, { items: itemsOf(values) }),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** The change that a watch hands out next. @throws Error when it ends instead */
export async function next<T>(watch: AsyncIterator<T>): Promise<T> {
  const { value, done } = await watch.next();
  if (done) throw new Error("the watch ended");
  return value;
}
