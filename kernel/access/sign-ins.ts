/**
 * Sign-ins of browsers: sessions, and links that sign in once. Each belongs to a stored token, and ends with it. The secrets are long and
 * random, so a plain SHA-256 is stored, as for tokens. The sign-ins of a token are one key, which Access follows together with the tokens.
 */
import { hash as digest } from "node:crypto";
import type { PolicyBook } from "#authorization";
import { decodeJson, encodeJson, randomId, type Host } from "#base";
import { type BrowserSession, HttpErrors, type Principal } from "#http";
import { commit, type Delete, type Put, type Store } from "#store";
import { AccessErrors } from "./api.ts";
import {
  currentSignIns,
  hasSignIns,
  LINK_MS,
  SESSION_MS,
  signInOf,
  type SignInList,
  withLink,
  withoutSession,
  withRedeemedLink,
  withSession,
} from "./core/sign-in-list.ts";
import { ACCESS_PREFIX, type TokenRecord, tokenPrincipal, tokenRecord, TOKENS_PREFIX } from "./token-record.ts";

export const SIGN_INS_PREFIX = `${ACCESS_PREFIX}sign-ins/`;
/** Random bytes of a session's secret, and of a link's, which lasts minutes and should be short. */
const SESSION_BYTES = 32;
const LINK_BYTES = 16;
/** A session's cookie and a link's code: the id of their token, and their secret. */
const COOKIE_FORM = /^([0-9a-f]{16})\.([0-9a-f]{64})$/;
const CODE_FORM = /^([0-9a-f]{16})_([0-9a-f]{32})$/;
/** Store transactions at once for callers that are still unknown. More would let them load the store without a token. */
const UNKNOWN_MAX = 16;
/** Plans of a sign-in before it gives up: several browsers may sign in with one token at the same moment. */
const SIGN_IN_TRIES = 10;

export interface OpenedSession {
  /** For the browser's cookie. Only this response has it. */
  readonly cookie: string;
  readonly session: BrowserSession;
}

/** A link before it has an address. */
export interface IssuedLink {
  readonly code: string;
  readonly expiresAtMs: number;
}

/** The keys of a token and of its sign-ins, as read from the store. */
interface Stored {
  readonly token: TokenRecord | undefined;
  readonly list: SignInList | undefined;
}

const sha256 = (text: string) => digest("sha256", text, "hex");
export const signInsKey = (tokenId: string): string => `${SIGN_INS_PREFIX}${tokenId}`;

export class SignIns {
  readonly #host: Host;
  readonly #store: Store;
  readonly #tokens: ReadonlyMap<string, TokenRecord>;
  readonly #book: PolicyBook;
  /** By the id of the token. */
  readonly #lists = new Map<string, SignInList>();
  #unknown = 0;

  /** `tokens` and `book`: the current ones. */
  constructor(host: Host, store: Store, tokens: ReadonlyMap<string, TokenRecord>, book: PolicyBook) {
    this.#host = host;
    this.#store = store;
    this.#tokens = tokens;
    this.#book = book;
  }

  /** Access calls this and the next two for what its view reads. */
  clear(): void {
    this.#lists.clear();
  }

  put(tokenId: string, value: Uint8Array): void {
    this.#lists.set(tokenId, decodeJson(value));
  }

  delete(tokenId: string): void {
    this.#lists.delete(tokenId);
  }

  /** The browsers that are signed in with a token. */
  browsersOf(tokenId: string, token: TokenRecord): number {
    return currentSignIns(this.#lists.get(tokenId), token, this.#host.clock.now()).sessions.length;
  }

  /** Opens a session of a token. @throws HTTP_TOKEN_INVALID when it was revoked */
  async open(tokenId: string): Promise<OpenedSession> {
    return this.#start(tokenId, "token", withSession);
  }

  /** Uses a link, once, and opens a session of its token. @throws ACCESS_CODE_INVALID */
  async redeem(code: string): Promise<OpenedSession> {
    const [, tokenId, secret] = CODE_FORM.exec(code) ?? [];
    const invalid = () =>
      AccessErrors.CODE_INVALID(
        "The sign-in code is mistyped, was used, or is older than ten minutes. Get a new link with `posthouse console`.",
      );
    if (tokenId === undefined || secret === undefined) throw invalid();
    try {
      return await this.#forUnknown(() =>
        this.#start(tokenId, "link", (list, session) => {
          const next = withRedeemedLink(list, sha256(secret), session);
          if (!next) throw invalid();
          return next;
        }),
      );
    } catch (error) {
      // Only the link is known to the caller, so the error is about the link.
      throw HttpErrors.TOKEN_INVALID.is(error) ? invalid() : error;
    }
  }

  /** A new link of a token. @throws HTTP_TOKEN_INVALID when it was revoked */
  async link(tokenId: string): Promise<IssuedLink> {
    const secret = randomId(this.#host.random, LINK_BYTES);
    const link = await this.#change(tokenId, (list, token) => {
      const made = signInOf(token, { sha256: sha256(secret), endMs: this.#host.clock.now() + LINK_MS });
      return { list: withLink(list, made), result: made };
    });
    return { code: `${tokenId}_${secret}`, expiresAtMs: link.expiresAtMs };
  }

  /** @throws HTTP_SESSION_INVALID, HTTP_SESSION_EXPIRED, HTTP_UNAVAILABLE */
  async authenticate(cookie: string): Promise<BrowserSession> {
    const [, tokenId = "", secret = ""] = COOKIE_FORM.exec(cookie) ?? [];
    const id = sha256(secret);
    const known: Stored = { token: this.#tokens.get(tokenId), list: this.#lists.get(tokenId) };
    const session = sessionIn(known, id) ?? (secret === "" ? undefined : sessionIn(await this.#readNew(tokenId), id));
    if (!session) {
      throw HttpErrors.SESSION_INVALID("The session was ended, or its token was revoked. Sign in again.");
    }
    if (this.#host.clock.now() >= session.expiresAtMs) {
      throw HttpErrors.SESSION_EXPIRED(
        `The session expired at ${new Date(session.expiresAtMs).toISOString()}. Sign in again.`,
      );
    }
    return this.#session(tokenId, secret, session);
  }

  /** Ends the session of a cookie. */
  async close(cookie: string): Promise<void> {
    const [, tokenId = "", secret = ""] = COOKIE_FORM.exec(cookie) ?? [];
    await this.#change(tokenId, (list) => ({ list: withoutSession(list, sha256(secret)), result: undefined }));
    const name = this.#tokens.get(tokenId)?.name;
    this.#host.log.info({ token: tokenId, name }, "signed out");
  }

  async #start(
    tokenId: string,
    by: "token" | "link",
    add: (list: SignInList, session: ReturnType<typeof signInOf>) => SignInList,
  ): Promise<OpenedSession> {
    const secret = randomId(this.#host.random, SESSION_BYTES);
    const { token, session } = await this.#change(tokenId, (list, token) => {
      const opened = signInOf(token, { sha256: sha256(secret), endMs: this.#host.clock.now() + SESSION_MS });
      return { list: add(list, opened), result: { token, session: opened } };
    });
    this.#host.log.info({ token: tokenId, name: token.name, policies: token.policies, by }, "signed in");
    return { cookie: `${tokenId}.${secret}`, session: this.#session(tokenId, secret, { ...session, token }) };
  }

  /** Changes the sign-ins of a token in one transaction, and only while the token exists. @throws HTTP_TOKEN_INVALID */
  async #change<T>(
    tokenId: string,
    plan: (list: SignInList, token: TokenRecord) => { readonly list: SignInList; readonly result: T },
  ): Promise<T> {
    const keys = [{ key: `${TOKENS_PREFIX}${tokenId}` }, { key: signInsKey(tokenId) }];
    const { result } = await commit(
      this.#store,
      keys,
      (known) => {
        const stored = storedIn(known, tokenId);
        const nowMs = this.#host.clock.now();
        if (!stored.token || nowMs >= (stored.token.expiresAtMs ?? Infinity)) {
          throw HttpErrors.TOKEN_INVALID("The token was revoked or has expired.");
        }
        const { list, result } = plan(currentSignIns(stored.list, stored.token, nowMs), stored.token);
        const key = signInsKey(tokenId);
        const write: Put | Delete = hasSignIns(list)
          ? { type: "put", key, value: encodeJson(list) }
          : { type: "delete", key };
        return { writes: [write], result };
      },
      { tries: SIGN_IN_TRIES },
    );
    return result;
  }

  /** A token with its sign-ins that the view does not have yet, because another member wrote them a moment ago. */
  #readNew(tokenId: string): Promise<Stored> {
    return this.#forUnknown(async () => {
      const keys = [`${TOKENS_PREFIX}${tokenId}`, signInsKey(tokenId)];
      const { results } = await this.#store.txn({ then: keys.map((key) => ({ type: "range", key })) });
      const entries = results.flatMap((result) => (result.type === "range" ? result.entries : []));
      return storedIn(new Map(entries.map((entry) => [entry.key, entry])), tokenId);
    });
  }

  /** @throws HTTP_UNAVAILABLE */
  async #forUnknown<T>(work: () => Promise<T>): Promise<T> {
    if (this.#unknown >= UNKNOWN_MAX) throw HttpErrors.UNAVAILABLE("Too many sign-ins at once. Try again shortly.");
    this.#unknown += 1;
    try {
      return await work();
    } finally {
      this.#unknown -= 1;
    }
  }

  #session(
    tokenId: string,
    secret: string,
    { token, expiresAtMs }: { readonly token: TokenRecord; readonly expiresAtMs: number },
  ): BrowserSession {
    const principal: Principal = { ...tokenPrincipal(tokenId, token, this.#book), expiresAtMs };
    const id = sha256(secret);
    return {
      principal,
      // Made from the secret, so that it needs no place in the store. A page that reads it learns nothing about the cookie.
      csrf: sha256(`csrf ${secret}`),
      expiresAtMs,
      isCurrent: () => {
        const known = { token: this.#tokens.get(tokenId), list: this.#lists.get(tokenId) };
        return sessionIn(known, id) !== undefined && this.#host.clock.now() < expiresAtMs;
      },
    };
  }
}

/** Found by the hash of a secret, so the time that it takes says nothing about other secrets. */
function sessionIn({ token, list }: Stored, sha256: string): { token: TokenRecord; expiresAtMs: number } | undefined {
  if (!token || list?.of !== token.sha256) return undefined;
  const session = list.sessions.find((one) => one.sha256 === sha256);
  return session && { token, expiresAtMs: session.expiresAtMs };
}

function storedIn(known: ReadonlyMap<string, { readonly value: Uint8Array }>, tokenId: string): Stored {
  const token = known.get(`${TOKENS_PREFIX}${tokenId}`);
  const list = known.get(signInsKey(tokenId));
  return {
    token: token && tokenRecord(decodeJson(token.value)),
    list: list && decodeJson<SignInList>(list.value),
  };
}
