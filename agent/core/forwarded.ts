/** Paths and headers that cross the agent on the way to the control API and back. Pure. */
import { setOwn } from "#base";

/**
 * Headers of a request that the control API reads. Other headers stay here: hop-by-hop headers, cookies, the caller's claims about
 * its address, and the local token.
 */
const REQUEST_HEADERS: ReadonlySet<string> = new Set([
  "accept",
  "accept-encoding",
  "content-type",
  "if-match",
  "if-none-match",
  "last-event-id",
  "user-agent",
  "x-posthouse-app",
  "x-posthouse-namespace",
  "x-posthouse-profile",
]);

/** Headers of an answer that concern one connection, or that the agent sets itself. */
const ANSWER_HEADERS_LEFT: ReadonlySet<string> = new Set([
  "alt-svc",
  "connection",
  "date",
  "keep-alive",
  "proxy-authenticate",
  "proxy-connection",
  "set-cookie",
  "te",
  "trailer",
  "traceresponse",
  "transfer-encoding",
  "upgrade",
]);

export type HeaderFields = Readonly<Record<string, string | string[] | undefined>>;

export function forwardedRequestHeaders(headers: HeaderFields): Record<string, string> {
  const kept: Record<string, string> = {};
  for (const [name, value] of Object.entries(headers)) {
    if (value !== undefined && REQUEST_HEADERS.has(name))
      setOwn(kept, name, Array.isArray(value) ? value.join(", ") : value);
  }
  return kept;
}

export function forwardedAnswerHeaders(headers: Readonly<Record<string, string>>): Record<string, string> {
  // The answer may name further headers of its connection.
  const named = new Set(
    (headers["connection"] ?? "")
      .toLowerCase()
      .split(",")
      .map((one) => one.trim()),
  );
  const kept = Object.entries(headers).filter(([name]) => !ANSWER_HEADERS_LEFT.has(name) && !named.has(name));
  return Object.fromEntries(kept);
}

/** Any base: only the path is read. */
const BASE = "http://control.invalid";

/**
 * The form of a path that every parser reads in the same way: no dot segments in any spelling, no backslash, no second slash at the
 * begin. Undefined when the path cannot be decoded.
 */
export function canonicalPath(path: string): string | undefined {
  if (!URL.canParse(path, BASE)) return undefined;
  const { origin, pathname } = new URL(path, BASE);
  if (origin !== BASE) return undefined;
  try {
    decodeURIComponent(pathname);
  } catch {
    return undefined;
  }
  return pathname;
}
