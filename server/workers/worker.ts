/**
 * One worker of a gateway: a process that the main process starts, tells everything, and tells to stop. It has no
 * control API, no store and no token; signals are the main process's business, and its end is this one's.
 */
import { deadline, messageOf, type Host } from "#base";
import { OwnListeners } from "#base/address-class";
import { machineAddresses } from "#base/dial";
import type { LogSettings } from "#base/system";
import { Client } from "#client";
import { createGateway, loadFilters, noControlPlane, type Gateway, type GatewayPeers } from "#gateway";
import { withTelemetry } from "../tracing.ts";
import { UNHEARD_EXIT, type FromWorker, type Listening, type ToWorker, type WorkerStart } from "./messages.ts";
import { RelayTransport } from "./relay.ts";

/** Milliseconds that a replacement waits for the control plane before the last good state has to do. */
const HEARD_MS = 5_000;

/** @throws when nobody started it who could tell it anything. `hostOf` makes its host once its log settings are known. */
export async function runGatewayWorker(hostOf: (log: LogSettings) => Host): Promise<void> {
  if (!process.send) throw new Error("gateway-worker is started by posthouse itself, with --gateway-workers.");
  // Ctrl-C in a terminal, and some supervisors, reach every process; only the main one may judge.
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => {});
  const started = Promise.withResolvers<WorkerStart>();
  const stop = new AbortController();
  const post = (message: FromWorker) => {
    if (process.connected) process.send?.(message, undefined, undefined, () => {});
  };
  const transport = new RelayTransport(post);
  const news: Extract<ToWorker, { type: "news" }>[] = [];
  let hear = (message: Extract<ToWorker, { type: "news" }>): void => void news.push(message);
  let host: Host | undefined;
  let running: Gateway | undefined;
  const own = new OwnListeners(machineAddresses);
  let close: (() => void)[] = [];
  const follow = (listening: Listening) => {
    const before = close;
    close = listening.map((listener) => own.add(listener));
    for (const end of before) end();
  };
  process.on("message", (message: ToWorker) => {
    if (message.type === "start") {
      follow(message.start.dial.own);
      started.resolve(message.start);
    } else if (message.type === "news") hear(message);
    else if (message.type === "ports") follow(message.own);
    else if (message.type === "stop") stop.abort(new Error("stopping"));
    else if (message.type === "values") {
      const { id } = message;
      void host?.metrics.values().then((answer) => post({ type: "answer", id, answer }));
    } else if (message.type === "clusters") {
      post({ type: "answer", id: message.id, answer: running?.clusterViews() ?? new Map() });
    } else transport.hear(message);
  });
  post({ type: "online" });
  const start = await started.promise;
  await using stack = new AsyncDisposableStack();
  const base = hostOf(start.log);
  host = await withTelemetry(
    { ...base, log: base.log.child({ pid: process.pid, worker: start.worker }) },
    { otlpUrl: start.otlpUrl, traceSampleRatio: start.traceSampleRatio },
    stack,
  );
  const peers: GatewayPeers = {
    workers: start.workers,
    tell: (news) => post({ type: "news", news }),
    onHeard(listener) {
      hear = ({ worker, news }) => listener(worker, news);
      for (const message of news.splice(0)) hear(message);
    },
  };
  const { subscriber, filterModules, settings, dial } = start;
  const gateway = (running = stack.use(
    createGateway(host, {
      client: start.controlled ? new Client(host, { transport, subscriber }) : noControlPlane,
      settings: {
        ...settings,
        stickyKey: settings.stickyKey && Buffer.from(settings.stickyKey),
        filters: await loadFilters(filterModules),
        dataFileUse: { read: !start.replaces, write: start.worker === 0 },
      },
      peers,
      dial: { loopback: dial.loopback, own },
    }),
  ));
  if (start.replaces && !(await heard(host, gateway, stop.signal))) {
    host.log.warn({}, "the control plane says nothing; the next worker begins with the last good state");
    // What waits for the control plane is not worth waiting for.
    process.exit(UNHEARD_EXIT);
  }
  try {
    post({ type: "listening", ports: await gateway.listen() });
  } catch (error) {
    const { code, port } = error as { code?: string; port?: number };
    await new Promise<void>((resolve) => {
      process.send?.({ type: "refused", code, port, message: messageOf(error) } satisfies FromWorker, () => resolve());
    });
    return;
  }
  await gateway.ready(stop.signal).then(
    () => post({ type: "ready" }),
    () => {},
  );
  await stopped(stop.signal);
}

/** Whether it came to a whole state within its time; asked to stop, it may as well go on to that. */
async function heard(host: Host, gateway: Gateway, stop: AbortSignal): Promise<boolean> {
  using late = deadline(host.clock, HEARD_MS);
  try {
    await gateway.ready(AbortSignal.any([late.signal, stop]));
    return true;
  } catch {
    return stop.aborted;
  }
}

function stopped(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
