/** Sets of networks. */
import ipaddr from "ipaddr.js";

/** Networks in CIDR notation, or single addresses. IPv4-mapped IPv6 addresses count as IPv4. */
export class CidrSet {
  readonly text: string;
  readonly #ranges: readonly Range[];

  constructor(cidrs: readonly string[]) {
    this.text = cidrs.toSorted().join(" ");
    this.#ranges = cidrs.map((cidr) => {
      const range = parseCidr(cidr);
      if (!range) throw new Error(`"${cidr}" is not a network in CIDR notation.`);
      return range;
    });
  }

  has(address: string): boolean {
    if (!ipaddr.isValid(address)) return false;
    const parsed = ipaddr.process(address);
    return this.#ranges.some(([network, bits]) => network.kind() === parsed.kind() && parsed.match(network, bits));
  }

  /** Whether each network of the other set is inside one of these. */
  covers(other: CidrSet): boolean {
    return other.#ranges.every(([inner, innerBits]) =>
      this.#ranges.some(
        ([network, bits]) => network.kind() === inner.kind() && bits <= innerBits && inner.match(network, bits),
      ),
    );
  }
}

export function parseCidr(text: string): Range | undefined {
  if (ipaddr.isValid(text) && !/^\d+$/.test(text)) {
    const address = ipaddr.process(text);
    return [address, address.kind() === "ipv4" ? 32 : 128];
  }
  return ipaddr.isValidCIDR(text) ? ipaddr.parseCIDR(text) : undefined;
}

export type Range = readonly [ipaddr.IPv4 | ipaddr.IPv6, number];
