/**
 * The way of a command to the agent of this host: its Unix socket, whose permissions protect it. Its port, where flags or the environment
 * name it, or where the socket cannot be opened; the port needs the agent's token and, if the agent has one, verifies its certificate.
 */
import { access, constants, readFile } from "node:fs/promises";
import { join } from "node:path";
import { messageOf } from "#base";
import type { ControlTls, fetchTransport } from "#client";
import { type LoadedSettings, SettingsErrors, spellings } from "#settings";
import { agentSocketPath } from "./agent-socket.ts";
import { trustOf } from "./control-trust.ts";
import { addressText } from "./instance-columns.ts";
import { callableHost } from "./role-address.ts";

/** The settings that name the way. */
export const AGENT_WAY_SETTINGS = [
  "agentSocket",
  "agentHost",
  "agentPort",
  "agentToken",
  "tls",
  "controlCaFile",
  "controlFingerprint",
  "data",
] as const;

/** Addresses at which the agent speaks plain HTTP, unless `tls` is on. */
const LOOPBACK = /^(127(\.\d+){3}|::1|localhost)$/i;

export interface AgentWay {
  readonly to: Parameters<typeof fetchTransport>[0];
  /** Headers of each call. The token is read each time, since the agent may not have started yet. */
  readonly headers: () => Promise<Record<string, string>>;
}

/** @throws CLI_FILE_UNREADABLE, CLI_ARGUMENT_INVALID */
export async function agentWay(settings: LoadedSettings): Promise<AgentWay> {
  const { values, sources } = settings;
  const socketPath = agentSocketPath(values);
  const isPortNamed = (["agentHost", "agentPort", "agentToken"] as const).some((name) =>
    ["flag", "environment"].includes(sources[name]),
  );
  if (!isPortNamed && (await isOpen(socketPath))) {
    return { to: { urls: ["http://localhost"], socketPath }, headers: async () => ({}) };
  }
  const here = callableHost(values.agentHost);
  const address = addressText({ address: here, port: values.agentPort });
  const headers = async () => ({ authorization: `Bearer ${values.agentToken ?? (await agentTokenIn(values.data))}` });
  const hasTls = values.tls === "on" || (values.tls === "auto" && !LOOPBACK.test(here) && !values.insecurePlaintext);
  if (!hasTls) return { to: { urls: [`http://${address}`] }, headers };
  return { to: { urls: [`https://${address}`], tls: await trustIn(values) }, headers };
}

async function isOpen(path: string): Promise<boolean> {
  return access(path, constants.R_OK | constants.W_OK).then(
    () => true,
    () => false,
  );
}

/** As stated; otherwise the roots that the agent of this host, or its control plane, trusts. Undefined: those of the system. */
async function trustIn(values: LoadedSettings["values"]): Promise<ControlTls | undefined> {
  const stated = await trustOf(values);
  if (stated) return stated;
  for (const path of [join("agent", "identity", "bundle.pem"), join("tls", "ca.pem")]) {
    const ca = await readFile(join(values.data, path), "utf8").catch(() => undefined);
    if (ca !== undefined) return { ca };
  }
  return undefined;
}

async function agentTokenIn(data: string): Promise<string> {
  const path = join(data, "agent", "token");
  try {
    return (await readFile(path, "utf8")).trim();
  } catch (cause) {
    throw SettingsErrors.INVALID(
      `The token of the agent's local API cannot be read from ${path}: ${messageOf(cause)}. Set the agent's data folder (${spellings("data")}) or its token (${spellings("agentToken")}).`,
      { cause },
    );
  }
}
