/**
 * Finds traffic that would cross a network in the clear: listeners without TLS, and http URLs of other machines. Their tokens, secrets and
 * sessions could be intercepted. Such a start fails, unless the operator declares that the network is trusted. Pure.
 */
import { isLoopback } from "#http";
import { type Settings, spellings } from "#settings";
import { ServerErrors } from "./api.ts";
import { usesTls } from "./listener-tls.ts";

/** An address that a role of the process listens on or connects to, and its setting. */
interface Way {
  readonly setting: "host" | "agentHost" | "etcdUrls" | "controlUrls";
  readonly what: string;
}

/** @throws SERVER_PLAINTEXT */
export function refusePlaintext(settings: Settings): void {
  if (settings.insecurePlaintext) return;
  const [way] = plaintextWays(settings);
  if (way === undefined) return;
  const remedy =
    way.setting === "host" || way.setting === "agentHost"
      ? `Remove "tls: off" (${spellings("tls")}), use an address of this machine (${spellings(way.setting)})`
      : `Use an https URL, or one of this machine (${spellings(way.setting)})`;
  throw ServerErrors.PLAINTEXT(
    `${way.what} would cross the network without TLS, so others could read its tokens and secrets. ${remedy}, or accept the risk on a trusted network with ${spellings("insecurePlaintext")}.`,
  );
}

/** All traffic of this process that would leave this machine in the clear. */
export function plaintextWays(settings: Settings): Way[] {
  const has = (role: Settings["roles"][number]) => settings.roles.includes(role);
  const isApi = has("registry") || has("config-server");
  const ways: Way[] = [];
  const isPlain = (address: string) => !isLoopback(address) && !usesTls(settings, address);
  if ((isApi || has("gateway")) && isPlain(settings.host)) {
    const what = isApi ? "The control API" : "The operations API";
    ways.push({ setting: "host", what: `${what} on ${settings.host}` });
  }
  if (has("agent") && isPlain(settings.agentHost)) {
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
