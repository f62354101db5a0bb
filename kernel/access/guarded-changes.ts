/**
 * Changes of access that could shut everybody out: a policy, a binding, a revoked token. They happen one after the other, because each
 * writes one key that all of them compare. Each is planned on the whole state, and refused when it would remove the last token that can
 * always manage access.
 */
import { decodeJson, encodeJson, type Host } from "#base";
import type { ChangeLog, StoredChange } from "#changes";
import { type Compare, type Delete, type Put, type StoreEntry, type Store, StoreErrors } from "#store";
import { AccessErrors } from "./api.ts";
import { isLimited } from "#http";
import { keepsDoor } from "./core/lockout.ts";
import { policyLookup } from "./policy-lookup.ts";
import { BINDINGS_PREFIX, POLICIES_PREFIX, type StoredBinding, type StoredPolicy } from "./stored-records.ts";
import {
  ACCESS_PREFIX,
  CONSOLE_TOKEN_ID,
  tokenLimits,
  type TokenRecord,
  tokenRecord,
  TOKENS_PREFIX,
} from "./token-record.ts";

/** Written by each of these changes. */
const GUARD = `${ACCESS_PREFIX}guard`;
const PREFIXES = [POLICIES_PREFIX, BINDINGS_PREFIX, TOKENS_PREFIX];
/** Plans before giving up: these changes are made by people, a few at a time. */
const TRIES = 8;

/** The state of the store: by name, by subject, and by id. */
export interface StoredAccess {
  readonly policies: ReadonlyMap<string, StoredPolicy>;
  readonly bindings: ReadonlyMap<string, StoredBinding>;
  readonly tokens: ReadonlyMap<string, TokenRecord>;
  /** Revision of the last change of a key; 0 when it is absent. */
  modRevision(key: string): number;
}

export interface GuardedPlan<T> {
  readonly writes: readonly (Put | (Delete & { readonly key: string }))[];
  readonly change: StoredChange;
  readonly result: T;
}

export class GuardedChanges {
  readonly #host: Host;
  readonly #store: Store;
  readonly #changes: ChangeLog;

  constructor(host: Host, store: Store, changes: ChangeLog) {
    this.#host = host;
    this.#store = store;
    this.#changes = changes;
  }

  /** Put into every other transaction on which one of these changes must not pass unnoticed. */
  mark(): Put {
    return { type: "put", key: GUARD, value: encodeJson(this.#host.clock.now()) };
  }

  /** @throws ACCESS_LOCKOUT, STORE_CONTENDED, and what the plan throws */
  async commit<T>(plan: (state: StoredAccess) => GuardedPlan<T>): Promise<{ result: T; revision: number }> {
    for (let attempt = 0; attempt < TRIES; attempt++) {
      const entries = await this.#read();
      const state = stateOf(entries);
      const { writes, change, result } = plan(state);
      if (keepers(state) > 0 && keepers(stateOf(entries, writes)) === 0) throw lockout();
      // Keys that were not read, such as sign-ins of a token, end with one that was.
      const read = writes.map(({ key }) => key).filter((key) => PREFIXES.some((prefix) => key.startsWith(prefix)));
      const when = [GUARD, ...read].map((key): Compare => {
        return { key, target: "modRevision", is: "equal", value: state.modRevision(key) };
      });
      const answer = await this.#changes.use((entry) =>
        this.#store.txn({ when, then: [...writes, this.mark(), entry(change)] }),
      );
      if (answer.succeeded) return { result, revision: answer.revision };
    }
    throw StoreErrors.CONTENDED(`Other callers changed access during all ${TRIES} tries. Try again shortly.`);
  }

  /** Everything that decides about access, at one revision. */
  async #read(): Promise<ReadonlyMap<string, StoreEntry>> {
    const { results } = await this.#store.txn({
      then: [{ type: "range", key: GUARD }, ...PREFIXES.map((prefix) => ({ type: "range" as const, prefix }))],
    });
    const entries = results.flatMap((result) => (result.type === "range" ? result.entries : []));
    return new Map(entries.map((entry) => [entry.key, entry]));
  }
}

/** The state of entries, after writes. */
function stateOf(entries: ReadonlyMap<string, StoreEntry>, writes: GuardedPlan<unknown>["writes"] = []): StoredAccess {
  const values = new Map([...entries].map(([key, { value }]) => [key, value]));
  for (const write of writes) {
    if (write.type === "put") values.set(write.key, write.value);
    else values.delete(write.key);
  }
  const under = <T>(prefix: string, read: (value: Uint8Array) => T = decodeJson) =>
    new Map(
      [...values].flatMap(([key, value]) =>
        key.startsWith(prefix) ? [[key.slice(prefix.length), read(value)] as const] : [],
      ),
    );
  return {
    policies: under<StoredPolicy>(POLICIES_PREFIX),
    bindings: new Map([...under<StoredBinding>(BINDINGS_PREFIX).values()].map((one) => [one.subject, one])),
    tokens: under(TOKENS_PREFIX, (value): TokenRecord => tokenRecord(decodeJson(value))),
    modRevision: (key) => entries.get(key)?.modRevision ?? 0,
  };
}

/** Tokens that can always manage access. That of the sign-in links does not count, because no caller has its secret. */
function keepers({ policies, tokens }: StoredAccess): number {
  const policy = policyLookup(policies);
  return [...tokens].filter(
    ([id, record]) =>
      id !== CONSOLE_TOKEN_ID &&
      record.signIn === undefined &&
      keepsDoor({ ...record, isLimited: isLimited(tokenLimits(record)) }, policy),
  ).length;
}

function lockout() {
  return AccessErrors.LOCKOUT(
    "Afterwards no token without an end and without limits could manage access, so no caller could undo the change. " +
      "Issue another operator token first (posthouse token create NAME --policy operator), and keep it. " +
      "A way in that is lost is opened on the machine of the server: posthouse operator-token.",
  );
}
