/**
 * One worker of a gateway: a process that the main process starts, configures and stops. It has no control API, no store and no
 * token. It leaves signals to the main process, and ends when that process ends.
 */
import { deadline, messageOf, whenAborted, type Host } from "#base";
import type { LogSettings } from "#base/system";
import { Client } from "#client";
import { createGateway, loadFilters, noControlPlane, type Gateway, type GatewayPeers } from "#gateway";
import { withTelemetry } from "../tracing.ts";
import { WorkerChannel } from "./channel.ts";
import { UNHEARD_EXIT, type WorkerStart } from "./messages.ts";

/** Milliseconds that a replacement waits for the control plane before the next one starts from the last-known-good state. */
const READY_MS_MAX = 5_000;

/**
 * `hostOf` creates the worker's host once its log settings are known.
 * @throws Error when the process was not started by the main process
 */
export async function runGatewayWorker(hostOf: (log: LogSettings) => Host): Promise<void> {
  if (!process.send) throw new Error("gateway-worker is started by posthouse itself, with --gateway-workers.");
  // Ctrl-C in a terminal, and some supervisors, signal every process. Only the main process acts on it.
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => {});
  const channel = new WorkerChannel();
  const start = await channel.start();
  await using stack = new AsyncDisposableStack();
  const base = hostOf(start.log);
  const host = await withTelemetry(
    { ...base, log: base.log.child({ pid: process.pid, worker: start.worker }) },
    start,
    stack,
  );
  channel.measures(host.metrics);
  const gateway = stack.use(await openGateway(host, start, channel));
  channel.serves(gateway);
  if (start.replaces && !(await isReadyInTime(host, gateway, channel.stop))) {
    host.log.warn({}, "the control plane does not answer; the next worker starts from the last-known-good state");
    // Exits at once: a clean shutdown would wait for the control plane.
    process.exit(UNHEARD_EXIT);
  }
  try {
    channel.post({ type: "listening", ports: await gateway.listen() });
  } catch (error) {
    const { code, port } = error as { code?: string; port?: number };
    await channel.postLast({ type: "refused", code, port, message: messageOf(error) });
    return;
  }
  await gateway.ready(channel.stop).then(
    () => channel.post({ type: "ready" }),
    () => {},
  );
  await whenAborted(channel.stop);
}

async function openGateway(host: Host, start: WorkerStart, channel: WorkerChannel): Promise<Gateway> {
  const { subscriber, filterModules, settings, dial, worker, workers, replaces, controlled } = start;
  const peers: GatewayPeers = {
    workers,
    tell: (news) => channel.post({ type: "news", news }),
    onHeard: (listener) => channel.onNews(({ worker, news }) => listener(worker, news)),
  };
  return createGateway(host, {
    client: controlled ? new Client(host, { transport: channel.transport, subscriber }) : noControlPlane,
    settings: {
      ...settings,
      stickyKey: settings.stickyKey && Buffer.from(settings.stickyKey),
      filters: await loadFilters(filterModules),
      dataFileUse: { read: !replaces, write: worker === 0 },
    },
    peers,
    dial: { loopback: dial.loopback, own: channel.own },
    identity: channel.identity,
  });
}

/** Whether the gateway has a complete state within its time. True, too, when the worker is asked to stop meanwhile. */
async function isReadyInTime(host: Host, gateway: Gateway, stop: AbortSignal): Promise<boolean> {
  using late = deadline(host.clock, READY_MS_MAX);
  try {
    await gateway.ready(AbortSignal.any([late.signal, stop]));
    return true;
  } catch {
    return stop.aborted;
  }
}
