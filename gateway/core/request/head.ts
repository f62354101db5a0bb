/**
 * The head of a request as decisions see it, in every lane. Headers stay unparsed until a policy needs them. `readHead`
 * is strict: it rejects a request whose host or path could be read in two ways.
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
  /** Host and port as in the request, in lower case. */
  readonly authority: string;
  readonly scheme: "http" | "https";
  /** Canonical, without path parameters. */
  readonly path: string;
  /** The path with its parameters, for the upstream; absent: it has none. */
  readonly written?: string;
  /** Parts of the path that only a route can allow; absent: none. */
  readonly doubts?: readonly PathDoubt[];
  /** Includes the question mark; unchanged, or empty. */
  readonly query: string;
  /** Address of the connection's other end. */
  readonly peer: string;
  /** Address of the client: the peer, or the one that trusted proxies report. */
  readonly client: string;
  /** Name of the listener that received it. */
  readonly listener: string;
  /** The client's certificate as text, see core/callers/certificates.ts; undefined: none was requested or presented. */
  readonly clientCertificate?: string | undefined;
  /** Every value of a header, in order; the name in lower case. */
  header(name: string): readonly string[];
}

/** Facts about the client from the TLS handshake. */
export interface TlsPeer {
  /** The requested server name (SNI), in lower case; undefined: the client sent none. */
  readonly serverName: string | undefined;
  /** The CAs that were accepted for the client's certificate, in PEM; undefined: none was requested. */
  readonly trusts: string | undefined;
  /** The verified certificate as text. */
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
  /** Absent: the process's own, or the one of the port that serves the host. */
  readonly listener?: string;
  /** The port of the config's listeners; absent: one of the process's own ports. */
  readonly port?: number | undefined;
  /** Absent: without TLS, or on a listener without client certificates. */
  readonly tls?: TlsPeer | undefined;
  /** Name, value, name, value, as received. */
  readonly rawHeaders: readonly string[];
  /** Name of a field whose value starts or ends with a space or a tab, which HTTP/2 forbids; absent: none. */
  readonly padded?: string | undefined;
}

export interface BadHead {
  readonly error: GatewayErrorName;
  readonly detail: string;
}

/** Most fields of one request. Browsers send about 20; Node's own limit would drop the rest silently. */
export const HEADER_FIELDS_MAX = 200;

/** Whether a value starts or ends with a space or a tab. For HTTP/1.1 the parser removes these. @see RFC 9113 §8.2.1 */
export function isPadded(value: string): boolean {
  return isBlank(value.charCodeAt(0)) || isBlank(value.charCodeAt(value.length - 1));
}

function isBlank(code: number): boolean {
  return code === 0x20 || code === 0x09;
}

/** The head, or why it is rejected. `ports`: which listener serves a host. Never throws. */
export function readHead(raw: RawHead, ports?: Ports): RequestHead | BadHead {
  const { rawHeaders } = raw;
  if (rawHeaders.length > HEADER_FIELDS_MAX * 2) {
    return { error: "HEADERS_TOO_LARGE", detail: `The request has more than ${HEADER_FIELDS_MAX} header fields.` };
  }
  if (raw.padded !== undefined) {
    return { error: "REQUEST_INVALID", detail: `The value of "${raw.padded}" starts or ends with a space or a tab.` };
  }
  const hosts = headerValues(rawHeaders, "host");
  if (hosts.length !== 1)
    return { error: "HOST_INVALID", detail: `The request has ${hosts.length} Host headers; exactly one is required.` };
  const authority = parseAuthority(hosts[0] as string);
  if (!authority) return { error: "HOST_INVALID", detail: "The Host header is not a host with an optional port." };
  if (raw.version === "1.0" && headerValues(rawHeaders, "transfer-encoding").length > 0) {
    return { error: "REQUEST_INVALID", detail: "Transfer-Encoding is not allowed in HTTP/1.0." };
  }
  let target = raw.target;
  const absolute = /^https?:\/\/([^/?#]*)/i.exec(target);
  if (absolute) {
    const named = parseAuthority(absolute[1] as string);
    if (named?.authority !== authority.authority) {
      return { error: "HOST_INVALID", detail: "The request target and the Host header name different hosts." };
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
    // The client's own version of this header is ignored, by the service and by conditions of routes.
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

/** Host and optional port, without userinfo, path or spaces; undefined for any other text. */
export function parseAuthority(text: string): { host: string; authority: string } | undefined {
  const lower = text.toLowerCase();
  if (lower.length > 261) return undefined;
  const match = /^(\[[^\]]*\]|[^:[\]]*)(?::(\d{1,5}))?$/.exec(lower);
  if (!match) return undefined;
  const host = match[1] as string;
  if (!(host.startsWith("[") ? IPV6.test(host) : HOST_NAME.test(host))) return undefined;
  if (match[2] !== undefined && Number(match[2]) > 65_535) return undefined;
  // A host with a trailing dot is the same host, and must match the same routes.
  return { host: host.endsWith(".") ? host.slice(0, -1) : host, authority: lower };
}
