/**
 * The kind of address that a connection would go to: this machine, its link, a cloud's metadata, or anything else. Pure. Callers
 * classify the address after name resolution, because a name may resolve differently the next time.
 */
import ipaddr from "ipaddr.js";
import { bareHost } from "./host-address.ts";

/**
 * - `loopback`: this machine, including the unspecified address, which connects to it.
 * - `link-local`: reachable on one link only.
 * - `metadata`: where a cloud serves the credentials of the machine.
 */
export type AddressClass = "loopback" | "link-local" | "metadata" | "other";

/** Metadata services by address. Some lie outside the link-local networks. */
const METADATA_ADDRESSES: ReadonlySet<string> = new Set([
  // AWS, Azure, Google Cloud, DigitalOcean, OpenStack and others.
  "169.254.169.254",
  // AWS: credentials of ECS tasks and of EKS pods.
  "169.254.170.2",
  "169.254.170.23",
  // Tencent Cloud.
  "169.254.0.23",
  // Alibaba Cloud.
  "100.100.100.200",
  // Azure: the agent's channel to its host.
  "168.63.129.16",
  // Oracle Cloud, older images.
  "192.0.0.192",
  // AWS, by IPv6: metadata and EKS pods.
  "fd00:ec2::254",
  "fd00:ec2::23",
  // Google Cloud, by IPv6.
  "fd20:ce::254",
]);

const LOOPBACK_NETWORKS = networks(["127.0.0.0/8", "0.0.0.0/8", "::1/128", "::/128"]);
const LINK_LOCAL_NETWORKS = networks(["169.254.0.0/16", "fe80::/10"]);

/** IPv6 networks whose addresses contain an IPv4 address, and the byte at which it starts. */
const EMBEDDING_NETWORKS = [
  // IPv4-mapped, IPv4-compatible, NAT64 (RFC 6052 and RFC 8215), 6to4.
  ...networks(["::ffff:0:0/96", "::/96", "64:ff9b::/96", "64:ff9b:1::/48"]).map((network) => ({ network, at: 12 })),
  ...networks(["2002::/16"]).map((network) => ({ network, at: 2 })),
];

/** Ranges in which no service listens. */
const NOWHERE: ReadonlySet<string> = new Set(["multicast", "broadcast", "unspecified"]);

type Address = ipaddr.IPv4 | ipaddr.IPv6;
type Network = ReturnType<typeof ipaddr.parseCIDR>;

function networks(texts: readonly string[]): Network[] {
  return texts.map((text) => ipaddr.parseCIDR(text));
}

/**
 * The class of an IP address, in brackets or not, with or without a zone, also in the spellings that a resolver accepts (`127.1`,
 * `0x7f000001`) and inside an IPv6 address; undefined for a name.
 */
export function classOfAddress(text: string): AddressClass | undefined {
  const address = parsed(text);
  if (!address) return undefined;
  const own = classOf(address);
  const inner = own === "other" ? embedded(address) : undefined;
  return inner ? classOf(inner) : own;
}

/** One spelling per address: no brackets, no zone, and an IPv4-mapped address as IPv4. Undefined for a name. */
export function canonicalAddress(text: string): string | undefined {
  const address = parsed(text);
  if (!address) return undefined;
  return address instanceof ipaddr.IPv6 && address.isIPv4MappedAddress()
    ? address.toIPv4Address().toString()
    : address.toString();
}

/**
 * One client, for limits: an IPv4 address, or the /64 network of an IPv6 address, because one host may use all of it. Any other
 * text is returned unchanged.
 */
export function clientNetwork(text: string): string {
  const canonical = canonicalAddress(text);
  const address = canonical === undefined ? undefined : ipaddr.parse(canonical);
  if (!(address instanceof ipaddr.IPv6)) return canonical ?? text;
  const groups = address.parts.slice(0, 4).map((part) => part.toString(16));
  return `${groups.join(":")}::/64`;
}

/** The IPv4 address inside an IPv6 address of a translation network; undefined for other addresses. */
export function embeddedIPv4(text: string): string | undefined {
  const address = parsed(text);
  return address && embedded(address)?.toString();
}

/** Addresses that no service has: of one link only, of metadata services, multicast, unspecified. */
export function isForbiddenAddress(text: string): boolean {
  const kind = classOfAddress(text);
  return kind === "metadata" || kind === "link-local" || isNowhere(text);
}

/** Multicast, broadcast and unspecified addresses. */
export function isNowhere(text: string): boolean {
  const address = parsed(text);
  // `::1` also looks like an embedded 0.0.0.1.
  if (!address || address.range() === "loopback") return false;
  return [address, embedded(address)].some((one) => one !== undefined && NOWHERE.has(one.range()));
}

function parsed(text: string): Address | undefined {
  const [address = ""] = bareHost(text).split("%");
  return ipaddr.isValid(address) ? ipaddr.parse(address) : undefined;
}

function classOf(address: Address): AddressClass {
  if (METADATA_ADDRESSES.has(address.toString())) return "metadata";
  const within = (network: Network) => network[0].kind() === address.kind() && address.match(network);
  if (LOOPBACK_NETWORKS.some(within)) return "loopback";
  return LINK_LOCAL_NETWORKS.some(within) ? "link-local" : "other";
}

function embedded(address: Address): ipaddr.IPv4 | undefined {
  if (!(address instanceof ipaddr.IPv6)) return undefined;
  const found = EMBEDDING_NETWORKS.find(({ network }) => address.match(network as [ipaddr.IPv6, number]));
  return found && new ipaddr.IPv4(address.toByteArray().slice(found.at, found.at + 4));
}

export interface Listener {
  /** Address or name that the listener was opened with. */
  readonly host: string;
  readonly port: number;
}

/**
 * The listeners of this process. The port counts on every address of this machine, whatever address the listener was opened on.
 * That is the safe side for listeners that were opened by name.
 */
export class OwnListeners {
  readonly #listeners = new Set<Listener>();
  readonly #machineAddresses: () => readonly string[];
  readonly #subscribers = new Set<() => void>();

  /** @param machineAddresses the addresses of this machine's network interfaces */
  constructor(machineAddresses: () => readonly string[]) {
    this.#machineAddresses = machineAddresses;
  }

  /** Counts a listener until the returned function is called. */
  add({ host, port }: Listener): () => void {
    // A new object: the same port may be added twice, and counts until both are removed.
    const listener = { host, port };
    this.#listeners.add(listener);
    this.#changed();
    return () => {
      if (this.#listeners.delete(listener)) this.#changed();
    };
  }

  /** Calls the subscriber after each change, until the returned function is called. */
  onChange(subscriber: () => void): () => void {
    this.#subscribers.add(subscriber);
    return () => void this.#subscribers.delete(subscriber);
  }

  #changed(): void {
    for (const subscriber of this.#subscribers) subscriber();
  }

  list(): Listener[] {
    return [...this.#listeners];
  }

  /** Whether a connection to the address and port would reach this process. Always false for names: resolve them first. */
  has(address: string, port: number): boolean {
    const listeners = this.list().filter((listener) => listener.port === port);
    const canonical = canonicalAddress(address);
    if (listeners.length === 0 || canonical === undefined) return false;
    if (classOfAddress(canonical) === "loopback") return true;
    const ours = [...this.#machineAddresses(), ...listeners.map(({ host }) => host)];
    return ours.some((one) => canonicalAddress(one) === canonical);
  }
}
