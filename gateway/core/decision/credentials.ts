/**
 * The token of a request: how it is read, the refusals, and the headers with its claims for the service. Refusals do not
 * reveal what is wrong with a token.
 */
import { TOKEN_BYTES_MAX } from "../../api.ts";
import { claimValues, type Claims } from "../callers/claims.ts";
import type { RequestHead } from "../request/head.ts";
import { refuse, type Refuse } from "./refusal.ts";
import type { HeaderPair } from "../request/header-list.ts";
import type { CompiledRoute } from "../routing/route.ts";

/** The only bearer token of a request, or the refusal. */
export function tokenOf(route: CompiledRoute, head: RequestHead): string | Refuse {
  const values = head.header("authorization");
  if (values.length === 0) return refuseToken("TOKEN_MISSING", route);
  const token = values.length === 1 ? bearerToken(values[0] as string) : undefined;
  return token ?? refuseToken("TOKEN_INVALID", route);
}

/** Three base64url parts after `Bearer`, within the limit of length; undefined for any other value. */
function bearerToken(value: string): string | undefined {
  if (value.length > TOKEN_BYTES_MAX + "Bearer ".length) return undefined;
  return /^Bearer +([A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+)$/i.exec(value)?.[1];
}

export type TokenRefusal = "TOKEN_MISSING" | "TOKEN_INVALID" | "TOKEN_EXPIRED" | "KEYS_UNAVAILABLE";

/** One text for every flaw of a token, so that the answer does not help to forge a better one. */
const TOKEN_WORDS: Record<TokenRefusal, { detail: string; headers: readonly HeaderPair[] }> = {
  TOKEN_MISSING: {
    detail: "Send a bearer token in the Authorization header.",
    headers: [["www-authenticate", "Bearer"]],
  },
  TOKEN_INVALID: {
    detail: "The bearer token is not valid here.",
    headers: [["www-authenticate", 'Bearer error="invalid_token"']],
  },
  TOKEN_EXPIRED: {
    detail: "The bearer token has expired; get a new one.",
    headers: [["www-authenticate", 'Bearer error="invalid_token", error_description="expired"']],
  },
  KEYS_UNAVAILABLE: {
    detail: "The keys for verifying tokens could not be fetched yet.",
    headers: [["retry-after", "5"]],
  },
};

export function refuseToken(error: TokenRefusal, route: CompiledRoute): Refuse {
  const { detail, headers } = TOKEN_WORDS[error];
  return refuse(error, detail, { route, headers });
}

/** Longest forwarded claim, in characters. */
const CLAIM_CHARS_MAX = 1024;

/** Claims as headers. Characters that a header cannot contain are percent-encoded, so that a claim never ends a line. */
export function claimHeaders(forward: readonly (readonly [string, string])[], claims: Claims): HeaderPair[] {
  const headers: HeaderPair[] = [];
  for (const [claim, header] of forward) {
    const values = claimValues(claims, claim);
    if (values.length === 0) continue;
    const separator = claim === "scope" || claim === "scp" ? " " : ",";
    const text = values
      .map((value) => value.replaceAll(/[^\x20-\x7e]|[%,]/gu, (char) => encodeURIComponent(char)))
      .join(separator);
    headers.push([header, text.slice(0, CLAIM_CHARS_MAX)]);
  }
  return headers;
}
