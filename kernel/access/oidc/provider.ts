/**
 * The identity provider, through openid-client: where a browser signs in, and what its answer means. The provider is asked only when a
 * person signs in, so that neither a start nor anything else depends on it.
 */
import type * as OpenIdClient from "openid-client";
import type { Host } from "#base";
import { isLoopback } from "#http";
import { OidcErrors } from "../api.ts";
import { type ClaimNames, hasAllClaims, personFrom, type ProviderClaims } from "../core/person-claims.ts";
import type { SignedInPerson } from "../core/token-sign-in.ts";
import { ProviderFetch } from "./provider-fetch.ts";
import { providerProblem } from "./provider-problem.ts";

/** Milliseconds for which the provider's description is kept. Its keys are read again for each sign-in. */
const DESCRIPTION_MS = 600_000;
/** Milliseconds after a failure in which the provider is not asked again, however many browsers try. */
const FAILED_MS = 1_000;
/** Seconds by which the provider's clock may differ from ours: what clocks without synchronization drift in a few weeks. */
const CLOCK_TOLERANCE_SECONDS = 60;
/** Seconds for one call of the library, which makes one request. ProviderFetch has a shorter limit of its own. */
const CALL_SECONDS = 10;

export interface OidcSettings {
  readonly issuer: string;
  readonly clientId: string;
  /** Absent: a public client, which PKCE alone protects. */
  readonly clientSecret?: string | undefined;
  readonly scopes: readonly string[];
  readonly claims: ClaimNames;
  /** PEM of the CAs to trust in place of the system's. */
  readonly ca?: string | undefined;
  /** How long a sign-in lasts. */
  readonly sessionSeconds: number;
}

/** The values that tie an answer of the provider to the browser that started. */
export interface SignInSecrets {
  readonly state: string;
  readonly nonce: string;
  readonly verifier: string;
}

interface Description {
  readonly library: typeof OpenIdClient;
  readonly metadata: OpenIdClient.ServerMetadata;
}

export class OidcProvider implements AsyncDisposable {
  readonly settings: OidcSettings;
  readonly #host: Host;
  readonly #fetch: ProviderFetch;
  #description: { readonly found: Promise<Description>; untilMs: number } | undefined;

  constructor(host: Host, settings: OidcSettings) {
    this.#host = host;
    this.settings = settings;
    this.#fetch = new ProviderFetch(host, settings.ca);
  }

  /** Where the browser goes. @throws OIDC_PROVIDER_UNAVAILABLE, OIDC_PROVIDER_INVALID */
  async authorizationUrl(redirectUri: string, { state, nonce, verifier }: SignInSecrets): Promise<string> {
    const description = await this.#described();
    const { library } = description;
    const challenge = await library.calculatePKCECodeChallenge(verifier);
    try {
      const url = library.buildAuthorizationUrl(this.#configuration(description), {
        redirect_uri: redirectUri,
        scope: this.settings.scopes.join(" "),
        state,
        nonce,
        code_challenge: challenge,
        code_challenge_method: "S256",
      });
      requireTls(url);
      return url.href;
    } catch (error) {
      throw providerProblem(library, error);
    }
  }

  /** The person of a provider's answer, which is the query of `answer`. @throws any code of OIDC_ except NOT_BOUND */
  async personOf(answer: URL, { state, nonce, verifier }: SignInSecrets): Promise<SignedInPerson> {
    const description = await this.#described();
    const { library } = description;
    let claims: ProviderClaims;
    try {
      const configuration = this.#configuration(description);
      const tokens = await library.authorizationCodeGrant(configuration, answer, {
        expectedState: state,
        expectedNonce: nonce,
        pkceCodeVerifier: verifier,
        idTokenExpected: true,
      });
      const signed = tokens.claims();
      if (signed === undefined) throw OidcErrors.PROVIDER_INVALID("The identity provider sent no ID token.");
      claims = signed;
      // Many providers put only the subject into the ID token.
      if (!hasAllClaims(claims, this.settings.claims) && description.metadata.userinfo_endpoint !== undefined) {
        const more = await library.fetchUserInfo(configuration, tokens.access_token, signed.sub);
        claims = { ...more, ...signed };
      }
    } catch (error) {
      throw providerProblem(library, error);
    }
    const read = personFrom(claims, this.settings.claims);
    if ("person" in read) return read.person;
    throw OidcErrors.CLAIMS_INVALID(
      `The identity provider signed you in, but ${read.problem}. An operator chooses the claims with oidcUserClaim and oidcGroupsClaim.`,
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#fetch[Symbol.asyncDispose]();
  }

  /** The provider's description, read once for all browsers that wait for it. */
  #described(): Promise<Description> {
    const nowMs = this.#host.clock.monotonic();
    if (this.#description !== undefined && nowMs < this.#description.untilMs) return this.#description.found;
    const found = this.#discover();
    const description = { found, untilMs: Infinity };
    this.#description = description;
    const keepFor = (ms: number) => () => void (description.untilMs = this.#host.clock.monotonic() + ms);
    void found.then(keepFor(DESCRIPTION_MS), keepFor(FAILED_MS));
    return found;
  }

  async #discover(): Promise<Description> {
    const library = await import("openid-client");
    const { issuer, clientId } = this.settings;
    try {
      const found = await library.discovery(new URL(issuer), clientId, undefined, library.None(), {
        timeout: CALL_SECONDS,
        [library.customFetch]: (url, options) => this.#fetch.fetch(url, options),
        ...(isInsecure(issuer) ? { execute: [library.allowInsecureRequests] } : {}),
      });
      const metadata = found.serverMetadata();
      // The library excuses providers that describe all of their tenants at once, whose users would then all be accepted.
      if (new URL(metadata.issuer).href !== new URL(issuer).href) {
        throw OidcErrors.PROVIDER_INVALID(
          `The provider at ${issuer} calls itself ${metadata.issuer}. Set oidcIssuer to the issuer of one tenant, as the provider spells it.`,
        );
      }
      return { library, metadata };
    } catch (error) {
      throw providerProblem(library, error);
    }
  }

  /** A new one for each use: it caches keys, and the provider may have replaced them a moment ago. */
  #configuration({ library, metadata }: Description): OpenIdClient.Configuration {
    const { issuer, clientId, clientSecret } = this.settings;
    const plain = { ...metadata };
    delete (plain as { supportsPKCE?: unknown }).supportsPKCE;
    const client = { [library.clockTolerance]: CLOCK_TOLERANCE_SECONDS };
    const auth = authentication(library, metadata, clientSecret);
    const configuration = new library.Configuration(plain, clientId, client, auth);
    configuration.timeout = CALL_SECONDS;
    configuration[library.customFetch] = (url, options) => this.#fetch.fetch(url, options);
    if (isInsecure(issuer)) library.allowInsecureRequests(configuration);
    // Otherwise the library trusts an ID token that came over TLS, without checking its signature.
    library.enableNonRepudiationChecks(configuration);
    return configuration;
  }
}

/** How this client proves who it is, in the way that the provider supports. Basic is the default of the standard. */
function authentication(
  library: typeof OpenIdClient,
  { token_endpoint_auth_methods_supported: methods }: OpenIdClient.ServerMetadata,
  secret: string | undefined,
): OpenIdClient.ClientAuth {
  if (secret === undefined) return library.None();
  const isPostOnly =
    methods !== undefined && !methods.includes("client_secret_basic") && methods.includes("client_secret_post");
  return isPostOnly ? library.ClientSecretPost(secret) : library.ClientSecretBasic(secret);
}

/** An issuer without TLS, which the settings allow on loopback only. */
function isInsecure(issuer: string): boolean {
  return new URL(issuer).protocol === "http:";
}

/** @throws OIDC_PROVIDER_INVALID */
function requireTls({ protocol, hostname, origin }: URL): void {
  if (protocol === "https:" || (protocol === "http:" && isLoopback(hostname))) return;
  throw OidcErrors.PROVIDER_INVALID(`The identity provider sends browsers to ${origin}, which has no TLS.`);
}
