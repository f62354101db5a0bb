/**
 * Whether an address may be dialed. One decision for every connection whose address comes from data: endpoints of services,
 * copies of requests, key sets of identity providers. A registration or a release must not turn this process into a door to its
 * own listeners, to a cloud's metadata service, or to this host where it runs no services.
 */
import { lookup as systemLookup } from "node:dns";
import type { LookupFunction } from "node:net";
import { networkInterfaces } from "node:os";
import { classOfAddress, embeddedIPv4, isNowhere, type OwnListeners } from "./address-class.ts";
import { defineErrors } from "./errors.ts";
import { bareHost } from "./host-address.ts";

export const DialErrors = defineErrors("DIAL", {
  REFUSED: { status: 403, title: "Address must not be dialed" },
});

/** Addresses of this machine's network interfaces. They change over time. */
export function machineAddresses(): string[] {
  return Object.values(networkInterfaces()).flatMap((addresses) => (addresses ?? []).map(({ address }) => address));
}

export interface DialRules {
  /** Services run on this host, so its loopback addresses may be dialed. */
  readonly loopback: boolean;
  /** Listeners of this process and its workers, which are never dialed. */
  readonly own: OwnListeners;
}

/** Where `net.connect` and `tls.connect` may go. */
export interface DialTarget {
  readonly host: string;
  readonly port: number;
  /** For a name: resolves it to the addresses that may be dialed. */
  readonly lookup: LookupFunction;
}

/** Guards every dial: the only way to a socket is through `target`. */
export class DialGuard {
  readonly #rules: DialRules;

  constructor(rules: DialRules) {
    this.#rules = rules;
  }

  /** The kind of an address that must not be dialed. Undefined: it may be, or it is a name, whose addresses are judged later. */
  refusal(host: string, port: number): string | undefined {
    const kind = classOfAddress(host);
    if (kind === undefined) return undefined;
    if (kind === "metadata" || kind === "link-local") return "a link-local or metadata address";
    if (isNowhere(host)) return "an unspecified or multicast address";
    const { own, loopback } = this.#rules;
    if (own.has(host, port) || own.has(embeddedIPv4(host) ?? host, port)) return "a port of posthouse itself";
    if (kind === "loopback" && !loopback) return "a loopback address, which gatewayLoopback does not allow";
    return undefined;
  }

  /** The arguments of a connection. @throws DIAL_REFUSED; for a name, the lookup fails with it instead */
  target(host: string, port: number): DialTarget {
    const bare = bareHost(host);
    const reason = this.refusal(bare, port);
    if (reason !== undefined) throw refused(bare, port, reason);
    return { host: bare, port, lookup: this.#lookupFor(port) };
  }

  #lookupFor(port: number): LookupFunction {
    return (host, options, callback) => {
      systemLookup(host, { ...options, all: true }, (error, found) => {
        if (error) return callback(error, "");
        const judged = found.map((one) => ({ ...one, reason: this.refusal(one.address, port) }));
        const allowed = judged.filter(({ reason }) => reason === undefined);
        const [first] = allowed;
        if (!first) {
          const [{ address, reason } = { address: host, reason: "without an address" }] = judged;
          return callback(refused(`${host} (${address})`, port, reason ?? "not allowed"), "");
        }
        if (options.all)
          callback(
            null,
            allowed.map(({ address, family }) => ({ address, family })),
          );
        else callback(null, first.address, first.family);
      });
    };
  }
}

function refused(host: string, port: number, reason: string) {
  return DialErrors.REFUSED(`${host.includes(":") && !host.includes(" ") ? `[${host}]` : host}:${port} is ${reason}.`);
}
