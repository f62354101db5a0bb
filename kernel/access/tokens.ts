/** Tokens of the control API: issued, rotated with an overlap, revoked and listed. A token is shown once; the store has its hash. */
import { isBuiltInPolicy } from "#authorization";
import { decodeJson, encodeJson, type Host } from "#base";
import type { ChangeLog, StoredChange } from "#changes";
import { isLimited } from "#http";
import { commit, type Delete, type Put, type Store } from "#store";
import { AccessErrors, type IssuedToken, OVERLAP_SECONDS, type TokenRequest, type TokenSummary } from "./api.ts";
import type { GuardedChanges } from "./guarded-changes.ts";
import { type AccessAuthor, authorName, type HandOut } from "./hand-out.ts";
import { requirePolicies } from "./policy-lookup.ts";
import { type SignIns, signInsKey } from "./sign-ins.ts";
import { POLICIES_PREFIX, type StoredPolicy } from "./stored-records.ts";
import { newSecret, newToken } from "./new-token.ts";
import { currentRecord, type TokenHolders } from "./token-holder.ts";
import {
  ACCESS_PREFIX,
  CONSOLE_TOKEN_ID,
  tokenLimits,
  type TokenRecord,
  tokenRecord,
  tokenSummary,
  TOKENS_PREFIX,
} from "./token-record.ts";
import type { TokenUses } from "./token-uses.ts";

/** The author of tokens that a start issues. */
export const AT_START = "start";
/** Written with the first operator token, so that only one is ever created automatically. */
const BOOTSTRAPPED = `${ACCESS_PREFIX}bootstrapped`;

type TokenChange = "token-issued" | "token-rotated" | "token-revoked";

export interface TokensParts {
  readonly changes: ChangeLog;
  readonly guarded: GuardedChanges;
  readonly handOut: HandOut;
  readonly signIns: SignIns;
  readonly uses: TokenUses;
  /** The current tokens. */
  readonly holders: TokenHolders;
}

export class Tokens {
  readonly #host: Host;
  readonly #store: Store;
  readonly #parts: TokensParts;

  constructor(host: Host, store: Store, parts: TokensParts) {
    this.#host = host;
    this.#store = store;
    this.#parts = parts;
  }

  /** The operator's token at the first start; undefined afterwards. */
  async bootstrap(): Promise<IssuedToken | undefined> {
    const { id, token, record } = newToken(this.#host, { name: "operator", policies: ["operator"] });
    const isFirst = await this.issueOnce(record, BOOTSTRAPPED, [
      { type: "put", key: BOOTSTRAPPED, value: encodeJson({ token: id }) },
      { type: "put", key: `${TOKENS_PREFIX}${id}`, value: encodeJson(record) },
    ]);
    return isFirst ? { ...this.#summary(id, record), token } : undefined;
  }

  /** Writes a token that a start needs, unless the key exists, and returns whether it did. */
  async issueOnce(record: TokenRecord, key: string, writes: readonly Put[]): Promise<boolean> {
    // Nearly every start finds the key, and then needs no lease for a change.
    if ((await this.#store.range({ key })).count > 0) return false;
    const { result } = await this.#parts.changes.use((note) =>
      commit(this.#store, [{ key }], (known) =>
        known.has(key)
          ? { writes: [], result: false }
          : { writes: [...writes, note(this.#changeOf("token-issued", record, AT_START))], result: true },
      ),
    );
    return result;
  }

  /** @throws ACCESS_LIMITS_NOT_ALLOWED, ACCESS_POLICY_NOT_FOUND, ACCESS_EXCEEDS_OWN */
  async issue(request: TokenRequest, by: AccessAuthor): Promise<IssuedToken> {
    const { handOut, guarded } = this.#parts;
    const { id, token, record } = newToken(this.#host, request);
    const limits = tokenLimits(record);
    if (request.policies.includes("operator") && Object.keys(limits).length > 0) {
      throw AccessErrors.LIMITS_NOT_ALLOWED(
        "An operator can issue tokens, so its own cannot be limited. Remove namespaces, apps and services, or choose other policies.",
      );
    }
    const own = request.policies.filter((name) => !isBuiltInPolicy(name));
    const reads = own.map((name) => ({ key: `${POLICIES_PREFIX}${name}` }));
    const put: Put = { type: "put", key: `${TOKENS_PREFIX}${id}`, value: encodeJson(record) };
    await this.#parts.changes.use((entry) =>
      commit(this.#store, reads, (known) => {
        const policies = new Map(
          [...known.values()].map(({ value }) => decodeJson<StoredPolicy>(value)).map((one) => [one.name, one]),
        );
        requirePolicies(request.policies, policies);
        const grant = handOut.grant({ policies: record.policies, limits });
        handOut.require(by, grant, `the token "${record.name}"`);
        const change = entry(this.#changeOf("token-issued", record, authorName(by)));
        // A caller that deletes one of the policies must see that it has a user now.
        return { writes: [put, change, ...(own.length > 0 ? [guarded.mark()] : [])], result: undefined };
      }),
    );
    const { name, policies } = record;
    this.#host.log.info({ tokenId: id, ...limits, name, policies, by: authorName(by) }, "token issued");
    return { ...this.#summary(id, record), token };
  }

  /**
   * A new secret for a token, which keeps its id and everything that it owns. The previous secret stays valid until the overlap ends;
   * one from before that ends now. @throws ACCESS_TOKEN_NOT_FOUND, ACCESS_ROTATION_NOT_POSSIBLE, ACCESS_EXCEEDS_OWN
   */
  async rotate(
    id: string,
    { overlapSeconds = OVERLAP_SECONDS }: { readonly overlapSeconds?: number | undefined },
    by: AccessAuthor,
  ): Promise<IssuedToken> {
    const key = `${TOKENS_PREFIX}${id}`;
    const { secret, sha256 } = newSecret(this.#host);
    const { result } = await this.#parts.changes.use((note) =>
      commit(this.#store, [{ key }, { key: signInsKey(id) }], (known) => {
        const before = this.#required(known.get(key)?.value, id);
        if (id === CONSOLE_TOKEN_ID || before.signIn !== undefined) throw noSecret(id, before);
        this.#requireOwn(before, id, by);
        const rotatedAtMs = this.#host.clock.now();
        const untilMs = rotatedAtMs + overlapSeconds * 1000;
        const record: TokenRecord = { ...before, sha256, rotatedAtMs, previous: { sha256: before.sha256, untilMs } };
        const list = this.#parts.signIns.rotated(id, known.get(signInsKey(id)), { token: before, sha256, untilMs });
        const change = note(this.#changeOf("token-rotated", record, authorName(by)));
        return {
          writes: [{ type: "put", key, value: encodeJson(record) }, change, ...(list ? [list] : [])],
          result: record,
        };
      }),
    );
    this.#host.log.info({ tokenId: id, name: result.name, overlapSeconds, by: authorName(by) }, "token rotated");
    return { ...this.#summary(id, result), token: `ph_${id}_${secret}` };
  }

  /** @throws ACCESS_TOKEN_NOT_FOUND, ACCESS_LOCKOUT, ACCESS_EXCEEDS_OWN */
  async revoke(id: string, by: AccessAuthor): Promise<void> {
    const { entries } = await this.#store.range({ key: `${TOKENS_PREFIX}${id}` });
    const found = this.#required(entries[0]?.value, id);
    this.#requireOwn(found, id, by);
    // Most tokens could never manage access, so they need no look at all the others.
    await (mayKeepDoor(found) ? this.#revokeGuarded(id, by) : this.#revokePlain(id, by));
    const { name, policies } = found;
    this.#host.log.info({ tokenId: id, name, policies, by: authorName(by) }, "token revoked");
  }

  async #revokePlain(id: string, by: AccessAuthor): Promise<void> {
    const key = `${TOKENS_PREFIX}${id}`;
    await this.#parts.changes.use((note) =>
      commit(this.#store, [{ key }], (known) => {
        const record = this.#required(known.get(key)?.value, id);
        return {
          writes: [...removal(id), note(this.#changeOf("token-revoked", record, authorName(by)))],
          result: undefined,
        };
      }),
    );
  }

  async #revokeGuarded(id: string, by: AccessAuthor): Promise<void> {
    await this.#parts.guarded.commit(({ tokens }) => {
      const record = tokens.get(id);
      if (!record) throw notFound(id);
      const change = this.#changeOf("token-revoked", record, authorName(by));
      return { writes: removal(id), change, result: undefined };
    });
  }

  /** All current tokens of the store, for a process that does not follow it. */
  async stored(): Promise<TokenSummary[]> {
    const { entries } = await this.#store.range({ prefix: TOKENS_PREFIX });
    return entries.map(({ key, value }) =>
      this.#summary(key.slice(TOKENS_PREFIX.length), tokenRecord(decodeJson(value))),
    );
  }

  /** The tokens that a caller may manage, without their secrets. */
  list(by: AccessAuthor): TokenSummary[] {
    const isVisible = this.#visible(by);
    const { holders } = this.#parts;
    return [...holders.tokens]
      .map(([id, record]) => [id, currentRecord(record, holders) ?? record] as const)
      .filter(([, record]) => isVisible(record))
      .map(([id, record]): TokenSummary => {
        const browsers = this.#parts.signIns.sessionsOf(id, record).length;
        const use = this.#parts.uses.lastUse(id);
        return {
          ...this.#summary(id, record),
          ...(browsers === 0 ? {} : { browsers }),
          ...(use === undefined ? {} : { lastUsedAt: use.at, lastUsedFrom: use.from }),
        };
      })
      .sort((a, b) => (a.id < b.id ? -1 : 1));
  }

  /** Whether a caller may manage a token. Each combination of policies and limits is compared once. */
  #visible(by: AccessAuthor): (record: TokenRecord) => boolean {
    const { handOut } = this.#parts;
    if (handOut.isFull(by)) return () => true;
    const known = new Map<string, boolean>();
    return (record) => {
      const limits = tokenLimits(record);
      const key = JSON.stringify([record.policies, limits]);
      const found = known.get(key) ?? handOut.covers(by, { policies: record.policies, limits });
      known.set(key, found);
      return found;
    };
  }

  #required(value: Uint8Array | undefined, id: string): TokenRecord {
    if (value === undefined) throw notFound(id);
    return tokenRecord(decodeJson(value));
  }

  /** @throws ACCESS_EXCEEDS_OWN */
  #requireOwn(record: TokenRecord, id: string, by: AccessAuthor): void {
    const { handOut } = this.#parts;
    const { policies } = record;
    handOut.require(by, handOut.grant({ policies, limits: tokenLimits(record) }), `the holder of the token ${id}`);
  }

  #summary(id: string, record: TokenRecord): TokenSummary {
    return tokenSummary(id, record, this.#host.clock.now());
  }

  #changeOf(kind: TokenChange, { name, policies }: TokenRecord, by: string): StoredChange {
    const at = new Date(this.#host.clock.now()).toISOString();
    const named = policies.join(", ");
    return {
      at,
      kind,
      subject: { type: "token", name },
      by,
      ...(kind === "token-revoked" ? { from: named } : { to: named }),
    };
  }
}

/** Whether it may be the last token that can manage access: one that does not end, is not limited, and has more than a built-in policy. */
function mayKeepDoor(record: TokenRecord): boolean {
  const { policies, expiresAtMs } = record;
  if (expiresAtMs !== undefined || isLimited(tokenLimits(record))) return false;
  return policies.some((name) => name === "operator" || !isBuiltInPolicy(name));
}

function removal(id: string): (Delete & { readonly key: string })[] {
  return [
    { type: "delete", key: `${TOKENS_PREFIX}${id}` },
    { type: "delete", key: signInsKey(id) },
  ];
}

function notFound(id: string) {
  return AccessErrors.TOKEN_NOT_FOUND(`Token "${id}" not found.`);
}

function noSecret(id: string, { name, signIn }: TokenRecord) {
  const why = signIn
    ? "a sign-in made it; sign in again for another one"
    : "no caller has its secret; it is used by links only";
  return AccessErrors.ROTATION_NOT_POSSIBLE(`The token ${id} of "${name}" cannot be rotated: ${why}.`);
}
