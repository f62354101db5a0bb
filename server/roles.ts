/**
 * The roles in the order in which they start. A standalone process has all of them. In a process with the control API, gateway and agent
 * call it directly; otherwise they use the network. Roles that are not configured are not even loaded.
 */
import { type Settings } from "#settings";
import { type Parts, has } from "./roles/parts.ts";
import { startControlApi } from "./roles/control-api.ts";
import { startGateway } from "./roles/gateway.ts";
import { startOperations } from "./roles/operations.ts";
import { startAgent } from "./roles/agent.ts";
import { startLogLevel } from "./roles/log-level.ts";
import { startDnsServer } from "./roles/dns.ts";

interface RoleRow {
  readonly name: string;
  readonly wanted: (settings: Settings) => boolean;
  readonly start: (parts: Parts) => Promise<void>;
}

export const ROLES: readonly RoleRow[] = [
  {
    name: "control API",
    wanted: (settings) => has(settings, "registry") || has(settings, "config-server"),
    start: startControlApi,
  },
  { name: "gateway", wanted: (settings) => has(settings, "gateway"), start: startGateway },
  {
    name: "operations",
    wanted: (settings) => has(settings, "gateway") && !has(settings, "registry"),
    start: startOperations,
  },
  { name: "agent", wanted: (settings) => has(settings, "agent"), start: startAgent },
  {
    name: "DNS",
    wanted: (settings) => settings.dns === "on" && (has(settings, "registry") || has(settings, "agent")),
    start: startDnsServer,
  },
  { name: "log level", wanted: () => true, start: startLogLevel },
];
