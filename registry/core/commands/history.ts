/**
 * The transition that a command adds to a history: derived from what the command reads and writes, so that a command does not
 * know of it. Both are written in one transaction.
 */
import { decodeJson } from "#base";
import { worstOf } from "#health/core";
import { statusBy, type CatalogEntry } from "../catalog.ts";
import {
  GONE_STATE,
  isSameState,
  storedTransition,
  type InstanceState,
  type StoredTransition,
  type TransitionReason,
} from "../history.ts";
import { instanceKey, verdictKey, verdictsPrefix, type InstanceName } from "../keys.ts";
import type { InstanceRecord, VerdictRecord } from "../record.ts";
import type { KnownEntries, RecordOf, RegistryWrite } from "./plan.ts";

/** The entries from which an instance's state follows. */
export function readsOfState(name: InstanceName): ({ key: string } | { prefix: string })[] {
  return [{ key: instanceKey(name) }, { prefix: verdictsPrefix(name) }];
}

/** The same entries by key, for an instance with these checks. */
export function readsOfChecks(name: InstanceName, checks: readonly { readonly id: string }[]): { key: string }[] {
  return [{ key: instanceKey(name) }, ...checks.map(({ id }) => ({ key: verdictKey(name, id) }))];
}

type EntryOf = (key: string) => Pick<CatalogEntry, "value"> | undefined;

/** The state of an instance by entries of the store. */
function stateIn(record: InstanceRecord | undefined, name: InstanceName, entryOf: EntryOf): InstanceState {
  if (!record) return GONE_STATE;
  const status = worstOf(record.checks.map((check) => statusBy(check, verdictIn(name, check.id, entryOf))));
  return { status, lifecycle: record.lifecycle };
}

function verdictIn(name: InstanceName, check: string, entryOf: EntryOf): VerdictRecord | undefined {
  const entry = entryOf(verdictKey(name, check));
  return entry && decodeJson<VerdictRecord>(entry.value);
}

export interface HistoryStep {
  readonly name: InstanceName;
  readonly reason: TransitionReason;
  /** The checks whose verdicts were read; absent: all. */
  readonly checks?: readonly { readonly id: string }[] | undefined;
  readonly recordOf: RecordOf;
}

/**
 * The transition that belongs to a command's writes; undefined when the instance's state stays the same. `known` must have what
 * `readsOfState` or `readsOfChecks` names. When other checks replaced those that were read, the keeper records the transition.
 */
export function transitionBy(
  known: KnownEntries,
  writes: readonly RegistryWrite[],
  { name, reason, checks, recordOf }: HistoryStep,
): StoredTransition | undefined {
  const key = instanceKey(name);
  const entry = known.get(key);
  const record = entry && recordOf(name, entry);
  if (checks && record?.checks.some(({ id }) => !checks.some((one) => one.id === id))) return undefined;
  const entryAfter = entriesAfter(known, writes);
  const next = entryAfter(key);
  const recordAfter = next === entry ? record : next && decodeJson<InstanceRecord>(next.value);
  const before = stateIn(record, name, (one) => known.get(one));
  const after = stateIn(recordAfter, name, entryAfter);
  if (isSameState(before, after)) return undefined;
  return storedTransition(before, after, reasonBetween(before, after, reason));
}

/** A registration of an instance that exists replaces it. */
function reasonBetween(before: InstanceState, after: InstanceState, reason: TransitionReason): TransitionReason {
  if (reason.cause !== "registered" || before.status === "gone") return reason;
  return { cause: before.lifecycle === after.lifecycle ? "replaced" : "lifecycle" };
}

/**
 * The transition to a state that no command recorded: a lapse, the end of a session, a batch. `latest` is the state that the
 * history ends with. `isOld`: it was found at a start, so it may be of any age.
 */
export function transitionFound(
  known: KnownEntries,
  { name, latest, isOld }: { name: InstanceName; latest: InstanceState | undefined; isOld: boolean },
): StoredTransition | undefined {
  const entryOf: EntryOf = (key) => known.get(key);
  const entry = known.get(instanceKey(name));
  const record = entry && decodeJson<InstanceRecord>(entry.value);
  const state = stateIn(record, name, entryOf);
  if (isSameState(latest ?? GONE_STATE, state)) return undefined;
  return storedTransition(undefined, state, reasonFound());

  function reasonFound(): TransitionReason {
    if (!record) return { cause: "ended" };
    if (latest === undefined || latest.status === "gone") return { cause: isOld ? "found" : "registered" };
    if (latest.lifecycle !== record.lifecycle) return { cause: "lifecycle" };
    const silent = record.checks.find(({ id, type }) => type === "ttl" && !known.has(verdictKey(name, id)));
    if (silent) return { cause: "lapsed", check: silent.id };
    const worst = record.checks.find((one) => statusBy(one, verdictIn(name, one.id, entryOf)) === state.status);
    return { cause: "check", check: worst?.id };
  }
}

/** The entries after the writes. */
function entriesAfter(known: KnownEntries, writes: readonly RegistryWrite[]): EntryOf {
  return (key) => {
    for (const write of writes) {
      if ("prefix" in write ? key.startsWith(write.prefix) : write.key === key) {
        return write.type === "put" ? write : undefined;
      }
    }
    return known.get(key);
  };
}
