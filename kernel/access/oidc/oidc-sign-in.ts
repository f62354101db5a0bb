/**
 * A sign-in by OpenID Connect: a browser leaves for the identity provider, and comes back with a code. The code counts only in the browser
 * that left, for ten minutes, and once.
 */
import { hash as digest } from "node:crypto";
import type { Host } from "#base";
import { HttpErrors } from "#http";
import { OidcErrors } from "../api.ts";
import { returnPath } from "../core/return-path.ts";
import type { People } from "../people.ts";
import type { OpenedSession } from "../sign-ins.ts";
import type { OidcProvider, SignInSecrets } from "./provider.ts";
import { SIGN_IN_STATE_MS, type SignInState, type StateSeal } from "./sealed-state.ts";

export const OIDC_START_PATH = "/ui/api/oidc/start";
export const OIDC_CALLBACK_PATH = "/ui/api/oidc/callback";
/** Random bytes of each secret: 256 bits, which is also the shortest verifier that PKCE allows. */
const SECRET_BYTES = 32;
/** Sign-ins that wait for the provider at once. More would let strangers use us to load the provider. */
const WAITING_MAX = 16;
/** The states that were used, so that an answer of the provider signs in once. */
const USED_PREFIX = "/access/oidc-used/";

/** A browser's answer from the provider, and the cookie that it left with. */
export interface ReturnedBrowser {
  /** The query as the browser sent it, with its question mark. */
  readonly search: string;
  /** The cookie of the state that the query names. */
  readonly cookie: string | undefined;
  readonly address: string;
}

export interface OidcSignInParts {
  readonly provider: OidcProvider;
  readonly seal: StateSeal;
  readonly people: People;
  /** The address of the console as browsers use it, such as `https://console.example`; undefined until it is known. */
  readonly publicUrl: () => string | undefined;
}

export class OidcSignIn {
  readonly #host: Host;
  readonly #parts: OidcSignInParts;
  #waiting = 0;

  constructor(host: Host, parts: OidcSignInParts) {
    this.#host = host;
    this.#parts = parts;
  }

  get issuer(): string {
    return this.#parts.provider.settings.issuer;
  }

  /** Whether browsers use TLS, perhaps to a proxy in front. */
  get isTls(): boolean {
    return this.#publicUrl().protocol === "https:";
  }

  /** Where the browser goes, and what it keeps meanwhile. `at`: host and port that the browser used. */
  async begin({ at, returnTo }: { readonly at: string; readonly returnTo: string | undefined }): Promise<{
    readonly location: string;
    readonly state: string;
    readonly cookie: string;
  }> {
    const { provider, seal } = this.#parts;
    const publicUrl = this.#publicUrl();
    // The provider sends the browser to that address, and cookies of another host would be missing there.
    if (new URL(`${publicUrl.protocol}//${at}`).host !== publicUrl.host) {
      throw OidcErrors.WRONG_ADDRESS(
        `Sign-in works at ${publicUrl.origin}/ui/, and this page was opened at ${at}. Open it there. ` +
          "If that is not the address of the console, an operator must set publicUrl; a proxy in front must keep the Host header.",
      );
    }
    const redirectUri = new URL(OIDC_CALLBACK_PATH, publicUrl).href;
    const secrets: SignInSecrets = { state: this.#secret(), nonce: this.#secret(), verifier: this.#secret() };
    const location = await this.#limited(() => provider.authorizationUrl(redirectUri, secrets));
    const cookie = await seal.seal({
      ...secrets,
      issuer: this.issuer,
      redirectUri,
      returnTo: returnPath(returnTo),
      startedAtMs: this.#host.clock.now(),
    });
    return { location, state: secrets.state, cookie };
  }

  /** Signs in the person that the provider names. @throws codes of OIDC_, HTTP_UNAVAILABLE */
  async finish({ search, cookie, address }: ReturnedBrowser): Promise<{
    readonly opened: OpenedSession;
    readonly returnTo: string;
  }> {
    const { provider, seal, people } = this.#parts;
    const state = cookie === undefined ? undefined : await seal.open(cookie);
    const answer = new URLSearchParams(search);
    if (!state || !isAnswerTo(state, answer) || state.issuer !== this.issuer) {
      throw OidcErrors.STATE_INVALID(
        `This browser did not begin this sign-in, or began it more than ${SIGN_IN_STATE_MS / 60_000} minutes ago. Sign in again.`,
      );
    }
    const url = new URL(state.redirectUri);
    url.search = search;
    const person = await this.#limited(() => provider.personOf(url, state));
    const opened = await people.signIn(person, {
      seconds: provider.settings.sessionSeconds,
      address,
      once: `${USED_PREFIX}${digest("sha256", state.state, "hex")}`,
    });
    return { opened, returnTo: returnPath(state.returnTo) };
  }

  /** @throws HTTP_UNAVAILABLE while the API does not listen yet */
  #publicUrl(): URL {
    const known = this.#parts.publicUrl();
    if (known !== undefined) return new URL(known);
    throw HttpErrors.UNAVAILABLE("The address of the console is not known yet. Try again shortly.");
  }

  #secret(): string {
    return Buffer.from(this.#host.random.bytes(SECRET_BYTES)).toString("base64url");
  }

  /** @throws HTTP_UNAVAILABLE */
  async #limited<T>(work: () => Promise<T>): Promise<T> {
    if (this.#waiting >= WAITING_MAX) throw HttpErrors.UNAVAILABLE("Too many sign-ins at once. Try again shortly.");
    this.#waiting += 1;
    try {
      return await work();
    } finally {
      this.#waiting -= 1;
    }
  }
}

/** Whether an answer names the state once, so that every reader of the query sees the same one. */
function isAnswerTo({ state }: SignInState, answer: URLSearchParams): boolean {
  const named = answer.getAll("state");
  return named.length === 1 && named[0] === state;
}
