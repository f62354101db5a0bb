/**
 * May this address be dialled? One answer for every connection that somebody else's data can lead to: endpoints of
 * services, copies of requests, key sets of identity providers. A registration or a release must not turn this process
 * into a door to its own listeners, to a cloud's metadata service, or to this host where no services live on it.
 */
import { lookup as systemLookup } from "node:dns";
import type { LookupFunction } from "node:net";
import { networkInterfaces } from "node:os";
import { classOfAddress, embeddedIPv4, isNowhere, type OwnListeners } from "./address-class.ts";
import { defineErrors } from "./errors.ts";

export const DialErrors = defineErrors("DIAL", {
  REFUSED: { status: 403, title: "Address not to be dialled" },
});

/** Addresses of this machine's network interfaces; they come and go. */
export function machineAddresses(): string[] {
  return Object.values(networkInterfaces()).flatMap((addresses) => (addresses ?? []).map(({ address }) => address));
}

export interface DialRules {
  /** Services live on this host, so its loopback addresses may be dialled. */
  readonly loopback: boolean;
  /** Of this process and its workers; never dialled. */
  readonly own: OwnListeners;
}

/** Where `net.connect` and `tls.connect` may go. */
export interface DialTarget {
  readonly host: string;
  readonly port: number;
  /** For a name: resolves it to the addresses that may be dialled. */
  readonly lookup: LookupFunction;
}

/** Every dial asks it: `target` gives what to connect to, and there is no other way to a socket. */
export class DialGuard {
  readonly #rules: DialRules;

  constructor(rules: DialRules) {
    this.#rules = rules;
  }

  /** What an address is that must not be dialled; undefined: it may be, or it is a name, whose addresses are judged. */
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

  /** What to connect to. @throws DIAL_REFUSED; a name is refused by its lookup, through the socket's error */
  target(host: string, port: number): DialTarget {
    const bare = host.replaceAll(/^\[|\]$/g, "");
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
