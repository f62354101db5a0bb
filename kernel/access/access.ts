/**
 * Tokens of the control API. They are long and random, so a plain SHA-256 is stored: impossible to guess, and cheap to check. A view
 * follows them and their sign-ins, so a revoked token is rejected everywhere within milliseconds.
 */
import { hash as digest, timingSafeEqual } from "node:crypto";
import { builtInRights, PolicyBook } from "#authorization";
import { decodeJson, encodeJson, randomId, type Host } from "#base";
import { ChangeLog, type StoredChange } from "#changes";
import { EVERY_NAME, HttpErrors, type Principal } from "#http";
import { commit, type Delete, type Put, type StoreEntry, type Store, View } from "#store";
import { AccessErrors, type IssuedToken, type TokenRequest, type TokenSummary } from "./api.ts";
import { SERVICE_TOKENS_PREFIX, ServiceTokens } from "./service-tokens.ts";
import { type IssuedLink, SIGN_INS_PREFIX, SignIns, signInsKey } from "./sign-ins.ts";
import {
  ACCESS_PREFIX,
  appsOf,
  tokenLimits,
  tokenPrincipal,
  tokenRecord,
  type TokenRecord,
  TOKENS_PREFIX,
  tokenSummary,
} from "./token-record.ts";

/** Random bytes of an id and of a secret. */
const ID_BYTES = 8;
const SECRET_BYTES = 32;
/** The author of tokens that a start issues. */
const AT_START = "start";
/** Written with the first operator token, so that only one is ever created automatically. */
const BOOTSTRAPPED = `${ACCESS_PREFIX}bootstrapped`;
/** The token behind the sign-in links that a start prints. It has a fixed id, so that starts share it. */
const CONSOLE_TOKEN_ID = "c0".repeat(ID_BYTES);
/** Tokens remembered as checked: enough for every agent of a large fleet, in a few MiB. */
const CHECKED_MAX = 20_000;
const FORM = /^ph_([0-9a-f]{16})_([0-9a-f]{64})$/;

interface CheckedToken {
  readonly id: string;
  readonly record: TokenRecord;
}

/** One call for speed: every request is authenticated, and an incremental hash costs several times as much. */
const hash = (secret: string) => digest("sha256", secret, "buffer");

export class Access {
  readonly signIns: SignIns;
  readonly serviceTokens: ServiceTokens;
  /** The policies, and the rights of their combinations. */
  readonly book = new PolicyBook();
  readonly #host: Host;
  readonly #store: Store;
  readonly #changes: ChangeLog;
  readonly #view: View;
  readonly #tokens = new Map<string, TokenRecord>();
  readonly #internal = new Map<string, Principal>();
  /** Tokens that were checked since the last change of any token, so that each is hashed once and not per request. */
  readonly #checked = new Map<string, CheckedToken>();

  constructor(host: Host, store: Store) {
    this.#host = host;
    this.#store = store;
    this.#changes = new ChangeLog(host, store);
    this.signIns = new SignIns(host, store, this.#tokens, this.book);
    this.serviceTokens = new ServiceTokens(host, store, {
      book: this.book,
      isParentCurrent: ({ tokenId }) => tokenId === undefined || this.#isTokenCurrent(tokenId),
    });
    this.#view = new View(host, store, {
      name: "access",
      prefix: ACCESS_PREFIX,
      reset: (entries) => {
        this.#tokens.clear();
        this.#checked.clear();
        this.signIns.clear();
        this.serviceTokens.clear();
        for (const entry of entries) this.#put(entry);
      },
      apply: ({ events }) => {
        for (const event of events) {
          if (event.type === "put") this.#put(event.entry);
          else this.#delete(event.key);
        }
      },
    });
  }

  #put({ key, value }: StoreEntry): void {
    if (key.startsWith(SIGN_INS_PREFIX)) this.signIns.put(key.slice(SIGN_INS_PREFIX.length), value);
    if (key.startsWith(SERVICE_TOKENS_PREFIX)) this.serviceTokens.put(key.slice(SERVICE_TOKENS_PREFIX.length), value);
    if (!key.startsWith(TOKENS_PREFIX)) return;
    this.#checked.clear();
    this.#tokens.set(key.slice(TOKENS_PREFIX.length), tokenRecord(decodeJson(value)));
  }

  #delete(key: string): void {
    if (key.startsWith(SIGN_INS_PREFIX)) this.signIns.delete(key.slice(SIGN_INS_PREFIX.length));
    if (key.startsWith(SERVICE_TOKENS_PREFIX)) this.serviceTokens.delete(key.slice(SERVICE_TOKENS_PREFIX.length));
    if (!key.startsWith(TOKENS_PREFIX)) return;
    this.#checked.clear();
    this.#tokens.delete(key.slice(TOKENS_PREFIX.length));
  }

  get revision(): number {
    return this.#view.revision;
  }

  /** Follows the store. Give it to a TaskGroup. */
  run(signal: AbortSignal): Promise<void> {
    return this.#view.run(signal);
  }

  waitFor(revision: number, signal: AbortSignal): Promise<void> {
    return this.#view.waitFor(revision, signal);
  }

  /** A token for a part of this process. It is not stored, and ends with the process. */
  internalToken({ id, ...rest }: Omit<Principal, "id" | "kind" | "rights"> & { id?: string }): string {
    const principal: Principal = {
      secretApps: [EVERY_NAME],
      ...rest,
      kind: "internal",
      rights: builtInRights(rest.policies),
      id: `internal:${id ?? rest.name}`,
    };
    const token = `phi_${randomId(this.#host.random, SECRET_BYTES)}`;
    this.#internal.set(token, principal);
    return token;
  }

  /** The operator's token at the first start; undefined afterwards. */
  async bootstrap(): Promise<IssuedToken | undefined> {
    const { id, token, record } = this.#make({ name: "operator", policies: ["operator"] });
    const isFirst = await this.#issueOnce(record, BOOTSTRAPPED, (change) => [
      { type: "put", key: BOOTSTRAPPED, value: encodeJson({ token: id }) },
      { type: "put", key: `${TOKENS_PREFIX}${id}`, value: encodeJson(record) },
      change,
    ]);
    return isFirst ? { ...tokenSummary(id, record), token } : undefined;
  }

  /** Issues a token that a start needs, unless the key exists, and returns whether it did. */
  async #issueOnce(record: TokenRecord, key: string, writesWith: (change: Put) => Put[]): Promise<boolean> {
    // Nearly every start finds the key, and then needs no lease for a change.
    if ((await this.#store.range({ key })).count > 0) return false;
    const { result } = await this.#changes.use((note) =>
      commit(this.#store, [{ key }], (known) =>
        known.has(key)
          ? { writes: [], result: false }
          : { writes: writesWith(note(this.#changeOf("token-issued", record, AT_START))), result: true },
      ),
    );
    return result;
  }

  /** @throws ACCESS_LIMITS_NOT_ALLOWED */
  async issue(request: TokenRequest, by: string): Promise<IssuedToken> {
    if (
      request.policies.includes("operator") &&
      (request.namespaces ?? request.apps ?? request.services) !== undefined
    ) {
      throw AccessErrors.LIMITS_NOT_ALLOWED(
        "An operator can issue tokens, so its own cannot be limited. Remove namespaces, apps and services, or choose other policies.",
      );
    }
    const { id, token, record } = this.#make(request);
    const key = `${TOKENS_PREFIX}${id}`;
    await this.#changes.use((entry) =>
      this.#store.txn({
        then: [{ type: "put", key, value: encodeJson(record) }, entry(this.#changeOf("token-issued", record, by))],
      }),
    );
    this.#host.log.info(
      { token: id, ...tokenLimits(record), name: record.name, policies: record.policies, by },
      "token issued",
    );
    return { ...tokenSummary(id, record), token };
  }

  /** @throws ACCESS_TOKEN_NOT_FOUND */
  async revoke(id: string, by: string): Promise<void> {
    const key = `${TOKENS_PREFIX}${id}`;
    const { result } = await this.#changes.use((note) =>
      commit(this.#store, [{ key }], (known) => {
        const entry = known.get(key);
        if (!entry) throw AccessErrors.TOKEN_NOT_FOUND(`Token "${id}" not found.`);
        const record = tokenRecord(decodeJson(entry.value));
        const writes: Delete[] = [
          { type: "delete", key },
          { type: "delete", key: signInsKey(id) },
        ];
        return { writes: [...writes, note(this.#changeOf("token-revoked", record, by))], result: record };
      }),
    );
    this.#host.log.info({ token: id, name: result.name, policies: result.policies, by }, "token revoked");
  }

  #changeOf(kind: "token-issued" | "token-revoked", { name, policies }: TokenRecord, by: string): StoredChange {
    const at = new Date(this.#host.clock.now()).toISOString();
    return {
      at,
      kind,
      subject: { type: "token", name },
      by,
      ...(kind === "token-issued" ? { to: policies.join(", ") } : { from: policies.join(", ") }),
    };
  }

  /** All current tokens of the store, for a process that does not follow it. */
  async stored(): Promise<TokenSummary[]> {
    const { entries } = await this.#store.range({ prefix: TOKENS_PREFIX });
    return entries.map(({ key, value }) =>
      tokenSummary(key.slice(TOKENS_PREFIX.length), tokenRecord(decodeJson(value))),
    );
  }

  /** All tokens, without their secrets. */
  list(): TokenSummary[] {
    const summaries = [...this.#tokens].map(([id, record]): TokenSummary => {
      const browsers = this.signIns.browsersOf(id, record);
      return { ...tokenSummary(id, record), ...(browsers === 0 ? {} : { browsers }) };
    });
    return summaries.sort((a, b) => (a.id < b.id ? -1 : 1));
  }

  /** @throws HTTP_TOKEN_INVALID, HTTP_TOKEN_EXPIRED, HTTP_UNAVAILABLE while the tokens are still being read */
  async authenticate(token: string): Promise<Principal> {
    const internal = this.#internal.get(token);
    if (internal) return internal;
    if (this.#view.revision === 0) throw HttpErrors.UNAVAILABLE("Tokens are not loaded yet. Try again shortly.");
    const service = this.serviceTokens.authenticate(token);
    if (service) return service;
    const checked = this.#checked.get(token) ?? this.#check(token);
    const { record } = checked;
    if (record.expiresAtMs !== undefined && this.#host.clock.now() >= record.expiresAtMs) {
      throw HttpErrors.TOKEN_EXPIRED(
        `The token of "${record.name}" expired at ${new Date(record.expiresAtMs).toISOString()}. Ask an operator for a new one.`,
      );
    }
    return tokenPrincipal(checked.id, record, this.book);
  }

  /** Whether the token of a principal is neither revoked nor expired. Watches check this while they are open. */
  isCurrent({ tokenId, expiresAtMs = Infinity }: Principal): boolean {
    if (tokenId === undefined) return true;
    const isService = this.serviceTokens.isCurrent(tokenId);
    return isService ?? (this.#tokens.has(tokenId) && this.#host.clock.now() < expiresAtMs);
  }

  #isTokenCurrent(id: string): boolean {
    const record = this.#tokens.get(id);
    return record !== undefined && this.#host.clock.now() < (record.expiresAtMs ?? Infinity);
  }

  /**
   * A link that signs in as the operator "console". Its token is stored, so that operators see and revoke it. The token's secret is
   * discarded, so the token is of use only through links. When it was revoked, the next link makes it again: a user who can start a
   * member has full control anyway.
   */
  async consoleLink(): Promise<IssuedLink> {
    const { record } = this.#make({ name: "console", policies: ["operator"] });
    const key = `${TOKENS_PREFIX}${CONSOLE_TOKEN_ID}`;
    const isNew = await this.#issueOnce(record, key, (change) => [
      { type: "put", key, value: encodeJson(record) },
      change,
    ]);
    const { name, policies } = record;
    if (isNew) this.#host.log.info({ token: CONSOLE_TOKEN_ID, name, policies, by: AT_START }, "token issued");
    return this.signIns.link(CONSOLE_TOKEN_ID);
  }

  /** @throws HTTP_TOKEN_INVALID */
  #check(token: string): CheckedToken {
    const [, id = "", secret = ""] = FORM.exec(token) ?? [];
    const record = this.#tokens.get(id);
    if (!record || !timingSafeEqual(hash(secret), Buffer.from(record.sha256, "hex"))) {
      throw HttpErrors.TOKEN_INVALID("Unknown token: it is mistyped, revoked, or belongs to another installation.");
    }
    if (this.#checked.size >= CHECKED_MAX) this.#checked.clear();
    const checked = { id, record };
    this.#checked.set(token, checked);
    return checked;
  }

  #make({ name, policies, ttlSeconds, ...limits }: TokenRequest): { id: string; token: string; record: TokenRecord } {
    const id = randomId(this.#host.random, ID_BYTES);
    const secret = randomId(this.#host.random, SECRET_BYTES);
    const createdAtMs = this.#host.clock.now();
    const apps = appsOf(policies, limits.apps);
    const record: TokenRecord = {
      name,
      policies,
      ...limits,
      ...(apps === undefined ? {} : { apps }),
      format: 2,
      sha256: hash(secret).toString("hex"),
      createdAtMs,
      ...(ttlSeconds === undefined ? {} : { expiresAtMs: createdAtMs + ttlSeconds * 1000 }),
    };
    return { id, token: `ph_${id}_${secret}`, record };
  }
}
