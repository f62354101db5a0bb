/** State that the roles of one process share: its parts, its addresses, and the connection to the control plane. */
import { hostname } from "node:os";
import type { FastifyInstance } from "fastify";
import type { AgentIdentity } from "#agent";
import { randomId, type Host } from "#base";
import type { OwnListeners } from "#base/address-class";
import type { DialRules } from "#base/dial";
import { Client, type ControlTls, fetchTransport, injectTransport } from "#client";
import type { ClusterView } from "#gateway";
import { isLoopback } from "#http";
import { type RoleName, type Settings, spellings } from "#settings";
import { ServerErrors } from "../api.ts";
import type { ServedCertificate } from "../certificates.ts";
import { type ControlApi } from "../control-api.ts";
import type { ListenerCertificate } from "../listener-tls.ts";

/** The addresses of all parts, for people and for tests. */
export interface Addresses {
  controlApi?: string;
  /** The console in a browser. */
  console?: string;
  gateway?: string;
  gatewayTls?: string;
  agent?: string;
  /** Path of the agent's Unix socket. */
  agentSocket?: string;
  /** `127.0.0.1:8600`, for UDP and TCP. */
  dns?: string;
  operations?: string;
}

/** State that the roles of one process share while they start. */
export interface Parts {
  readonly host: Host;
  readonly settings: Settings;
  /** Owns everything that was opened. A stop is the start in reverse. */
  readonly stack: AsyncDisposableStack;
  /** The reasons why the process is not ready, by part. */
  readonly notReady: (() => string | undefined)[];
  /** The certificates that this process serves. */
  readonly certificates: ServedCertificate[];
  /** The certificate of this process's own listeners. */
  readonly listenerCertificate: ListenerCertificate;
  /** How this process verifies a control plane in another process, and by which certificate it calls it. */
  readonly controlTls: ControlTls;
  readonly addresses: Addresses;
  /** The ports of this process and of its control plane. Neither checks nor the gateway connect to them. */
  readonly listeners: OwnListeners;
  control: ControlApi | undefined;
  /** The identity of this host, if it has joined a control plane and uses no token. */
  readonly identity: AgentIdentity | undefined;
  /** The clusters of this process's gateway, once it has started. */
  clusters?: () => Promise<ReadonlyMap<string, ClusterView>>;
}

export const has = (settings: Settings, role: RoleName) => settings.roles.includes(role);

/** Adds the ports of an app to this process's listeners. */
export function listensAt({ listeners, settings }: Parts, app: FastifyInstance): void {
  for (const address of app.addresses()) {
    if (typeof address !== "string") listeners.add({ host: settings.host, port: address.port });
  }
}

/** Where the gateway may connect to. A control plane or config on this host implies that services run on it, too. */
export function dialRules({ settings, listeners, identity }: Parts): DialRules {
  const { roles, gatewayFile } = settings;
  const urls = identity?.control.urls ?? settings.controlUrls;
  const here = roles.includes("registry") || urls.every((url) => isLoopback(new URL(url).hostname));
  const loopback = settings.gatewayLoopback ?? (here || gatewayFile !== undefined ? "on" : "off");
  return { loopback: loopback === "on", own: listeners };
}

/** The labels of a setting, each `name=value`. */
export function labelsOf(pairs: readonly string[]): Record<string, string> {
  return Object.fromEntries(pairs.map((pair) => pair.split("=", 2) as [string, string]));
}

/** The host's name, without characters that the control plane rejects. `otherwise`: for a name without any other. */
export function nameOfHost(otherwise: string): string {
  return hostname().replaceAll(/^[^A-Za-z0-9]+|[^A-Za-z0-9._-]/g, "") || otherwise;
}

/** Distinguishes two gateways, and two starts of one gateway. */
const SUBSCRIBER_ID_BYTES = 4;

/** A client of the control plane for a role of this process. `of`: its principal, which stays the same after a restart. */
export function clientFor(parts: Parts, name: string, policies: readonly string[], of = name): Client {
  return new Client(parts.host, wayFor(parts, name, policies, of));
}

/** The transport and token of a role of this process: directly into the control API, or over the network. */
export function wayFor(parts: Parts, name: string, policies: readonly string[], of = name) {
  const { host, settings, control, stack } = parts;
  const subscriber = `${name.replace(" ", "-")}-${randomId(host.random, SUBSCRIBER_ID_BYTES)}`;
  if (control) {
    return {
      transport: injectTransport(control.app),
      token: control.access.internalToken({ id: of, name, policies }),
      subscriber,
    };
  }
  const { identity } = parts;
  if (identity) {
    listensElsewhere(parts, identity.control.urls);
    return { transport: identity.transport, token: undefined, subscriber };
  }
  if (settings.token === undefined) {
    throw ServerErrors.SETTINGS_CONFLICT(
      `A ${name} in a separate process needs a token for ${settings.controlUrls.join(", ")}: ${spellings("token")}. ` +
        "Or let this host join: posthouse agent join https://HOST:8500 --join-token TOKEN.",
    );
  }
  listensElsewhere(parts, settings.controlUrls);
  const transport = stack.use(fetchTransport({ urls: settings.controlUrls, tls: parts.controlTls }));
  return { transport, token: settings.token, subscriber };
}

/** The control plane is not a service, so nothing connects to it as one. */
function listensElsewhere({ stack, listeners }: Parts, urls: readonly string[]): void {
  for (const url of urls) {
    const { hostname, port, protocol } = new URL(url);
    stack.defer(listeners.add({ host: hostname, port: Number(port) || (protocol === "https:" ? 443 : 80) }));
  }
}

/** Parts that are not ready yet, for people. */
export function reasons(parts: Pick<Parts, "notReady">): string[] {
  return parts.notReady.flatMap((reason) => reason() ?? []);
}

/** Whether the gateway reads its config from a file, and has no control plane. */
export function isAlone({ settings, control, identity }: Parts): boolean {
  return settings.gatewayFile !== undefined && !control && !identity && settings.token === undefined;
}

/** The clusters as the gateway of this process sees them; undefined without a gateway for the namespace. */
export async function clustersIn({ settings, clusters }: Parts, namespace: string) {
  return namespace === settings.gatewayNamespace ? clusters?.() : undefined;
}
