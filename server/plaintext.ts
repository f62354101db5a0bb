/**
 * Finds traffic that would cross a network in the clear. The control API, the agent's local API and etcd do not support TLS here yet, so
 * beyond this machine their tokens, secrets and sessions could be intercepted. Such a start fails, unless the operator declares that the
 * network is trusted. Pure.
 */
import { isLoopback } from "#http";
import { type Settings, spellings } from "#settings";
import { ServerErrors } from "./api.ts";

/** An address that a role of the process listens on or connects to, and its setting. */
interface Way {
  readonly setting: "host" | "agentHost" | "etcdUrls" | "controlUrls";
  readonly what: string;
}

/** @throws SERVER_PLAINTEXT, SERVER_TLS_NOT_SUPPORTED */
export function refusePlaintext(settings: Settings): void {
  const { etcdUrls, store } = settings;
  const https = store === "etcd" ? etcdUrls.find((url) => new URL(url).protocol === "https:") : undefined;
  if (https !== undefined) {
    throw ServerErrors.TLS_NOT_SUPPORTED(
      `TLS to etcd is not supported yet, so ${https} cannot be used. Use an http URL on this machine, such as a TLS proxy beside posthouse: ${spellings("etcdUrls")}.`,
    );
  }
  if (settings.insecurePlaintext) return;
  const [way] = plaintextWays(settings);
  if (way === undefined) return;
  throw ServerErrors.PLAINTEXT(
    `${way.what} would cross the network without TLS, so others could read its tokens and secrets. Use an address of this machine (${spellings(way.setting)}) behind your own TLS proxy, or accept the risk on a trusted network with ${spellings("insecurePlaintext")}.`,
  );
}

/** All traffic of this process that would leave this machine in the clear. */
export function plaintextWays(settings: Settings): Way[] {
  const has = (role: Settings["roles"][number]) => settings.roles.includes(role);
  const isApi = has("registry") || has("config-server");
  const ways: Way[] = [];
  if ((isApi || has("gateway")) && !isLoopback(settings.host)) {
    const what = isApi ? "The control API" : "The operations API";
    ways.push({ setting: "host", what: `${what} on ${settings.host}` });
  }
  if (has("agent") && !isLoopback(settings.agentHost)) {
    ways.push({ setting: "agentHost", what: `The agent's local API on ${settings.agentHost}` });
  }
  if (isApi && settings.store === "etcd") {
    const url = settings.etcdUrls.find(leavesInTheClear);
    if (url !== undefined) ways.push({ setting: "etcdUrls", what: `The connection to etcd at ${url}` });
  }
  if (!isApi && settings.token !== undefined) {
    const url = settings.controlUrls.find(leavesInTheClear);
    if (url !== undefined) ways.push({ setting: "controlUrls", what: `The connection to the control API at ${url}` });
  }
  return ways;
}

function leavesInTheClear(url: string): boolean {
  const { protocol, hostname } = new URL(url);
  return protocol === "http:" && !isLoopback(hostname);
}
