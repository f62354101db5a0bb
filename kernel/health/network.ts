/**
 * Which addresses a process that runs checks may connect to. Every decision is made in `refusalOf`, on the address of the
 * connection: a name is judged after its resolution.
 */
import { lookup as systemLookup } from "node:dns";
import { BlockList, isIP, type LookupFunction } from "node:net";
import { defineErrors } from "#base";
import { canonicalAddress, classOfAddress, embeddedIPv4, type OwnListeners } from "#base/address-class";

export const HealthErrors = defineErrors("HEALTH", {
  TARGET_REFUSED: { status: 403, title: "Target must not be probed" },
  NETWORK_INVALID: { status: 400, title: "Network not valid" },
});

/** Link-local networks, also behind NAT64. They serve only a cloud's metadata and its credentials. */
export const LINK_LOCAL_NETWORKS: readonly string[] = [
  "169.254.0.0/16",
  "fe80::/10",
  "fd00:ec2::254/128",
  "64:ff9b::a9fe:0/112",
];

export interface NetworkRules {
  /** Networks that are not probed. */
  readonly refuse: readonly string[];
  /** Whether services on this machine's loopback addresses may be probed. */
  readonly loopback: boolean;
  /** Whether metadata services of clouds may be probed. */
  readonly metadata: boolean;
  /** Listeners of this process, which are never probed. */
  readonly own?: OwnListeners | undefined;
}

export interface Network {
  /** Resolves names for `net.connect` to a port, and returns only addresses that may be probed. */
  readonly lookup: (port: number) => LookupFunction;
  /** An address of the host that may be probed at this port. @throws HEALTH_TARGET_REFUSED */
  readonly resolve: (host: string, port: number) => Promise<{ address: string; family: 4 | 6 }>;
}

interface GuardedNetwork extends Network {
  /** Why a place is not probed. Undefined: it may be, or its host is a name. */
  readonly refusal: (place: { readonly host: string; readonly port: number }) => string | undefined;
}

/** @throws HEALTH_NETWORK_INVALID */
export function createNetwork(rules: NetworkRules): GuardedNetwork {
  const refused = networksOf(rules.refuse);
  const refusal: GuardedNetwork["refusal"] = ({ host, port }) => refusalOf(rules, refused, { address: host, port });
  const lookup =
    (port: number): LookupFunction =>
    (host, options, callback) => {
      systemLookup(host, { ...options, all: true }, (error, found) => {
        if (error) return callback(error, "");
        const allowed = found.filter(({ address }) => refusal({ host: address, port }) === undefined);
        const [first] = allowed;
        if (first && options.all) return callback(null, allowed);
        if (first) return callback(null, first.address, first.family);
        const [other] = found;
        if (!other) return callback(noAddress(host), "");
        const reason = refusal({ host: other.address, port }) ?? "";
        callback(HealthErrors.TARGET_REFUSED(`${host} resolves to ${reason}`), "");
      });
    };
  return {
    refusal,
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

/** Why a connection to an address is refused, and how to allow it. Undefined: it may be made, or the address is a name. */
function refusalOf(
  { loopback, metadata, own }: NetworkRules,
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

/** Names of this machine on every system (RFC 6761), so that the registration is rejected at once. */
function isLocalName(name: string): boolean {
  return /(^|\.)localhost\.?$/i.test(name);
}

function networksOf(networks: readonly string[]): BlockList {
  const refused = new BlockList();
  for (const network of networks) {
    const [address = "", bits] = network.split("/");
    const family = address.includes(":") ? "ipv6" : "ipv4";
    try {
      // Parsed by the block list itself: a check of IPv6 by a regular expression would be compiled at each start.
      if (!/^\d+$/.test(bits ?? "0")) throw new Error("the prefix is not a number");
      refused.addSubnet(address, Number(bits ?? (family === "ipv4" ? 32 : 128)), family);
    } catch (error) {
      throw HealthErrors.NETWORK_INVALID(`"${network}" is not a valid network such as 10.0.0.0/8 or fe80::/10.`, {
        cause: error,
      });
    }
  }
  return refused;
}

function noAddress(host: string): NodeJS.ErrnoException {
  return Object.assign(new Error(`${host} has no address`), { code: "ENOTFOUND" });
}
