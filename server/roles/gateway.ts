/** The gateway role, in this process or in workers. */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { Client } from "#client";
import type { GatewayPorts, GatewaySettings } from "#gateway";
import { loadFilters } from "#gateway/config-text";
import { parseSpiffeId } from "#identity/core";
import { spellings } from "#settings";
import type { TlsMaterial } from "../certificates.ts";
import { gatewayCertificate } from "../gateway-certificate.ts";
import { gatewayIdentity } from "../gateway-identity.ts";
import { listenError } from "../listen-error.ts";
import { workerMetrics } from "../workers/metrics.ts";
import { dialRules, isAlone, labelsOf, nameOfHost, wayFor, type Parts } from "./parts.ts";

/** A gateway that has not opened its ports yet. */
interface ClosedGateway {
  listen(): Promise<GatewayPorts>;
}

export async function startGateway(parts: Parts): Promise<void> {
  const { settings } = parts;
  const gateway = settings.gatewayWorkers > 1 ? await inWorkers(parts) : await inProcess(parts);
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

async function inProcess(parts: Parts): Promise<ClosedGateway> {
  const { createGateway, noControlPlane } = await import("#gateway");
  const { host, settings, stack } = parts;
  const certificate = await gatewayCertificate(parts);
  const given = await gatewaySettings(parts, certificate.tls);
  const filters = await loadFilters(settings.gatewayFilters);
  const way = controlPlaneWay(parts);
  const client = way ? new Client(host, way) : noControlPlane;
  const gateway = stack.use(
    createGateway(host, {
      client,
      settings: { ...given, filters },
      dial: dialRules(parts),
      identity: gatewayIdentity(parts, instanceIdOf(parts)),
    }),
  );
  certificate.onRenewed((tls) => gateway.setTls(tls));
  workerMetrics(host, () => (gateway.status().ready ? 1 : 0));
  parts.notReady.push(() => (gateway.status().ready ? undefined : "gateway: routes and endpoints are not loaded yet"));
  parts.clusters = async () => gateway.clusterViews();
  return gateway;
}

async function inWorkers(parts: Parts): Promise<ClosedGateway> {
  const { host, settings, stack } = parts;
  const certificate = await gatewayCertificate(parts);
  const given = await gatewaySettings(parts, certificate.tls);
  // Loaded here too, so that a broken module fails the start instead of every worker.
  await loadFilters(settings.gatewayFilters);
  const way = controlPlaneWay(parts);
  const { GatewayWorkers } = await import("../workers/supervisor.ts");
  const workers = stack.use(
    new GatewayWorkers(host, {
      workers: settings.gatewayWorkers,
      way,
      dial: dialRules(parts),
      identity: gatewayIdentity(parts, instanceIdOf(parts)),
      start: {
        settings: given,
        filterModules: settings.gatewayFilters,
        controlled: way !== undefined,
        subscriber: way?.subscriber ?? "",
        log: { logLevel: settings.logLevel, logFormat: settings.logFormat },
        otlpUrl: settings.otlpUrl,
        otlpProtocol: settings.otlpProtocol,
        traceSampleRatio: settings.traceSampleRatio,
        traceSlowMs: settings.traceSlowMs,
      },
    }),
  );
  certificate.onRenewed((tls) => workers.setTls(tls));
  parts.notReady.push(() => workers.notReady());
  parts.clusters = () => workers.clusterViews();
  return workers;
}

async function gatewaySettings(parts: Parts, tls: TlsMaterial): Promise<Omit<GatewaySettings, "filters">> {
  const { GATEWAY_SETTINGS, readStickyKey } = await import("#gateway");
  const { host, settings } = parts;
  const folder = join(settings.data, "gateway");
  await mkdir(folder, { recursive: true, mode: 0o700 });
  return {
    ...GATEWAY_SETTINGS,
    namespace: settings.gatewayNamespace,
    instance: { id: instanceIdOf(parts), labels: labelsOf(settings.gatewayLabels) },
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
}

/** Undefined for a gateway without a control plane. */
function controlPlaneWay(parts: Parts) {
  return isAlone(parts) ? undefined : wayFor(parts, "gateway", ["gateway"], `gateway@${instanceIdOf(parts)}`);
}

/** A gateway that joined has the name of its node, unless a setting has another. */
function instanceIdOf({ settings, identity }: Parts): string {
  const { workload } = parseSpiffeId(identity?.source.current?.spiffeId ?? "") ?? {};
  return settings.gatewayName ?? (workload?.kind === "gateway" ? workload.name : nameOfHost("gateway"));
}
