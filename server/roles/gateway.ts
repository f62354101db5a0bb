/** The gateway role, in this process or in workers. */
import { mkdir } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { Client } from "#client";
import type { GatewayPorts } from "#gateway";
import { loadFilters } from "#gateway/config-text";
import { isLoopback } from "#http";
import { spellings } from "#settings";
import { ownTls, readTls } from "../certificates.ts";
import { listenError } from "../control-api.ts";
import { workerMetrics } from "../workers/metrics.ts";
import { wayFor, type Parts, dialRules, labelsOf, nameOfHost } from "./parts.ts";
import { isAlone } from "./parts.ts";

export async function startGateway(parts: Parts): Promise<void> {
  const { createGateway, GATEWAY_SETTINGS, readStickyKey, unheard } = await import("#gateway");
  const { host, settings, stack } = parts;
  const folder = join(settings.data, "gateway");
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const names = [
    "localhost",
    "127.0.0.1",
    "::1",
    hostname(),
    ...(isLoopback(settings.gatewayHost) ? [] : [settings.gatewayHost]),
  ];
  const tls =
    settings.gatewayCertFile !== undefined && settings.gatewayKeyFile !== undefined
      ? await readTls(settings.gatewayCertFile, settings.gatewayKeyFile)
      : await ownTls(host, join(settings.data, "tls"), [...new Set(names)]);
  const alone = isAlone(parts);
  const given = {
    ...GATEWAY_SETTINGS,
    namespace: settings.gatewayNamespace,
    instance: { id: settings.gatewayName ?? nameOfHost(), labels: labelsOf(settings.gatewayLabels) },
    zone: settings.gatewayZone,
    host: settings.gatewayHost,
    port: settings.gatewayPort,
    tlsPort: settings.gatewayTlsPort,
    tls,
    configFile: settings.gatewayFile,
    stickyKey: await readStickyKey(host, settings.gatewayStickyKeyFile ?? join(folder, "sticky.key")),
    dataFile: join(folder, "snapshot.json"),
    drainMs: settings.gatewayDrainSeconds * 1000,
  };
  // Loaded with workers, too: a module that cannot be is then an error of the start, not of every worker.
  const filters = await loadFilters(settings.gatewayFilters);
  const way = alone ? undefined : wayFor(parts, "gateway", "gateway", `gateway@${given.instance.id}`);
  let gateway: { listen(): Promise<GatewayPorts> };
  if (settings.gatewayWorkers > 1) {
    const { GatewayWorkers } = await import("../workers/supervisor.ts");
    const workers = stack.use(
      new GatewayWorkers(host, {
        workers: settings.gatewayWorkers,
        way,
        dial: dialRules(parts),
        start: {
          settings: given,
          filterModules: settings.gatewayFilters,
          controlled: way !== undefined,
          subscriber: way?.subscriber ?? "",
          log: { logLevel: settings.logLevel, logFormat: settings.logFormat },
          otlpUrl: settings.otlpUrl,
          traceSampleRatio: settings.traceSampleRatio,
        },
      }),
    );
    parts.notReady.push(() => workers.notReady());
    parts.clusters = () => workers.clusterViews();
    gateway = workers;
  } else {
    const client = way ? new Client(host, way) : unheard;
    const single = stack.use(createGateway(host, { client, settings: { ...given, filters }, dial: dialRules(parts) }));
    workerMetrics(host, () => (single.status().ready ? 1 : 0));
    parts.notReady.push(() => (single.status().ready ? undefined : "gateway: no routes and endpoints were read yet"));
    parts.clusters = async () => single.clusterViews();
    gateway = single;
  }
  try {
    const { httpPort, httpsPort } = await gateway.listen();
    for (const port of [httpPort, httpsPort]) {
      if (port !== undefined) parts.listeners.add({ host: settings.gatewayHost, port });
    }
    parts.addresses.gateway = `http://${settings.gatewayHost}:${httpPort}`;
    if (httpsPort !== undefined) parts.addresses.gatewayTls = `https://${settings.gatewayHost}:${httpsPort}`;
  } catch (error) {
    const { port } = error as { port?: number };
    const setting = port === settings.gatewayTlsPort ? "gatewayTlsPort" : "gatewayPort";
    throw listenError(error, `${settings.gatewayHost}:${port ?? settings.gatewayPort}`, spellings(setting));
  }
}
