/**
 * The history that a command adds to: derived from what the command reads and writes, so that a command does not know of it.
 * Both are written in one transaction.
 */
import { decodeJson } from "#base";
import { worstOf } from "#health/core";
import { statusBy } from "../catalog.ts";
import {
  GONE_STATE,
  latestState,
  withTransition,
  type HistoryRecord,
  type InstanceState,
  type TransitionReason,
} from "../history.ts";
import { historyKey, instanceKey, verdictKey, verdictsPrefix, type InstanceName } from "../keys.ts";
import type { InstanceRecord, VerdictRecord } from "../record.ts";
import { put, type KnownEntries, type RegistryWrite } from "./plan.ts";

/** The entries from which an instance's state and history follow. */
export function readsOfHistory(name: InstanceName): ({ key: string } | { prefix: string })[] {
  return [{ key: instanceKey(name) }, { prefix: verdictsPrefix(name) }, { key: historyKey(name) }];
}

/** The state of an instance by entries of the store. */
function stateIn(known: KnownEntries, name: InstanceName): InstanceState {
  const entry = known.get(instanceKey(name));
  if (!entry) return GONE_STATE;
  const { checks, lifecycle } = decodeJson<InstanceRecord>(entry.value);
  const status = worstOf(
    checks.map((check) => {
      const verdict = known.get(verdictKey(name, check.id));
      return statusBy(check, verdict && decodeJson<VerdictRecord>(verdict.value));
    }),
  );
  return { status, lifecycle };
}

export interface HistoryStep {
  readonly name: InstanceName;
  readonly reason: TransitionReason;
  readonly nowMs: number;
  /** The lease of the history of an instance that goes: it ends a day later. */
  readonly goneLease?: string | undefined;
}

/**
 * The write to the history that belongs to a command's writes; none when the instance's state stays the same. `known` must
 * have what `readsOfHistory` names.
 */
export function historyWrites(
  known: KnownEntries,
  writes: readonly RegistryWrite[],
  { name, reason, nowMs, goneLease }: HistoryStep,
): RegistryWrite[] {
  const entry = known.get(historyKey(name));
  const record = entry && decodeJson<HistoryRecord>(entry.value);
  const before = stateIn(known, name);
  const after = writes.length === 0 ? before : stateIn(overlaid(known, writes, name), name);
  // A check that lapsed a moment ago may have no transition yet. Without this, the state in between would be lost.
  const caughtUp = writes.length === 0 ? record : withTransition(record, before, { reason: unseen(before), nowMs });
  const why = writes.length === 0 ? reason : reasonBetween(before, after, reason);
  const next = withTransition(caughtUp, after, { reason: why, nowMs });
  if (next === undefined || next === record) return [];
  return [put(historyKey(name), next, after.status === "gone" ? goneLease : undefined)];
}

/** The reason of a state that no command entered. */
function unseen({ status }: InstanceState): TransitionReason {
  return { cause: status === "gone" ? "ended" : "found" };
}

/** A registration of an instance that exists replaces it. */
function reasonBetween(before: InstanceState, after: InstanceState, reason: TransitionReason): TransitionReason {
  if (reason.cause !== "registered" || before.status === "gone") return reason;
  return { cause: before.lifecycle === after.lifecycle ? "replaced" : "lifecycle" };
}

/**
 * The reason of a state that came about without a command that recorded it: a lapse, the end of a session, a batch.
 * `isOld`: it was found at a start, so it may be of any age.
 */
export function reasonFound(known: KnownEntries, name: InstanceName, isOld: boolean): TransitionReason {
  const entry = known.get(instanceKey(name));
  if (!entry) return { cause: "ended" };
  const past = known.get(historyKey(name));
  const latest = past && latestState(decodeJson<HistoryRecord>(past.value));
  if (latest === undefined || latest.status === "gone") return { cause: isOld ? "found" : "registered" };
  const { checks, lifecycle } = decodeJson<InstanceRecord>(entry.value);
  if (latest.lifecycle !== lifecycle) return { cause: "lifecycle" };
  const silent = checks.find(({ id, type }) => type === "ttl" && !known.has(verdictKey(name, id)));
  if (silent) return { cause: "lapsed", check: silent.id };
  const { status } = stateIn(known, name);
  const worst = checks.find((check) => {
    const verdict = known.get(verdictKey(name, check.id));
    return statusBy(check, verdict && decodeJson<VerdictRecord>(verdict.value)) === status;
  });
  return { cause: "check", check: worst?.id };
}

/** The entries of one instance after the writes. */
function overlaid(known: KnownEntries, writes: readonly RegistryWrite[], name: InstanceName): KnownEntries {
  const own = [instanceKey(name), verdictsPrefix(name)] as const;
  const after = new Map([...known].filter(([key]) => key === own[0] || key.startsWith(own[1])));
  for (const write of writes) {
    if (write.type === "put") {
      after.set(write.key, { key: write.key, value: write.value, createRevision: 0, modRevision: 0 });
    } else if ("key" in write) after.delete(write.key);
    else for (const key of after.keys()) if (key.startsWith(write.prefix)) after.delete(key);
  }
  return after;
}
