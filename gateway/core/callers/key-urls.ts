/** Where the keys of an identity provider may come from: one rule for the URLs of a config and for those of a discovery. */
import ipaddr from "ipaddr.js";
import { urlHostProblem } from "#base";
import { isForbiddenAddress } from "#base/address-class";

/** What is wrong with the URL of a key set; undefined: nothing. */
export function keyUrlProblem(text: string): string | undefined {
  const url = URL.parse(text);
  const unfit = urlHostProblem(text);
  if (!url || unfit !== undefined) return `${unfit ?? "Not a URL"}.`;
  if (url.protocol !== "https:" && url.protocol !== "http:") return "Keys come by https.";
  if (url.username !== "" || url.password !== "") return "The URL holds a password.";
  if (isForbiddenAddress(url.hostname)) {
    return "No identity provider has a link-local, metadata, multicast or unspecified address.";
  }
  if (url.protocol === "http:" && !isLoopback(url.hostname)) {
    return "Keys come by https; http is for loopback only, since whoever changes them on the way can make tokens.";
  }
  return undefined;
}

/** What is wrong with an issuer whose keys are to be found by its discovery; undefined: nothing. */
export function discoveryProblem(issuer: string): string | undefined {
  // An issuer is compared to the letter, so an empty query counts, too. @see OpenID Connect Discovery 1.0 §3
  const problem = /[?#]/.test(issuer) ? "The URL has a query or a fragment." : keyUrlProblem(issuer);
  return problem === undefined ? undefined : `${problem} Without jwks.url the keys are discovered by the issuer.`;
}

/** @see OpenID Connect Discovery 1.0 §4.1 */
export function discoveryUrl(issuer: string): string {
  return `${issuer.replace(/\/$/, "")}/.well-known/openid-configuration`;
}

/** The URL of the key set that a discovery names. @throws with the reason why it names none that may be used */
export function discoveredKeyUrl(document: unknown, issuer: string): string {
  const said = (document ?? {}) as { readonly issuer?: unknown; readonly jwks_uri?: unknown };
  // Or one tenant of a provider could stand in for another. @see OpenID Connect Discovery 1.0 §4.3
  if (said.issuer !== issuer) throw new Error(`the discovery is of another issuer: ${JSON.stringify(said.issuer)}`);
  if (typeof said.jwks_uri !== "string") throw new Error("the discovery has no jwks_uri");
  const problem = keyUrlProblem(said.jwks_uri);
  if (problem !== undefined) throw new Error(`the discovery's jwks_uri cannot be used: ${problem}`);
  return said.jwks_uri;
}

function isLoopback(hostname: string): boolean {
  const bare = hostname.startsWith("[") ? hostname.slice(1, -1) : hostname;
  return bare === "localhost" || (ipaddr.isValid(bare) && ipaddr.process(bare).range() === "loopback");
}
