/**
 * Sessions of browsers: their cookie, and the rules for requests that carry it. A browser sends the cookie by itself, so a page of another
 * origin could make it call the API. Such requests are rejected by what the browser says about their origin, and by a token that only a
 * page of this origin can read.
 */
import { timingSafeEqual } from "node:crypto";
import type { FastifyReply, FastifyRequest } from "fastify";
import type { Principal } from "./principal.ts";
import { HttpErrors } from "./problem.ts";

export interface BrowserSession {
  /** Names it in lists. It is not a credential. */
  readonly id: string;
  readonly principal: Principal;
  /** The value that unsafe requests send in the header CSRF_HEADER. */
  readonly csrf: string;
  readonly expiresAtMs: number;
  /** Whether it has neither expired nor been ended since. */
  isCurrent(): boolean;
}

/** @throws HTTP_SESSION_INVALID, HTTP_SESSION_EXPIRED */
export type AuthenticateSession = (cookie: string) => Promise<BrowserSession>;

export const CSRF_HEADER = "x-posthouse-csrf";
const COOKIE = "posthouse_session";
/** Over TLS. Browsers accept a cookie with this prefix only from the host itself and over TLS. */
const TLS_COOKIE = `__Host-${COOKIE}`;
/** Methods that change nothing. */
export const SAFE_METHODS: ReadonlySet<string> = new Set(["GET", "HEAD", "OPTIONS"]);

/** The session that a request carries, unverified. */
export function sessionCookieOf(request: FastifyRequest): string | undefined {
  // A neighbor on the network can plant the plain cookie, but not the other one.
  return cookieNamed(request, TLS_COOKIE) ?? cookieNamed(request, COOKIE);
}

/** The value of a cookie that a request carries. */
export function cookieNamed({ headers }: FastifyRequest, name: string): string | undefined {
  const pairs = headers.cookie?.split(";").map((pair) => pair.trim());
  return pairs?.find((pair) => pair.startsWith(`${name}=`))?.slice(name.length + 1);
}

/**
 * Stores a session in the browser. The request must be of the same origin, or prove otherwise that this browser wants the session.
 * `isTls`: whether the browser uses TLS, where the request cannot show it.
 */
export function setSessionCookie(
  reply: FastifyReply,
  {
    value,
    seconds,
    isTls = isOverTls(reply.request),
  }: { readonly value: string; readonly seconds: number; readonly isTls?: boolean },
): void {
  void reply.header("set-cookie", cookieText(isTls ? TLS_COOKIE : COOKIE, { value, seconds, isTls }));
}

/** Removes the session from the browser. */
export function clearSessionCookie(reply: FastifyReply): void {
  void reply.header("set-cookie", [
    cookieText(COOKIE, { value: "", seconds: 0, isTls: false }),
    cookieText(TLS_COOKIE, { value: "", seconds: 0, isTls: true }),
  ]);
}

function cookieText(
  name: string,
  { value, seconds, isTls }: { readonly value: string; readonly seconds: number; readonly isTls: boolean },
): string {
  return `${name}=${value}; Path=/; Max-Age=${seconds}; HttpOnly; SameSite=Strict${isTls ? "; Secure" : ""}`;
}

/** Whether the browser used TLS. Behind a TLS proxy only the origin shows it, which the browser itself sends. */
function isOverTls({ protocol, headers }: FastifyRequest): boolean {
  return protocol === "https" || (headers.origin?.startsWith("https://") ?? false);
}

/**
 * Rejects requests that a page of another origin makes: another site, or another port of this host. A missing header proves nothing,
 * because older browsers and programs send none.
 * @throws HTTP_CROSS_ORIGIN
 */
export function requireSameOrigin({ method, headers }: FastifyRequest): void {
  const { origin, host } = headers;
  const site = headers["sec-fetch-site"];
  // "none": a person entered the address or used a bookmark.
  const isAllowedSite = site === undefined || site === "same-origin" || (site === "none" && SAFE_METHODS.has(method));
  if (isAllowedSite && (origin === undefined || isOriginOf(origin, host))) return;
  throw HttpErrors.CROSS_ORIGIN(
    `A page of another origin (${origin ?? `Sec-Fetch-Site: ${String(site)}`}) made this request with the session of a browser. ` +
      "Open the console at its own address. A proxy in front must keep the Host header.",
  );
}

/** Whether an origin and a Host header name the same host and port. The port of the scheme may be left out in either. */
function isOriginOf(origin: string, host: string | undefined): boolean {
  if (host === undefined || !URL.canParse(origin)) return false;
  const { protocol, host: expected } = new URL(origin);
  const own = `${protocol}//${host}`;
  return URL.canParse(own) && expected !== "" && new URL(own).host === expected;
}

/** @throws HTTP_CSRF_INVALID */
export function requireCsrfToken({ method, headers }: FastifyRequest, { csrf }: BrowserSession): void {
  if (SAFE_METHODS.has(method)) return;
  const sent = Buffer.from(String(headers[CSRF_HEADER] ?? ""));
  const expected = Buffer.from(csrf);
  if (sent.length === expected.length && timingSafeEqual(sent, expected)) return;
  throw HttpErrors.CSRF_INVALID(
    `A ${method} with the session of a browser needs the header ${CSRF_HEADER}: the "csrf" of GET /ui/api/session.`,
  );
}
