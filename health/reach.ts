/**
 * Which networks probes may reach. Whoever may register names what a server probes, so without this a server is a door
 * to whatever it alone can reach, such as a cloud's metadata. Names are judged by the addresses that are connected to,
 * not by a lookup made before, which could have said something else.
 */
import { lookup as systemLookup } from "node:dns";
import { BlockList, isIP, type LookupFunction } from "node:net";
import { defineErrors, type AppError } from "#base";

export const HealthErrors = defineErrors("HEALTH", {
  TARGET_REFUSED: { status: 403, title: "Target not to be probed" },
  NETWORK_INVALID: { status: 400, title: "Network not valid" },
});

/** Link-local networks, also behind NAT64: nothing is served there but a cloud's metadata and its credentials. */
export const LINK_LOCAL_NETWORKS: readonly string[] = [
  "169.254.0.0/16",
  "fe80::/10",
  "fd00:ec2::254/128",
  "64:ff9b::a9fe:0/112",
];

export interface Reach {
  /** @throws HEALTH_TARGET_REFUSED when it is an address that is not to be probed; names pass. */
  check(host: string): void;
  /** Resolves names for `net.connect`, to addresses that may be probed only. */
  readonly lookup: LookupFunction;
  /** An address of the host that may be probed. @throws HEALTH_TARGET_REFUSED */
  resolve(host: string): Promise<{ address: string; family: 4 | 6 }>;
}

/** @throws HEALTH_NETWORK_INVALID */
export function reachOutside(networks: readonly string[]): Reach {
  const refused = new BlockList();
  for (const network of networks) {
    const [address = "", bits] = network.split("/");
    const family = isIP(address);
    const prefix = Number(bits ?? (family === 4 ? 32 : 128));
    if (family === 0 || !/^\d+$/.test(bits ?? "0") || prefix > (family === 4 ? 32 : 128)) {
      throw HealthErrors.NETWORK_INVALID(`"${network}" is no network such as 10.0.0.0/8 or fe80::/10.`);
    }
    refused.addSubnet(address, prefix, family === 4 ? "ipv4" : "ipv6");
  }
  const refusal = (host: string): AppError =>
    HealthErrors.TARGET_REFUSED(`${host} is in a network that is not probed (setting probeRefuse)`);
  const bad = (text: string) => {
    // Without its zone, an address of a link is judged like any other.
    const [address = ""] = text.split("%");
    const family = isIP(address);
    return family !== 0 && refused.check(address, family === 4 ? "ipv4" : "ipv6");
  };
  const lookup: LookupFunction = (host, options, callback) => {
    systemLookup(host, { ...options, all: true }, (error, found) => {
      if (error) return callback(error, "");
      const allowed = found.filter(({ address }) => !bad(address));
      const [first] = allowed;
      if (!first) return callback(found.length > 0 ? refusal(host) : noAddress(host), "");
      if (options.all) callback(null, allowed);
      else callback(null, first.address, first.family);
    });
  };
  return {
    check(host) {
      if (bad(host.replace(/^\[|\]$/g, ""))) throw refusal(host);
    },
    lookup,
    resolve: (host) =>
      new Promise((resolve, reject) => {
        lookup(host, { all: false }, (error, address, family) => {
          if (error) reject(error);
          else resolve({ address: address as string, family: family === 6 ? 6 : 4 });
        });
      }),
  };
}

function noAddress(host: string): NodeJS.ErrnoException {
  return Object.assign(new Error(`${host} has no address`), { code: "ENOTFOUND" });
}
