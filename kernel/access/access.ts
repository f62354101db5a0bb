/**
 * Tokens of the control API. They are long and random, so a plain SHA-256 is stored: impossible to guess, and cheap to check. A view
 * follows them, so a revoked token is rejected everywhere within milliseconds.
 */
import { hash as digest, timingSafeEqual } from "node:crypto";
import { decodeJson, encodeJson, randomId, type Host } from "#base";
import { EVERY_NAME, HttpErrors, isLimited, type Principal } from "#http";
import { commit, type StoreEntry, type Store, View } from "#store";
import { AccessErrors, type IssuedToken, type TokenRequest, type TokenSummary } from "./api.ts";

const PREFIX = "/access/";
const TOKENS = `${PREFIX}tokens/`;
/** Written with the first operator token, so that only one is ever created automatically. */
const BOOTSTRAPPED = `${PREFIX}bootstrapped`;
/** The app that gateways follow, unless their token says otherwise. */
const GATEWAY_APP = "gateway";
/** Random bytes of an id and of a secret. */
const ID_BYTES = 8;
const SECRET_BYTES = 32;
/** Tokens remembered as checked: enough for every agent of a large fleet, in a few MiB. */
const CHECKED_MAX = 20_000;
const FORM = /^ph_([0-9a-f]{16})_([0-9a-f]{64})$/;

interface TokenRecord {
  readonly name: string;
  readonly role: Principal["role"];
  readonly sha256: string;
  readonly createdAtMs: number;
  readonly expiresAtMs?: number;
  readonly namespaces?: readonly string[];
  readonly apps?: readonly string[];
  readonly services?: readonly string[];
  /** Absent: written by a version without limits, in which the role agent read the secrets of every app. */
  readonly format?: 2;
}

/** One call for speed: every request is authenticated, and an incremental hash costs several times as much. */
const hash = (secret: string) => digest("sha256", secret, "buffer");

export class Access {
  readonly #host: Host;
  readonly #store: Store;
  readonly #view: View;
  readonly #tokens = new Map<string, TokenRecord>();
  readonly #internal = new Map<string, Principal>();
  /** Tokens that were checked since the last change of any token, so that each is hashed once and not per request. */
  readonly #checked = new Map<string, TokenRecord>();

  constructor(host: Host, store: Store) {
    this.#host = host;
    this.#store = store;
    const put = ({ key, value }: StoreEntry) => {
      if (key.startsWith(TOKENS)) this.#tokens.set(key.slice(TOKENS.length), decodeJson(value));
    };
    this.#view = new View(host, store, {
      name: "access",
      prefix: PREFIX,
      reset: (entries) => {
        this.#tokens.clear();
        this.#checked.clear();
        for (const entry of entries) put(entry);
      },
      apply: ({ events }) => {
        if (events.length > 0) this.#checked.clear();
        for (const event of events) {
          if (event.type === "put") put(event.entry);
          else this.#tokens.delete(event.key.slice(TOKENS.length));
        }
      },
    });
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

  /** A token for a role in this process. It is not stored, and ends with the process. */
  internalToken({ id, ...rest }: Omit<Principal, "id"> & { id?: string }): string {
    const principal: Principal = { secretApps: [EVERY_NAME], ...rest, id: `internal:${id ?? rest.name}` };
    const token = `phi_${randomId(this.#host.random, SECRET_BYTES)}`;
    this.#internal.set(token, principal);
    return token;
  }

  /** The operator's token at the first start; undefined afterwards. */
  async bootstrap(): Promise<IssuedToken | undefined> {
    const { id, token, record } = this.#make({ name: "operator", role: "operator" });
    const { result } = await commit(this.#store, [{ key: BOOTSTRAPPED }], (known) => {
      if (known.has(BOOTSTRAPPED)) return { writes: [], result: false };
      return {
        writes: [
          { type: "put", key: BOOTSTRAPPED, value: encodeJson({ token: id }) },
          { type: "put", key: `${TOKENS}${id}`, value: encodeJson(record) },
        ],
        result: true,
      };
    });
    return result ? { ...summaryOf(id, record), token } : undefined;
  }

  /** @throws ACCESS_LIMITS_NOT_ALLOWED */
  async issue(request: TokenRequest, by: string): Promise<IssuedToken> {
    if (request.role === "operator" && (request.namespaces ?? request.apps ?? request.services) !== undefined) {
      throw AccessErrors.LIMITS_NOT_ALLOWED(
        "An operator can issue tokens, so its own cannot be limited. Remove namespaces, apps and services, or choose another role.",
      );
    }
    const { id, token, record } = this.#make(request);
    await this.#store.txn({ then: [{ type: "put", key: `${TOKENS}${id}`, value: encodeJson(record) }] });
    this.#host.log.info({ token: id, ...limitsOf(record), name: record.name, role: record.role, by }, "token issued");
    return { ...summaryOf(id, record), token };
  }

  /** @throws ACCESS_TOKEN_NOT_FOUND */
  async revoke(id: string, by: string): Promise<void> {
    const key = `${TOKENS}${id}`;
    const { result } = await commit(this.#store, [{ key }], (known) => {
      const entry = known.get(key);
      if (!entry) throw AccessErrors.TOKEN_NOT_FOUND(`Token "${id}" not found.`);
      return { writes: [{ type: "delete", key }], result: decodeJson<TokenRecord>(entry.value) };
    });
    this.#host.log.info({ token: id, name: result.name, role: result.role, by }, "token revoked");
  }

  /** All current tokens of the store, for a process that does not follow it. */
  async stored(): Promise<TokenSummary[]> {
    const { entries } = await this.#store.range({ prefix: TOKENS });
    return entries.map(({ key, value }) => summaryOf(key.slice(TOKENS.length), decodeJson(value)));
  }

  /** All tokens, without their secrets. */
  list(): TokenSummary[] {
    return [...this.#tokens].map(([id, record]) => summaryOf(id, record)).sort((a, b) => (a.id < b.id ? -1 : 1));
  }

  /** @throws HTTP_TOKEN_INVALID, HTTP_TOKEN_EXPIRED, HTTP_UNAVAILABLE while the tokens are still being read */
  async authenticate(token: string): Promise<Principal> {
    const internal = this.#internal.get(token);
    if (internal) return internal;
    if (this.#view.revision === 0) throw HttpErrors.UNAVAILABLE("Tokens are not loaded yet. Try again shortly.");
    const record = this.#checked.get(token) ?? this.#check(token);
    if (record.expiresAtMs !== undefined && this.#host.clock.now() >= record.expiresAtMs) {
      throw HttpErrors.TOKEN_EXPIRED(
        `The token of "${record.name}" expired at ${new Date(record.expiresAtMs).toISOString()}. Ask an operator for a new one.`,
      );
    }
    return principalOf(record);
  }

  /** @throws HTTP_TOKEN_INVALID */
  #check(token: string): TokenRecord {
    const [, id = "", secret = ""] = FORM.exec(token) ?? [];
    const record = this.#tokens.get(id);
    if (!record || !timingSafeEqual(hash(secret), Buffer.from(record.sha256, "hex"))) {
      throw HttpErrors.TOKEN_INVALID("Unknown token: it is mistyped, revoked, or belongs to another installation.");
    }
    if (this.#checked.size >= CHECKED_MAX) this.#checked.clear();
    this.#checked.set(token, record);
    return record;
  }

  #make({ name, role, ttlSeconds, ...limits }: TokenRequest): { id: string; token: string; record: TokenRecord } {
    const id = randomId(this.#host.random, ID_BYTES);
    const secret = randomId(this.#host.random, SECRET_BYTES);
    const createdAtMs = this.#host.clock.now();
    const record: TokenRecord = {
      name,
      role,
      ...(role === "gateway" && limits.apps === undefined ? { ...limits, apps: [GATEWAY_APP] } : limits),
      format: 2,
      sha256: hash(secret).toString("hex"),
      createdAtMs,
      ...(ttlSeconds === undefined ? {} : { expiresAtMs: createdAtMs + ttlSeconds * 1000 }),
    };
    return { id, token: `ph_${id}_${secret}`, record };
  }
}

/** The principal of a token is its role and name, so a replacement token owns everything that the previous one owned. */
function principalOf(record: TokenRecord): Principal {
  const { name, role, apps, format } = record;
  const limits = limitsOf(record);
  const secretApps = apps ?? (format === undefined ? [EVERY_NAME] : []);
  return { id: `${role}:${name}`, name, role, secretApps, ...(isLimited(limits) ? { limits } : {}) };
}

function limitsOf({ namespaces, apps, services }: TokenRecord): Pick<TokenSummary, "namespaces" | "apps" | "services"> {
  return {
    ...(namespaces === undefined ? {} : { namespaces: [...namespaces] }),
    ...(apps === undefined ? {} : { apps: [...apps] }),
    ...(services === undefined ? {} : { services: [...services] }),
  };
}

function summaryOf(id: string, record: TokenRecord): TokenSummary {
  const { name, role, createdAtMs, expiresAtMs } = record;
  return {
    id,
    name,
    role,
    ...limitsOf(record),
    createdAt: new Date(createdAtMs).toISOString(),
    ...(expiresAtMs === undefined ? {} : { expiresAt: new Date(expiresAtMs).toISOString() }),
  };
}
