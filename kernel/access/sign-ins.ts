/**
 * Sign-ins of browsers: sessions, and links that sign in once. Each belongs to a stored token, and ends with it. The secrets are long and
 * random, so a plain SHA-256 is stored, as for tokens. The sign-ins of a token are one key, which Access follows together with the tokens.
 */
import { hash as digest } from "node:crypto";
import type { PolicyBook } from "#authorization";
import { decodeJson, encodeJson, randomId, type Host } from "#base";
import { type BrowserSession, HttpErrors, type Principal } from "#http";
import { commit, type Delete, type Put, type Store, type StoreEntry } from "#store";
import { AccessErrors, type SignInMethod } from "./api.ts";
import {
  currentSignIns,
  hasSignIns,
  LINK_MS,
  rotatedSignIns,
  SESSION_MS,
  sessionNameOf,
  signInOf,
  type SignIn,
  type SignInList,
  withLink,
  withoutSession,
  withRedeemedLink,
  withSession,
} from "./core/sign-in-list.ts";
import { currentRecord, type TokenHolders } from "./token-holder.ts";
import {
  ACCESS_PREFIX,
  isSameGrant,
  tokenPrincipal,
  type TokenRecord,
  tokenRecord,
  TOKENS_PREFIX,
} from "./token-record.ts";

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
  readonly #holders: TokenHolders;
  readonly #book: PolicyBook;
  /** By the id of the token. */
  readonly #lists = new Map<string, SignInList>();
  #unknown = 0;

  /** `holders` and `book`: the current ones. */
  constructor(host: Host, store: Store, holders: TokenHolders, book: PolicyBook) {
    this.#host = host;
    this.#store = store;
    this.#holders = holders;
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

  /** Opens a session of a token. @throws HTTP_TOKEN_INVALID when it was revoked */
  async open(tokenId: string, method: SignInMethod = "token", address?: string): Promise<OpenedSession> {
    return this.#start(tokenId, { method, address }, withSession);
  }

  /** Uses a link, once, and opens a session of its token. @throws ACCESS_CODE_INVALID */
  async redeem(code: string, address?: string): Promise<OpenedSession> {
    const [, tokenId, secret] = CODE_FORM.exec(code) ?? [];
    const invalid = () =>
      AccessErrors.CODE_INVALID(
        "The sign-in code is mistyped, was used, or is older than ten minutes. Get a new link with `posthouse console`.",
      );
    if (tokenId === undefined || secret === undefined) throw invalid();
    try {
      return await this.#forUnknown(() =>
        this.#start(tokenId, { method: "link", address }, (list, session) => {
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
    const session =
      sessionIn(this.#known(tokenId), id) ?? (secret === "" ? undefined : sessionIn(await this.#readNew(tokenId), id));
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
    const name = this.#holders.tokens.get(tokenId)?.name;
    this.#host.log.info({ tokenId, name }, "signed out");
  }

  /** The sessions of a token that are open, for the list of sign-ins. */
  sessionsOf(tokenId: string, token: TokenRecord): readonly SignIn[] {
    return currentSignIns(this.#lists.get(tokenId), token, this.#host.clock.now()).sessions;
  }

  /** Ends a session by its name in the list of sign-ins, and returns whether there was one. */
  async end(tokenId: string, name: string): Promise<boolean> {
    return this.#change(tokenId, (list) => {
      const found = list.sessions.find((session) => sessionNameOf(tokenId, session.sha256) === name);
      return { list: found ? withoutSession(list, found.sha256) : list, result: found !== undefined };
    });
  }

  /** The write for sign-ins of a token whose secret is replaced; undefined without any. */
  rotated(
    tokenId: string,
    stored: StoreEntry | undefined,
    { token, sha256, untilMs }: { readonly token: TokenRecord; readonly sha256: string; readonly untilMs: number },
  ): Put | undefined {
    if (!stored) return undefined;
    const list = currentSignIns(decodeJson<SignInList>(stored.value), token, this.#host.clock.now());
    return { type: "put", key: signInsKey(tokenId), value: encodeJson(rotatedSignIns(list, sha256, untilMs)) };
  }

  async #start(
    tokenId: string,
    { method, address }: { readonly method: SignInMethod; readonly address: string | undefined },
    add: (list: SignInList, session: ReturnType<typeof signInOf>) => SignInList,
  ): Promise<OpenedSession> {
    const secret = randomId(this.#host.random, SESSION_BYTES);
    const { token, session } = await this.#change(tokenId, (list, token) => {
      const sinceMs = this.#host.clock.now();
      const facts = { sinceMs, method, ...(address === undefined ? {} : { address }) };
      const opened = signInOf(token, { sha256: sha256(secret), endMs: sinceMs + SESSION_MS, ...facts });
      return { list: add(list, opened), result: { token, session: opened } };
    });
    this.#host.log.info({ tokenId, name: token.name, policies: token.policies, by: method }, "signed in");
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
        return { writes: writesOf(tokenId, stored.token, list), result };
      },
      { tries: SIGN_IN_TRIES },
    );
    return result;
  }

  #known(tokenId: string): Stored {
    return { token: this.#holders.tokens.get(tokenId), list: this.#lists.get(tokenId) };
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

  /** The caller that a token means now; undefined for one that grants nothing any longer. */
  #principal(tokenId: string, record: TokenRecord): Principal | undefined {
    const current = currentRecord(record, this.#holders);
    return current && tokenPrincipal(tokenId, current, this.#book);
  }

  /** @throws HTTP_SESSION_INVALID for a token that grants nothing any longer */
  #session(
    tokenId: string,
    secret: string,
    { token, expiresAtMs }: { readonly token: TokenRecord; readonly expiresAtMs: number },
  ): BrowserSession {
    const holder = this.#principal(tokenId, token);
    if (!holder) throw HttpErrors.SESSION_INVALID("Nothing grants this sign-in anything any more. Sign in again.");
    const hash = sha256(secret);
    return {
      id: sessionNameOf(tokenId, hash),
      principal: { ...holder, expiresAtMs },
      // Made from the secret, so that it needs no place in the store. A page that reads it learns nothing about the cookie.
      csrf: sha256(`csrf ${secret}`),
      expiresAtMs,
      isCurrent: () => {
        const current = sessionIn(this.#known(tokenId), hash);
        if (!current || this.#host.clock.now() >= current.expiresAtMs) return false;
        return isSameGrant(this.#principal(tokenId, current.token), holder);
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

/** The record ends with the lease of its token, if that has one. */
function writesOf(tokenId: string, { signIn }: TokenRecord, list: SignInList): (Put | Delete)[] {
  const key = signInsKey(tokenId);
  if (!hasSignIns(list)) {
    const end: Delete = { type: "delete", key };
    // The token of a person exists for one browser, so it ends with the session.
    return signIn?.kind === "browser" ? [end, { type: "delete", key: `${TOKENS_PREFIX}${tokenId}` }] : [end];
  }
  return [{ type: "put", key, value: encodeJson(list), ...(signIn === undefined ? {} : { lease: signIn.lease }) }];
}
