/** What the roles of one process share: its parts, its addresses, and the way to the control plane. */
import { hostname } from "node:os";
import type { FastifyInstance } from "fastify";
import { randomId, type Host } from "#base";
import type { OwnListeners } from "#base/address-class";
import type { DialRules } from "#base/dial";
import { Client, fetchTransport, injectTransport } from "#client";
import type { ClusterView } from "#gateway";
import { isLoopback, type Role } from "#http";
import { type RoleName, type Settings, spellings } from "#settings";
import { ServerErrors } from "../api.ts";
import { type ControlApi } from "../control-api.ts";

/** Where everything is, for people and for tests. */
export interface Addresses {
  controlApi?: string;
  gateway?: string;
  gatewayTls?: string;
  agent?: string;
  /** Path of the agent's Unix socket. */
  agentSocket?: string;
  /** `127.0.0.1:8600`, for UDP and TCP. */
  dns?: string;
  operations?: string;
}

/** What the roles of one process share while they start. */
export interface Parts {
  readonly host: Host;
  readonly settings: Settings;
  /** Owns whatever was opened; a stop is the start in reverse. */
  readonly stack: AsyncDisposableStack;
  /** What is not ready, by part. */
  readonly notReady: (() => string | undefined)[];
  readonly addresses: Addresses;
  /** The ports that this process listens on, and the control plane's; neither checks nor the gateway connect to one. */
  readonly listeners: OwnListeners;
  control: ControlApi | undefined;
  /** Of this process's gateway, once it has one. */
  clusters?: () => Promise<ReadonlyMap<string, ClusterView>>;
}

export const has = (settings: Settings, role: RoleName) => settings.roles.includes(role);

/** Counts the ports of an app as this process's own. */
export function listensAt({ listeners, settings }: Parts, app: FastifyInstance): void {
  for (const address of app.addresses()) {
    if (typeof address !== "string") listeners.add({ host: settings.host, port: address.port });
  }
}

/** Where the gateway may connect to. Where its control plane or its config is on this host, services are, too. */
export function dialRules({ settings, listeners }: Parts): DialRules {
  const { roles, gatewayFile, controlUrls } = settings;
  const here = roles.includes("registry") || controlUrls.every((url) => isLoopback(new URL(url).hostname));
  const loopback = settings.gatewayLoopback ?? (here || gatewayFile !== undefined ? "on" : "off");
  return { loopback: loopback === "on", own: listeners };
}

/** Labels as a setting spells them, each `name=value`. */
export function labelsOf(pairs: readonly string[]): Record<string, string> {
  return Object.fromEntries(pairs.map((pair) => pair.split("=", 2) as [string, string]));
}

/** The host's name, as far as it is one that the control plane takes. */
export function nameOfHost(): string {
  return hostname().replaceAll(/^[^A-Za-z0-9]+|[^A-Za-z0-9._-]/g, "") || "gateway";
}

/** Tells two gateways, or two starts of one, from each other. */
const SUBSCRIBER_ID_BYTES = 4;

/** A client of the control plane for a role of this process. `of`: which principal it is, the same after a restart. */
export function clientFor(parts: Parts, name: string, role: Role, of = name): Client {
  return new Client(parts.host, wayFor(parts, name, role, of));
}

/** How a role of this process reaches the control plane: straight in, or over the network. */
export function wayFor(parts: Parts, name: string, role: Role, of = name) {
  const { host, settings, control, stack, listeners } = parts;
  const subscriber = `${name.replace(" ", "-")}-${randomId(host.random, SUBSCRIBER_ID_BYTES)}`;
  if (control) {
    return {
      transport: injectTransport(control.app),
      token: control.access.internalToken({ id: of, name, role }),
      subscriber,
    };
  }
  if (settings.token === undefined) {
    throw ServerErrors.SETTINGS_CONFLICT(
      `A ${name} in a process of its own needs a token for ${settings.controlUrls.join(", ")}: ${spellings("token")}.`,
    );
  }
  for (const url of settings.controlUrls) {
    const { hostname, port, protocol } = new URL(url);
    // Nor is the control plane that it follows a service.
    stack.defer(listeners.add({ host: hostname, port: Number(port) || (protocol === "https:" ? 443 : 80) }));
  }
  const transport = stack.use(fetchTransport({ urls: settings.controlUrls }));
  return { transport, token: settings.token, subscriber };
}

/** What is not ready yet, in words. */
export function reasons(parts: Pick<Parts, "notReady">): string[] {
  return parts.notReady.flatMap((reason) => reason() ?? []);
}

/** A gateway that lives by a file, and has no control plane to ask. */
export function isAlone({ settings, control }: Pick<Parts, "settings" | "control">): boolean {
  return settings.gatewayFile !== undefined && !control && settings.token === undefined;
}

/** What the gateway of this process sees of its clusters; undefined where it has none for that namespace. */
export async function clustersIn({ settings, clusters }: Parts, namespace: string) {
  return namespace === settings.gatewayNamespace ? clusters?.() : undefined;
}
