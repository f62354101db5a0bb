/** The agent role. */
import { mkdir } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { AppError } from "#base";
import { createMetrics } from "#base/prometheus";
import { Client, workloadCalls } from "#client";
import { EVERY_NAME } from "#http";
import { spellings } from "#settings";
import { agentDataDir } from "../host-identity.ts";
import { listenError } from "../listen-error.ts";
import { VERSION } from "../version.ts";
import { type Parts, labelsOf, wayFor } from "./parts.ts";

export async function startAgent(parts: Parts): Promise<void> {
  const { AGENT_DEFAULTS, createAgent, ServiceCertificates } = await import("#agent");
  const { settings, stack, addresses, identity } = parts;
  // If another server of this process has /metrics, the process metrics are there, and the agent has only its own metrics. So a
  // collector of both counts nothing twice.
  const beside = addresses.controlApi !== undefined || addresses.operations !== undefined;
  const host = beside ? { ...parts.host, metrics: createMetrics() } : parts.host;
  const dataDir = agentDataDir(settings);
  const servicesDir = settings.agentServices ?? join(dataDir, "services");
  await mkdir(servicesDir, { recursive: true, mode: 0o700 });
  const of = `agent@${settings.agentName ?? hostname()}`;
  const tls = await parts.listenerCertificate.tlsAt(settings.agentHost);
  const own = wayFor(parts, "agent", ["agent"], of);
  const agent = stack.use(
    await createAgent(host, {
      client: new Client(parts.host, own),
      way: wayFor(parts, "agent", ["agent"], of),
      identity,
      identities: stack.use(new ServiceCertificates(host, { dataDir, calls: certificateCalls(parts, own, of) })),
      dial: { loopback: true, own: parts.listeners },
      audit: parts.control?.audit,
      tls,
      settings: {
        ...AGENT_DEFAULTS,
        version: VERSION,
        node: settings.agentName ?? identity?.control.name ?? hostname(),
        labels: labelsOf(settings.agentLabels),
        address: settings.agentAddress,
        host: settings.agentHost,
        port: settings.agentPort,
        token: settings.agentToken,
        access: settings.agentAccess,
        socket: {
          path: settings.agentSocket,
          mode: Number.parseInt(settings.agentSocketMode, 8),
          owner: settings.agentSocketOwner,
          group: settings.agentSocketGroup,
        },
        dataDir,
        filesDir: join(dataDir, "files"),
        servicesDir,
        logsBytesMax: settings.agentLogsBytesMax,
        logsKeepDays: settings.agentLogsKeepDays,
        sessionTtlSeconds: settings.agentSessionSeconds,
        execAllow: settings.agentExecAllow,
      },
    }),
  );
  try {
    const { port, socket } = await agent.listen();
    parts.listeners.add({ host: settings.agentHost, port });
    const scheme = tls === undefined ? "http" : "https";
    parts.addresses.agent = `${scheme}://${settings.agentHost}:${port}`;
    if (socket !== undefined) parts.addresses.agentSocket = socket;
  } catch (error) {
    const reason = error instanceof AppError ? error.cause : error;
    throw listenError(reason, `${settings.agentHost}:${settings.agentPort}`, spellings("agentPort"));
  }
}

/**
 * The calls by which the agent gets certificates for its services. A part of the control plane's own process may be any service; another
 * agent is bound to services by its token or its join.
 */
function certificateCalls({ host, control }: Parts, way: ReturnType<typeof wayFor>, of: string) {
  if (!control) return workloadCalls(host, way);
  const limits = { services: [EVERY_NAME] };
  const token = control.access.internalToken({ id: of, name: "agent", policies: ["agent"], limits });
  return workloadCalls(host, { ...way, token });
}
