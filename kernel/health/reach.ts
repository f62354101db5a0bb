/**
 * What a process that runs checks may connect to, and what it may send there. Clients that may register name the targets, so
 * without these rules a server would open a door to everything that it alone can reach: its loopback, its own listeners, a cloud's
 * metadata. Every decision is made in `refusalOf`, on the address that is connected to: a name is judged after its resolution.
 */
import { lookup as systemLookup } from "node:dns";
import { BlockList, isIP, type LookupFunction } from "node:net";
import { defineErrors, type AppError } from "#base";
import { canonicalAddress, classOfAddress, embeddedIPv4, type OwnListeners } from "#base/address-class";
import type { Target } from "./core/targets.ts";

export const HealthErrors = defineErrors("HEALTH", {
  TARGET_REFUSED: { status: 403, title: "Target must not be probed" },
  NETWORK_INVALID: { status: 400, title: "Network not valid" },
});

/** Link-local networks, also behind NAT64: nothing is served there but a cloud's metadata and its credentials. */
export const LINK_LOCAL_NETWORKS: readonly string[] = [
  "169.254.0.0/16",
  "fe80::/10",
  "fd00:ec2::254/128",
  "64:ff9b::a9fe:0/112",
];

export interface ReachRules {
  /** Networks that are not probed. */
  readonly refuse: readonly string[];
  /** Whether services on this machine's loopback addresses may be probed. */
  readonly loopback: boolean;
  /** Whether metadata services of clouds may be probed. */
  readonly metadata: boolean;
  /** Whether a check may send more than a GET or HEAD request without a body, or a gRPC health call. */
  readonly writes: boolean;
  /** Listeners that are never probed: those of this process. */
  readonly own?: OwnListeners | undefined;
}

/** For an agent: its checks are defined by users of its own host, who can connect to all of this themselves. */
export const OWN_HOST_RULES: ReachRules = { refuse: [], loopback: true, metadata: true, writes: true };

export interface Reach {
  /** Why a target is not probed, as far as its definition tells; undefined: it may be, or it is a name. */
  refusal(target: Target): AppError | undefined;
  /** Resolves names for `net.connect` to a port, and returns only addresses that may be probed. */
  lookup(port: number): LookupFunction;
  /** An address of the host that may be probed at this port. @throws HEALTH_TARGET_REFUSED */
  resolve(host: string, port: number): Promise<{ address: string; family: 4 | 6 }>;
}

/** @throws HEALTH_NETWORK_INVALID */
export function createReach(rules: ReachRules): Reach {
  const refused = networksOf(rules.refuse);
  const lookup =
    (port: number): LookupFunction =>
    (host, options, callback) => {
      systemLookup(host, { ...options, all: true }, (error, found) => {
        if (error) return callback(error, "");
        const allowed = found.filter(({ address }) => refusalOf(rules, refused, { address, port }) === undefined);
        const [first] = allowed;
        if (first && options.all) return callback(null, allowed);
        if (first) return callback(null, first.address, first.family);
        const [other] = found;
        if (!other) return callback(noAddress(host), "");
        const reason = refusalOf(rules, refused, { address: other.address, port }) ?? "";
        callback(HealthErrors.TARGET_REFUSED(`${host} resolves to ${reason}`), "");
      });
    };
  return {
    refusal(target) {
      const place = placeOf(target);
      const reason =
        (place && refusalOf(rules, refused, { address: place.host, port: place.port })) ??
        (rules.writes ? undefined : sent(target));
      return reason === undefined ? undefined : HealthErrors.TARGET_REFUSED(reason);
    },
    lookup,
    resolve: (host, port) =>
      new Promise((resolve, reject) => {
        lookup(port)(host, { all: false }, (error, address, family) => {
          if (error) reject(error);
          else resolve({ address: address as string, family: family === 6 ? 6 : 4 });
        });
      }),
  };
}

/** Why a connection to an address is refused, with the way out; undefined: it may be made, or it is a name. */
function refusalOf(
  { loopback, metadata, own }: ReachRules,
  refused: BlockList,
  { address, port }: { address: string; port: number },
): string | undefined {
  const kind = classOfAddress(address);
  if (kind === undefined) return isLocalName(address) && !loopback ? LOOPBACK_REFUSED(address) : undefined;
  if (own?.has(address, port)) return `${address}:${port}, a listener of this process, which is never probed`;
  if (kind === "metadata" && !metadata) return `${address}, where a cloud keeps credentials; it is never probed`;
  if (kind === "loopback" && !loopback) return LOOPBACK_REFUSED(address);
  const spellings = [canonicalAddress(address), embeddedIPv4(address)].filter((text) => text !== undefined);
  if (spellings.some((text) => refused.check(text, isIP(text) === 4 ? "ipv4" : "ipv6"))) {
    return `${address}, which is in a network that is not probed (setting probeRefuse)`;
  }
  return undefined;
}

const LOOPBACK_REFUSED = (address: string) =>
  `${address}, an address of the server itself. Register the service with the agent of its host, which then runs the check, or set probeLoopback`;

/** Names that mean this machine on every system (RFC 6761), so the registration is told at once. */
function isLocalName(name: string): boolean {
  return /(^|\.)localhost\.?$/i.test(name);
}

/** Where a target is connected to; undefined: nowhere by network. */
function placeOf(target: Target): { host: string; port: number } | undefined {
  if (target.type === "http") {
    const url = URL.parse(target.url);
    return url ? { host: url.hostname, port: portOf(url) } : undefined;
  }
  return "host" in target ? { host: target.host, port: target.port } : undefined;
}

/** The port of a URL over HTTP or HTTPS. */
export function portOf({ port, protocol }: URL): number {
  if (port !== "") return Number(port);
  return protocol === "https:" ? 443 : 80;
}

/** What a target would be sent beyond a plain request, as a reason to refuse it. */
function sent(target: Target): string | undefined {
  const way = "let the agent of its host run this check, or set probeWrites";
  if (target.type === "http" && target.method !== "GET" && target.method !== "HEAD") {
    return `method ${target.method}: a server sends only GET and HEAD; ${way}`;
  }
  if (target.type === "http" && target.body !== undefined) return `a body: a server sends none; ${way}`;
  if ((target.type === "tcp" || target.type === "udp") && target.send !== undefined) {
    return `text of a ${target.type} check: a server sends none; ${way}`;
  }
  return undefined;
}

function networksOf(networks: readonly string[]): BlockList {
  const refused = new BlockList();
  for (const network of networks) {
    const [address = "", bits] = network.split("/");
    const family = isIP(address);
    const prefix = Number(bits ?? (family === 4 ? 32 : 128));
    if (family === 0 || !/^\d+$/.test(bits ?? "0") || prefix > (family === 4 ? 32 : 128)) {
      throw HealthErrors.NETWORK_INVALID(`"${network}" is not a valid network such as 10.0.0.0/8 or fe80::/10.`);
    }
    refused.addSubnet(address, prefix, family === 4 ? "ipv4" : "ipv6");
  }
  return refused;
}

function noAddress(host: string): NodeJS.ErrnoException {
  return Object.assign(new Error(`${host} has no address`), { code: "ENOTFOUND" });
}
