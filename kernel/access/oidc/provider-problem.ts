/** Failures of the identity provider, each as a problem for the person at the browser and for the operator. */
import type * as OpenIdClient from "openid-client";
import { AppError, messageOf, startOf } from "#base";
import { OidcErrors } from "../api.ts";

/** Characters of a provider's own words in a problem. */
const WORDS_MAX = 200;
/** Causes that are followed. The library nests two or three. */
const CAUSES_MAX = 8;
/** From this status on, the provider itself failed. */
const SERVER_FAULT = 500;

/** Any error of the library as one of ours. */
export function providerProblem(library: typeof OpenIdClient, error: unknown): AppError {
  const causes = causesOf(error);
  const own = causes.find((one) => one instanceof AppError);
  if (own) return own;
  for (const cause of causes) {
    if (cause instanceof library.AuthorizationResponseError || cause instanceof library.ResponseBodyError) {
      const { error: code, error_description: text } = cause;
      return OidcErrors.REFUSED(
        `The identity provider refused the sign-in: ${words(code)}${text === undefined ? "" : ` (${words(text)})`}. ${adviceFor(code)}`,
        { cause: error, extra: { providerError: words(code) } },
      );
    }
    if (cause instanceof library.WWWAuthenticateChallengeError) {
      return OidcErrors.REFUSED(
        `The identity provider does not accept posthouse as its client (status ${cause.status}). ${adviceFor("invalid_client")}`,
        { cause: error, extra: { providerError: "invalid_client" } },
      );
    }
    if (cause instanceof Response && (cause.status >= SERVER_FAULT || cause.status === 429)) {
      return OidcErrors.PROVIDER_UNAVAILABLE(
        `The identity provider answered with status ${cause.status}. Try again, or sign in by a token.`,
        { cause: error },
      );
    }
  }
  return OidcErrors.PROVIDER_INVALID(`The identity provider's answer is not accepted: ${reasonOf(causes)}.`, {
    cause: error,
  });
}

/** Codes of RFC 6749. The first two are mistakes in the settings. */
function adviceFor(code: string): string {
  if (code === "invalid_client" || code === "unauthorized_client") {
    return "An operator must correct oidcClientId and oidcClientSecret.";
  }
  if (code === "invalid_scope") return "An operator must remove scopes that it does not know from oidcScopes.";
  if (code === "invalid_grant") return "The sign-in took too long or was used before. Sign in again.";
  return "Sign in again.";
}

function causesOf(error: unknown): readonly unknown[] {
  const found: unknown[] = [];
  for (let one = error; one !== undefined && one !== null && found.length < CAUSES_MAX;) {
    found.push(one);
    one = (one as { cause?: unknown }).cause;
  }
  return found;
}

/** The library's messages, the general one first: "unexpected JWT claim value encountered: unexpected \"iss\" …". */
function reasonOf(causes: readonly unknown[]): string {
  const messages = causes.filter((one) => one instanceof Error).map(messageOf);
  return words([...new Set(messages)].join(": "));
}

/** Words of the provider, on one line. Pages escape them. */
function words(text: string): string {
  return startOf(text.replaceAll(/\p{Cc}+/gu, " ").trim(), WORDS_MAX);
}
