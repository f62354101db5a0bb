/**
 * The history of an instance's health as it is stored: one small entry per transition, so a flip costs one small write whatever
 * came before it. Pure: entries become transitions without gaps, and these become what readers see of a window of time.
 */
import { decodeJson, firstIndexWhere } from "#base";
import {
  HISTORY_HOURS_MAX,
  HISTORY_TRANSITIONS_MAX,
  type HealthTransition,
  type HistoryStatus,
  type InstanceHistory,
  type Lifecycle,
  type TransitionCause,
} from "../api.ts";
import { parseHistoryKey, type InstanceName } from "./keys.ts";

/** Characters of an output that are kept: the first line of an error. */
const HISTORY_OUTPUT_CHARS_MAX = 160;
const HISTORY_MS = HISTORY_HOURS_MAX * 3_600_000;
/** Stamps of one millisecond, so that two members rarely choose the same one. Stamps stay safe integers until the year 2248. */
const STAMPS_PER_MS = 1_024;

/** The state of an instance; without a lifecycle it is gone, or nothing is known of it. */
export interface InstanceState {
  readonly status: HistoryStatus;
  readonly lifecycle?: Lifecycle;
}

export const GONE_STATE: InstanceState = Object.freeze({ status: "gone" });
/** The state before the history of an instance began. */
const UNKNOWN_STATE: InstanceState = Object.freeze({ status: "unknown" });

/** Why a state was entered. */
export interface TransitionReason {
  readonly cause: TransitionCause;
  readonly check?: string | undefined;
  readonly output?: string | undefined;
}

/** A list and not an object, because it is written with every flip. Empty texts are absent values. */
export type StoredTransition = readonly [
  status: HistoryStatus,
  lifecycle: Lifecycle | "",
  cause: TransitionCause,
  /** The state before, as the command read it. Empty: the keeper found the new state, and the one before is the latest known. */
  statusBefore: HistoryStatus | "",
  lifecycleBefore: Lifecycle | "",
  check: string,
  output: string,
];

export interface Transition {
  readonly atMs: number;
  readonly before: InstanceState;
  readonly state: InstanceState;
  readonly reason: TransitionReason;
}

export function isSameState(a: InstanceState | undefined, b: InstanceState): boolean {
  return a !== undefined && a.status === b.status && a.lifecycle === b.lifecycle;
}

/** The unique number of a transition, in order of time. `chance` is in [0, 1). `latest`: the stamp of the latest known transition. */
export function transitionStamp(nowMs: number, chance: number, latest: number | undefined): number {
  const stamp = Math.floor(nowMs) * STAMPS_PER_MS + Math.floor(chance * STAMPS_PER_MS);
  // The clocks of two members differ, and a history must stay in order.
  return latest === undefined ? stamp : Math.max(stamp, latest + 1);
}

function stampMs(stamp: number): number {
  return Math.floor(stamp / STAMPS_PER_MS);
}

/** A transition as it is stored. `before` is undefined when the keeper found the new state. */
export function storedTransition(
  before: InstanceState | undefined,
  { status, lifecycle }: InstanceState,
  { cause, check = "", output = "" }: TransitionReason,
): StoredTransition {
  const text = output.slice(0, HISTORY_OUTPUT_CHARS_MAX);
  return [status, lifecycle ?? "", cause, before?.status ?? "", before?.lifecycle ?? "", check, text];
}

/** An entry of a history. */
export interface HistoryEntry {
  readonly stamp: number;
  readonly stored: StoredTransition;
}

/** The entries of whole histories by instance, each in the order in which they were written. */
export function* historiesIn(
  entries: Iterable<{ readonly key: string; readonly value: Uint8Array; readonly createRevision: number }>,
): Iterable<{ readonly name: InstanceName; readonly rows: readonly HistoryEntry[] }> {
  let name: InstanceName | undefined;
  let rows: (HistoryEntry & { readonly revision: number })[] = [];
  // Stamps follow the clocks of members, and revisions do not. After a restore, revisions may be equal.
  const inOrder = () => rows.sort((a, b) => a.revision - b.revision || a.stamp - b.stamp);
  for (const { key, value, createRevision: revision } of entries) {
    const parsed = parseHistoryKey(key);
    if (!parsed) continue;
    const { stamp, ...of } = parsed;
    if (name && (name.id !== of.id || name.service !== of.service || name.namespace !== of.namespace)) {
      yield { name, rows: inOrder() };
      rows = [];
    }
    name = of;
    rows.push({ stamp, stored: decodeJson(value), revision });
  }
  if (name) yield { name, rows: inOrder() };
}

/** The transitions that an entry adds to a history that ends in `latest`: none for a repetition, two when one was missed. */
export function transitionsOf(
  latest: (InstanceState & { readonly atMs: number }) | undefined,
  { stamp, stored: [status, lifecycle, cause, statusBefore, lifecycleBefore, check, output] }: HistoryEntry,
): Transition[] {
  const state = stateOf(status, lifecycle);
  const atMs = Math.max(stampMs(stamp), latest?.atMs ?? 0);
  const reason = { cause, ...(check === "" ? {} : { check }), ...(output === "" ? {} : { output }) };
  if (statusBefore === "") {
    if (isSameState(latest, state)) return [];
    return [{ atMs, before: latest ?? (cause === "registered" ? GONE_STATE : UNKNOWN_STATE), state, reason }];
  }
  const before = stateOf(statusBefore, lifecycleBefore);
  const own: Transition = { atMs, before, state, reason };
  if (latest === undefined || isSameState(latest, before)) return [own];
  // No command entered the state before: a check lapsed, or a session ended, a moment before this command.
  const missed = { cause: before.status === "gone" ? ("ended" as const) : ("found" as const) };
  return [{ atMs, before: latest, state: before, reason: missed }, own];
}

/** All transitions of a history, oldest first. */
export function transitionsIn(rows: readonly HistoryEntry[]): Transition[] {
  const all: Transition[] = [];
  let latest: (InstanceState & { readonly atMs: number }) | undefined;
  for (const row of rows) {
    for (const one of transitionsOf(latest, row)) {
      all.push(one);
      latest = { ...one.state, atMs: one.atMs };
    }
  }
  return all;
}

/**
 * How many of a history's entries, oldest first, are no longer needed: those before the day that is kept, except for the last one,
 * which is the state at its start, and those above the number that is kept. Of an instance that went before that day, all.
 */
export function surplusOf(stamps: readonly number[], state: InstanceState, nowMs: number): number {
  const fromMs = nowMs - HISTORY_MS;
  const inside = firstIndexWhere(stamps.length, (index) => stampMs(stamps[index] as number) > fromMs);
  const old = inside === stamps.length && state.status === "gone" ? inside : Math.max(0, inside - 1);
  return Math.max(old, stamps.length - HISTORY_TRANSITIONS_MAX);
}

/** The window of a history that begins at a time; undefined when the instance was gone during all of it. */
export function historyView(instance: string, all: readonly Transition[], fromMs: number): InstanceHistory | undefined {
  const kept = all.slice(-HISTORY_TRANSITIONS_MAX);
  const inside = kept.filter(({ atMs }) => atMs > fromMs);
  const before = kept.at(-1 - inside.length);
  const start = before?.state ?? inside[0]?.before ?? UNKNOWN_STATE;
  if (inside.length === 0 && start.status === "gone") return undefined;
  // The first transition of an instance follows on "gone". Another one had transitions before it, which are not kept.
  const first = before === undefined ? inside[0] : undefined;
  const cut = start.status !== "gone" || kept.length >= HISTORY_TRANSITIONS_MAX ? first : undefined;
  return {
    instance,
    start: cut ? UNKNOWN_STATE : start,
    transitions: inside.map(transitionView),
    ...(cut ? { cutAt: new Date(cut.atMs).toISOString() } : {}),
  };
}

export function transitionView({ atMs, state, reason }: Transition): HealthTransition {
  return { at: new Date(atMs).toISOString(), ...state, ...reason } as HealthTransition;
}

function stateOf(status: HistoryStatus, lifecycle: Lifecycle | ""): InstanceState {
  return lifecycle === "" ? { status } : { status, lifecycle };
}
