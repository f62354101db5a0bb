/** Which URLs may serve the keys of an identity provider: one rule for configured and for discovered URLs. */
import ipaddr from "ipaddr.js";
import { urlHostProblem } from "#base";
import { isForbiddenAddress } from "#base/address-class";

/** The problem of a key set's URL; undefined: none. */
export function keyUrlProblem(text: string): string | undefined {
  const url = URL.parse(text);
  const unfit = urlHostProblem(text);
  if (!url || unfit !== undefined) return `${unfit ?? "Not a URL"}.`;
  if (url.protocol !== "https:" && url.protocol !== "http:")
    return `The URL of a key set must use https, not ${url.protocol.slice(0, -1)}.`;
  if (url.username !== "" || url.password !== "") return "The URL contains a user name or password. Remove it.";
  if (isForbiddenAddress(url.hostname)) {
    return `The host ${url.hostname} is a link-local, metadata, multicast or unspecified address, which cannot serve keys.`;
  }
  if (url.protocol === "http:" && !isLoopback(url.hostname)) {
    return "Use https for keys. http is allowed on loopback only: an attacker who changes keys in transit can forge tokens.";
  }
  return undefined;
}

/** The problem of an issuer as the base of a discovery; undefined: none. */
export function discoveryProblem(issuer: string): string | undefined {
  // Issuers are compared exactly, so an empty query counts, too. @see OpenID Connect Discovery 1.0 §3
  const problem = /[?#]/.test(issuer) ? "The URL has a query or a fragment." : keyUrlProblem(issuer);
  return problem === undefined ? undefined : `${problem} Without jwks.url, the keys are discovered from the issuer.`;
}

/** @see OpenID Connect Discovery 1.0 §4.1 */
export function discoveryUrl(issuer: string): string {
  return `${issuer.replace(/\/$/, "")}/.well-known/openid-configuration`;
}

/** The URL of the key set in a discovery document. @throws with the reason why it cannot be used */
export function discoveredKeyUrl(document: unknown, issuer: string): string {
  const discovery = (document ?? {}) as { readonly issuer?: unknown; readonly jwks_uri?: unknown };
  // Otherwise one tenant of a provider could impersonate another. @see OpenID Connect Discovery 1.0 §4.3
  if (discovery.issuer !== issuer)
    throw new Error(`the discovery has another issuer: ${JSON.stringify(discovery.issuer)}`);
  if (typeof discovery.jwks_uri !== "string") throw new Error("the discovery has no jwks_uri");
  const problem = keyUrlProblem(discovery.jwks_uri);
  if (problem !== undefined) throw new Error(`the discovery's jwks_uri cannot be used: ${problem}`);
  return discovery.jwks_uri;
}

function isLoopback(hostname: string): boolean {
  const bare = hostname.startsWith("[") ? hostname.slice(1, -1) : hostname;
  return bare === "localhost" || (ipaddr.isValid(bare) && ipaddr.process(bare).range() === "loopback");
}
