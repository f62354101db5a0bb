/**
 * The one reader of addresses and host names, for every place where one enters. A value that comes from a store is not checked
 * again, so that data of an older version stays readable.
 * @see RFC 1123 §2.1 (host names), RFC 1035 §2.3.4 (their sizes)
 */
import { isIP } from "node:net";

export interface HostAddress {
  readonly kind: "ipv4" | "ipv6" | "name";
  readonly text: string;
}

/** Characters of a host name without the root, and of one label. RFC 1035 §2.3.4: 255 bytes with all lengths and the root. */
export const HOST_NAME_CHARS_MAX = 253;
export const LABEL_CHARS_MAX = 63;
const LABEL = /^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?$/;
/** Resolvers read a name with such an end as an IPv4 address, complete or shortened: `10.1`, `0x7f000001`. */
const NUMBER = /^(\d+|0[xX][0-9A-Fa-f]*)$/;

/** An IP address, without brackets or zone, or a host name, without the root's dot; undefined for anything else. */
export function parseHostAddress(text: string): HostAddress | undefined {
  const version = isIP(text);
  if (version === 4) return { kind: "ipv4", text };
  if (version === 6) return text.includes("%") ? undefined : { kind: "ipv6", text };
  if (text.length > HOST_NAME_CHARS_MAX) return undefined;
  const labels = text.split(".");
  if (!labels.every((label) => label.length <= LABEL_CHARS_MAX && LABEL.test(label))) return undefined;
  return NUMBER.test(labels.at(-1) ?? "") ? undefined : { kind: "name", text };
}

/** The problem with an address, and what to write instead; undefined for a valid one. */
export function hostAddressProblem(text: string): string | undefined {
  if (parseHostAddress(text)) return undefined;
  return `"${shown(text)}" is not an IP address or a host name. Use one such as 10.0.0.7, 2001:db8::7 or db.example, without scheme, port, brackets or a dot at either end`;
}

/** The host of a URL as it is written, before any parser reads numbers into addresses. */
const URL_HOST = /^https?:\/\/(?:[^/?#@]*@)?(\[[^\]/?#@]*\]|[^:/?#@[\]]*)(?::\d*)?(?:[/?#]|$)/i;

/** The problem with an http or https URL and its host; undefined for a valid one. */
export function urlHostProblem(url: string): string | undefined {
  const host = URL_HOST.exec(url)?.[1];
  const six = host?.startsWith("[") ? parseHostAddress(host.slice(1, -1))?.kind === "ipv6" : false;
  const problem = host === undefined || host === "" || six ? undefined : hostAddressProblem(host);
  if (problem !== undefined || (host && URL.canParse(url))) return problem;
  return `"${shown(url)}" is not an http or https URL. Use one such as http://10.0.0.7:8080/path`;
}

/** These rules as formats of JSON Schema, for validators of handwritten texts. */
export const HOST_FORMATS: Readonly<Record<string, (text: string) => string | undefined>> = {
  "host-address": hostAddressProblem,
  "http-url": urlHostProblem,
};

/** An address or name as URLs and `host:port` texts have it: an IPv6 address in brackets. */
export function bracketedHost(host: string): string {
  return host.includes(":") ? `[${host}]` : host;
}

/** The host of a URL as sockets and certificates have it: without brackets. */
export function bareHost(host: string): string {
  return host.replaceAll(/^\[|\]$/g, "");
}

function shown(text: string): string {
  return text.length > 80 ? `${text.slice(0, 80)}…` : text;
}
