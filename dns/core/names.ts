/**
 * The meaning of a name in the zone, and the name of an instance in it. Labels are in lower case and without the root.
 * This file does not know what is registered.
 */
import ipaddr from "ipaddr.js";
import { invariant, parseHostAddress } from "#base";

/** The form of a name. Whether the name exists is decided by the directory. */
export type Asked =
  | { readonly kind: "apex" }
  | { readonly kind: "name server" }
  | { readonly kind: "nowhere" }
  /** A name without own records, between the zone and existing names. `namespace` undefined: it always exists. */
  | {
      readonly kind: "between";
      readonly namespace: string | undefined;
      readonly service?: string;
      readonly locality?: string;
      /** Of `_LABEL.service`: a protocol or a tag of any service. */
      readonly protocol?: string;
    }
  | {
      readonly kind: "service";
      readonly namespace: string;
      readonly service: string;
      readonly locality: string | undefined;
      /** A tag; with `srv`, a protocol or a tag. */
      readonly tag: string | undefined;
      /** By RFC 2782: `_orders._tcp`; has SRV only. */
      readonly srv: boolean;
    }
  | { readonly kind: "instance"; readonly namespace: string; readonly service: string; readonly label: string };

const NOWHERE: Asked = { kind: "nowhere" };

/**
 * The labels before the zone, from left to right, as `[…].service[.LOCALITY.zone][.NAMESPACE.ns]` or
 * `ID.SERVICE.instance[.NAMESPACE.ns]`.
 */
export function parseName(labels: readonly string[], defaultNamespace: string): Asked {
  const rest = [...labels];
  if (rest.length === 0) return { kind: "apex" };
  let namespace = defaultNamespace;
  let named: string | undefined;
  if (rest.at(-1) === "ns") {
    rest.pop();
    if (rest.length === 0) return { kind: "name server" };
    named = namespace = rest.pop() as string;
    if (rest.length === 0) return { kind: "between", namespace: named };
  }
  let locality: string | undefined;
  if (rest.at(-1) === "zone") {
    rest.pop();
    if (rest.length === 0) return { kind: "between", namespace: named };
    locality = rest.pop() as string;
    if (rest.length === 0) return { kind: "between", namespace, locality };
    if (rest.at(-1) !== "service") return NOWHERE;
  }
  const last = rest.pop();
  if (last === "service") return parseService(rest, { namespace, named, locality });
  if (last !== "instance") return NOWHERE;
  const [first = "", second = ""] = rest;
  if (rest.length === 0) return { kind: "between", namespace: named };
  if (rest.length === 1) return { kind: "between", namespace, service: first };
  return rest.length === 2 ? { kind: "instance", namespace, service: second, label: first } : NOWHERE;
}

function parseService(
  rest: readonly string[],
  scope: { namespace: string; named: string | undefined; locality: string | undefined },
): Asked {
  const { namespace, named, locality } = scope;
  const [first = "", second = ""] = rest;
  const within = locality === undefined ? {} : { locality };
  if (rest.length === 0) return { kind: "between", namespace: locality === undefined ? named : namespace, ...within };
  if (rest.length === 1) {
    if (first.startsWith("_")) return { kind: "between", namespace, protocol: first.slice(1), ...within };
    return { kind: "service", namespace, service: first, locality, tag: undefined, srv: false };
  }
  if (rest.length > 2) return NOWHERE;
  if (first.startsWith("_") && second.startsWith("_")) {
    return { kind: "service", namespace, service: first.slice(1), locality, tag: second.slice(1), srv: true };
  }
  return { kind: "service", namespace, service: second, locality, tag: first, srv: false };
}

/** The form in which tags and zones are compared: names are case-insensitive. */
export function lower(text: string): string {
  return text.replaceAll(/[A-Z]+/g, (letters) => letters.toLowerCase());
}

const PLAIN = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;
const HASHED = /--[0-9a-z]{11}$/;
/** Characters of an id before its hash, so that the whole fits into a label of 63. */
const KEPT_MAX = 50;
const LABEL_CHARS_MAX = 63;

/**
 * An instance's id as a label of a host name. An id that is a valid label stays as it is. Any other is converted and
 * gets a hash of the whole id as a suffix, so that two ids never share a label.
 */
export function instanceLabel(id: string): string {
  if (PLAIN.test(id) && !HASHED.test(id)) return id;
  const kept = lower(id)
    .replaceAll(/[^a-z0-9-]+/g, "-")
    .slice(0, KEPT_MAX)
    .replaceAll(/^-+|-+$/g, "");
  const label = `${kept}--${hashOf(id)}`;
  invariant(label.length <= LABEL_CHARS_MAX, "a label has at most 63 characters");
  return label;
}

/** A 53-bit hash of a text in 11 characters (cyrb53). It distinguishes ids and is not for security. */
function hashOf(text: string): string {
  let a = 0xdeadbeef;
  let b = 0x41c6ce57;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    a = Math.imul(a ^ code, 2654435761);
    b = Math.imul(b ^ code, 1597334677);
  }
  a = Math.imul(a ^ (a >>> 16), 2246822507) ^ Math.imul(b ^ (b >>> 13), 3266489909);
  b = Math.imul(b ^ (b >>> 16), 2246822507) ^ Math.imul(a ^ (a >>> 13), 3266489909);
  return (4294967296 * (2097151 & b) + (a >>> 0)).toString(36).padStart(11, "0");
}

/** The address of a name under `in-addr.arpa` or `ip6.arpa`, in canonical form; undefined for other names. */
export function parseReverse(labels: readonly string[]): string | undefined {
  if (labels.at(-1) !== "arpa") return undefined;
  const digits = labels.slice(0, -2).toReversed();
  if (labels.at(-2) === "in-addr" && digits.length === 4 && digits.every((part) => /^(0|[1-9]\d{0,2})$/.test(part))) {
    return canonicalAddress(digits.join("."))?.address;
  }
  if (labels.at(-2) === "ip6" && digits.length === 32 && digits.every((part) => /^[0-9a-f]$/.test(part))) {
    return canonicalAddress(digits.join("").replaceAll(/(.{4})(?=.)/g, "$1:"))?.address;
  }
  return undefined;
}

/** An IP address in canonical form, with its record type; undefined for any other text. */
export function canonicalAddress(text: string): { address: string; type: "A" | "AAAA" } | undefined {
  const kind = parseHostAddress(text)?.kind;
  if (kind === "ipv4") return { address: text, type: "A" };
  if (kind !== "ipv6") return undefined;
  const address = ipaddr.IPv6.parse(text);
  if (address.isIPv4MappedAddress()) return { address: address.toIPv4Address().toString(), type: "A" };
  return { address: address.toNormalizedString(), type: "AAAA" };
}
