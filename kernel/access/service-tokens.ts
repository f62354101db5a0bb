/**
 * Service tokens: an agent takes them for callers on its host, within its own limits. They are stored, so that every member accepts
 * them. They end with their time, and with the token or the node of the agent that took them.
 */
import { hash as digest, timingSafeEqual } from "node:crypto";
import type { PolicyBook } from "#authorization";
import { decodeJson, encodeJson, randomId, type Host } from "#base";
import { HttpErrors, isLimited, type Limits, type Principal, principalId } from "#http";
import { SharedLease, type Store } from "#store";
import { AccessErrors, SERVICE_TOKEN_SECONDS_MAX, type ServiceToken, type ServiceTokenRequest } from "./api.ts";
import { outsideOwnLimits, serviceLimits, serviceSecretApps } from "./service-limits.ts";
import { ACCESS_PREFIX, tokenLimits } from "./token-record.ts";

export const SERVICE_TOKENS_PREFIX = `${ACCESS_PREFIX}service-tokens/`;
const ID_BYTES = 8;
const SECRET_BYTES = 32;
const FORM = /^phs_([0-9a-f]{16})_([0-9a-f]{64})$/;
const POLICIES = ["service"] as const;
/** Tokens of one agent that are valid at a time: four for each of the 256 local callers that an agent can have. */
const TOKENS_PER_AGENT_MAX = 1_024;

/** The agent that took a token. */
export interface TokenParent {
  readonly id: string;
  readonly name: string;
  readonly tokenId?: string;
  /** Serial number of its certificate at that time. */
  readonly serial?: string;
}

interface ServiceTokenRecord {
  readonly name: string;
  readonly parent: TokenParent;
  readonly sha256: string;
  readonly limits: Limits;
  readonly secretApps: readonly string[];
  readonly expiresAtMs: number;
}

const hash = (secret: string) => digest("sha256", secret, "buffer");

export interface ServiceTokenParts {
  readonly book: PolicyBook;
  /** Whether the token or the node of an agent is still valid. */
  readonly isParentCurrent: (parent: TokenParent) => boolean;
}

export class ServiceTokens {
  readonly #host: Host;
  readonly #store: Store;
  readonly #parts: ServiceTokenParts;
  readonly #lease: SharedLease;
  readonly #records = new Map<string, ServiceTokenRecord>();

  constructor(host: Host, store: Store, parts: ServiceTokenParts) {
    this.#host = host;
    this.#store = store;
    this.#parts = parts;
    this.#lease = new SharedLease(host, store, SERVICE_TOKEN_SECONDS_MAX);
  }

  put(id: string, value: Uint8Array): void {
    this.#records.set(id, decodeJson(value));
  }

  delete(id: string): void {
    this.#records.delete(id);
  }

  clear(): void {
    this.#records.clear();
  }

  /** The token, and the revision of the store from which on members accept it. @throws HTTP_FORBIDDEN, ACCESS_SERVICE_TOKENS_FULL */
  async issue(
    caller: Principal,
    { name, ttlSeconds, ...asked }: ServiceTokenRequest,
  ): Promise<{ readonly issued: ServiceToken; readonly revision: number }> {
    this.#requireRights(caller);
    const own = caller.limits ?? {};
    const outside = outsideOwnLimits(own, asked);
    if (outside) {
      const { kind, allowed } = outside;
      throw HttpErrors.FORBIDDEN(
        `"${caller.name}" is limited to the ${kind} ${allowed.join(", ") || "(none)"}, which do not include "${outside.name}", so its service tokens are, too.`,
        { extra: { limit: kind } },
      );
    }
    this.#requireFree(caller);
    const id = randomId(this.#host.random, ID_BYTES);
    const secret = randomId(this.#host.random, SECRET_BYTES);
    const record: ServiceTokenRecord = {
      name: nameOf(caller, name),
      parent: parentOf(caller),
      sha256: hash(secret).toString("hex"),
      limits: serviceLimits(own, asked),
      secretApps: serviceSecretApps(caller.secretApps ?? [], asked.apps),
      expiresAtMs: this.#host.clock.now() + ttlSeconds * 1000,
    };
    const key = `${SERVICE_TOKENS_PREFIX}${id}`;
    const { revision } = await this.#lease.use((lease) =>
      this.#store.txn({ then: [{ type: "put", key, value: encodeJson(record), lease }] }),
    );
    this.#host.log.debug({ tokenId: id, name: record.name, by: caller.id, ttlSeconds }, "service token issued");
    const issued = {
      name: record.name,
      ...tokenLimits(record.limits),
      expiresAt: new Date(record.expiresAtMs).toISOString(),
      token: `phs_${id}_${secret}`,
    };
    return { issued, revision };
  }

  /** A caller with fewer rights than a service would widen them by a service token. */
  #requireRights(caller: Principal): void {
    const missing = this.#parts.book
      .rightsOf(POLICIES)
      .actions()
      .find((action) => !caller.rights.allows(action, {}));
    if (missing === undefined) return;
    throw HttpErrors.FORBIDDEN(
      `"${caller.name}" may not ${missing} everywhere, which the policy service allows, so it cannot issue service tokens. Give it the policy agent.`,
      { extra: { action: missing } },
    );
  }

  #requireFree(caller: Principal): void {
    const nowMs = this.#host.clock.now();
    let count = 0;
    for (const { parent, expiresAtMs } of this.#records.values()) {
      if (parent.id === caller.id && nowMs < expiresAtMs) count++;
    }
    if (count < TOKENS_PER_AGENT_MAX) return;
    throw AccessErrors.SERVICE_TOKENS_FULL(
      `"${caller.name}" has ${count} service tokens, the most at a time. Use them again until they expire.`,
    );
  }

  /** The caller of a service token; undefined for a token of another form. @throws HTTP_TOKEN_INVALID, HTTP_TOKEN_EXPIRED */
  authenticate(token: string): Principal | undefined {
    const [form, id = "", secret = ""] = FORM.exec(token) ?? [];
    if (form === undefined) return undefined;
    const record = this.#records.get(id);
    if (!record || !timingSafeEqual(hash(secret), Buffer.from(record.sha256, "hex"))) {
      throw HttpErrors.TOKEN_INVALID("Unknown service token: it ended, or belongs to another installation.");
    }
    if (!this.#parts.isParentCurrent(record.parent)) {
      throw HttpErrors.TOKEN_INVALID(
        `The service token of "${record.name}" ended with its agent's token or certificate.`,
      );
    }
    if (this.#host.clock.now() >= record.expiresAtMs) {
      throw HttpErrors.TOKEN_EXPIRED(`The service token of "${record.name}" has expired. Its agent takes a new one.`);
    }
    return this.#principalOf(id, record);
  }

  /** Whether a service token is still valid; undefined for the id of another token. */
  isCurrent(id: string): boolean | undefined {
    const record = this.#records.get(id);
    return record && this.#host.clock.now() < record.expiresAtMs && this.#parts.isParentCurrent(record.parent);
  }

  #principalOf(tokenId: string, { name, limits, secretApps, expiresAtMs }: ServiceTokenRecord): Principal {
    return {
      id: principalId(POLICIES, name),
      name,
      kind: "token",
      policies: POLICIES,
      rights: this.#parts.book.rightsOf(POLICIES),
      secretApps,
      tokenId,
      expiresAtMs,
      ...(isLimited(limits) ? { limits } : {}),
    };
  }
}

function parentOf({ id, name, tokenId, serial }: Principal): TokenParent {
  return { id, name, ...(tokenId === undefined ? {} : { tokenId }), ...(serial === undefined ? {} : { serial }) };
}

/**
 * The name of a local caller. Names of tokens have no colon, and those of certificates have a slash, so no other caller is the same
 * principal.
 */
function nameOf(caller: Principal, name: string | undefined): string {
  const agent = caller.id.slice(caller.id.indexOf(":") + 1);
  return `agent:${agent}${name === undefined ? "" : `:${name}`}`;
}
