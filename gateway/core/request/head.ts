/**
 * What a decision may see of a request, whatever lane it came by. Headers stay as they came until a policy asks.
 * `readHead` is the strict gate before it: one host, one meaning, or a refusal.
 */
import { CLIENT_CERTIFICATE_HEADER } from "../callers/certificates.ts";
import { readTarget, type PathDoubt } from "../paths/path.ts";
import { headerValues } from "./header-list.ts";
import type { Ports } from "./listener-ports.ts";
import { OWN_LISTENER, type GatewayErrorName } from "../../api.ts";

export interface RequestHead {
  /** Upper case, as on the wire. */
  readonly method: string;
  /** Host in lower case without the port; IPv6 in brackets. */
  readonly host: string;
  /** Host and port as asked for, in lower case. */
  readonly authority: string;
  readonly scheme: "http" | "https";
  /** Canonical, without path parameters. */
  readonly path: string;
  /** The same with its path parameters, for the upstream; absent: there are none. */
  readonly written?: string;
  /** What only a route can allow in a path; absent: nothing. */
  readonly doubts?: readonly PathDoubt[];
  /** With its question mark, or empty; untouched. */
  readonly query: string;
  /** Address of the connection's other end. */
  readonly peer: string;
  /** Address of the client: the peer, or behind trusted proxies whom they speak of. */
  readonly client: string;
  /** Name of the listener that it came by. */
  readonly listener: string;
  /** Whose certificate the client has, as core/callers/certificates.ts says it; undefined: none was asked for, or given. */
  readonly clientCertificate?: string | undefined;
  /** Every value of a header, in order; the name in lower case. */
  header(name: string): readonly string[];
}

/** What a handshake said of the connection's other end. */
export interface TlsPeer {
  /** The host that it was opened for (SNI), in lower case; undefined: the client did not say. */
  readonly serverName: string | undefined;
  /** The CAs that the client's certificate was to be of, in PEM; undefined: it was not asked for one. */
  readonly trusts: string | undefined;
  /** Of a certificate that was verified. */
  readonly certificate: string | undefined;
}

/** A head as a lane parsed it. */
export interface RawHead {
  readonly method: string;
  /** As in the request line. */
  readonly target: string;
  /** `1.1`, `1.0`. */
  readonly version: string;
  readonly scheme: "http" | "https";
  readonly peer: string;
  /** Absent: the process's own, or whose host it is of those on the port. */
  readonly listener?: string;
  /** Of the config's listeners that it came by; absent: the process's own. */
  readonly port?: number | undefined;
  /** Absent: in the clear, or on a listener that asks for no certificates. */
  readonly tls?: TlsPeer | undefined;
  /** Name, value, name, value, as they came. */
  readonly rawHeaders: readonly string[];
  /** Name of a field whose value begins or ends with a space or a tab, which HTTP/2 forbids; absent: there is none. */
  readonly padded?: string | undefined;
}

export interface BadHead {
  readonly error: GatewayErrorName;
  readonly detail: string;
}

/** Fields of one request. Browsers send some 20; Node's own limit would drop the rest in silence. */
export const HEADER_FIELDS_MAX = 200;

/** Whether a value begins or ends with a space or a tab. Over HTTP/1.1 the parser cuts them off. @see RFC 9113 §8.2.1 */
export function isPadded(value: string): boolean {
  return isBlank(value.charCodeAt(0)) || isBlank(value.charCodeAt(value.length - 1));
}

function isBlank(code: number): boolean {
  return code === 0x20 || code === 0x09;
}

/** The head, or why it is refused. `ports`: whose requests are whose there. Never throws. */
export function readHead(raw: RawHead, ports?: Ports): RequestHead | BadHead {
  const { rawHeaders } = raw;
  if (rawHeaders.length > HEADER_FIELDS_MAX * 2) {
    return { error: "HEADERS_TOO_LARGE", detail: `More than ${HEADER_FIELDS_MAX} header fields.` };
  }
  if (raw.padded !== undefined) {
    return { error: "REQUEST_INVALID", detail: `The value of "${raw.padded}" begins or ends with a space or a tab.` };
  }
  const hosts = headerValues(rawHeaders, "host");
  if (hosts.length !== 1)
    return { error: "HOST_INVALID", detail: `${hosts.length} Host headers; exactly one is needed.` };
  const authority = parseAuthority(hosts[0] as string);
  if (!authority) return { error: "HOST_INVALID", detail: "The Host header is not a host with an optional port." };
  if (raw.version === "1.0" && headerValues(rawHeaders, "transfer-encoding").length > 0) {
    return { error: "REQUEST_INVALID", detail: "HTTP/1.0 has no Transfer-Encoding." };
  }
  let target = raw.target;
  const absolute = /^https?:\/\/([^/?#]*)/i.exec(target);
  if (absolute) {
    const named = parseAuthority(absolute[1] as string);
    if (named?.authority !== authority.authority) {
      return { error: "HOST_INVALID", detail: "The target names another host than the Host header." };
    }
    target = target.slice(absolute[0].length);
    if (!target.startsWith("/")) target = `/${target}`;
  }
  const canonical = readTarget(target);
  if (!canonical.ok) return { error: "PATH_INVALID", detail: canonical.reason };
  const clientCertificate = raw.tls?.certificate;
  return {
    method: raw.method,
    host: authority.host,
    authority: authority.authority,
    scheme: raw.scheme,
    path: canonical.path,
    ...(canonical.written === canonical.path ? {} : { written: canonical.written }),
    ...(canonical.doubts.length === 0 ? {} : { doubts: canonical.doubts }),
    query: canonical.query,
    peer: raw.peer,
    client: raw.peer,
    listener: raw.listener ?? (raw.port === undefined ? OWN_LISTENER : (ports?.of(raw.port, authority.host) ?? "")),
    clientCertificate,
    // What a client says of its own certificate is seen by nobody, neither the service nor a route's conditions.
    header: (name) => (name === CLIENT_CERTIFICATE_HEADER ? listOf(clientCertificate) : headerValues(rawHeaders, name)),
  };
}

const NOTHING: readonly string[] = [];

function listOf(value: string | undefined): readonly string[] {
  return value === undefined ? NOTHING : [value];
}

export function isBadHead(head: RequestHead | BadHead): head is BadHead {
  return "error" in head;
}

const HOST_NAME = /^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*\.?$/;
const IPV6 = /^\[[0-9a-f:.]{2,45}\]$/;

/** Host and port without userinfo, path or spaces; undefined when it is anything else. */
export function parseAuthority(text: string): { host: string; authority: string } | undefined {
  const lower = text.toLowerCase();
  if (lower.length > 261) return undefined;
  const match = /^(\[[^\]]*\]|[^:[\]]*)(?::(\d{1,5}))?$/.exec(lower);
  if (!match) return undefined;
  const host = match[1] as string;
  if (!(host.startsWith("[") ? IPV6.test(host) : HOST_NAME.test(host))) return undefined;
  if (match[2] !== undefined && Number(match[2]) > 65_535) return undefined;
  // A trailing dot names the same host, and must not slip past a route's host.
  return { host: host.endsWith(".") ? host.slice(0, -1) : host, authority: lower };
}
