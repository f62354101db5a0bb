/**
 * The history of an instance's health as it is stored: its latest transitions, within a day and a number. Pure: the present
 * record and a new state become the next record, and a record becomes what readers see of a window of time.
 */
import { invariant } from "#base";
import {
  HISTORY_HOURS_MAX,
  HISTORY_TRANSITIONS_MAX,
  type HealthTransition,
  type HistoryStatus,
  type InstanceHistory,
  type Lifecycle,
  type TransitionCause,
} from "../api.ts";

/** Characters of an output that are kept: the first line of an error. */
const HISTORY_OUTPUT_CHARS_MAX = 160;
/** Transitions that keep their output. With older outputs, a flapping instance would cost tens of kilobytes per flip. */
const HISTORY_OUTPUTS_MAX = 24;
const HISTORY_MS = HISTORY_HOURS_MAX * 3_600_000;

/** The state of an instance; without a lifecycle it is gone. */
export interface InstanceState {
  readonly status: HistoryStatus;
  readonly lifecycle?: Lifecycle;
}

export const GONE_STATE: InstanceState = Object.freeze({ status: "gone" });

/** Why a state was entered. */
export interface TransitionReason {
  readonly cause: TransitionCause;
  readonly check?: string | undefined;
  readonly output?: string | undefined;
}

/** A list and not an object, because the record is written with every flip. The lifecycle of a gone instance is empty. */
type StoredTransition = readonly [
  atMs: number,
  status: HistoryStatus,
  lifecycle: Lifecycle | "",
  cause: TransitionCause,
  check?: string,
  output?: string,
];

export interface HistoryRecord {
  /** Oldest first; never empty. */
  readonly transitions: readonly StoredTransition[];
  /** Time of the last transition that was dropped because of the number, in milliseconds since 1970. */
  readonly cutMs?: number;
}

/** The latest state in a record. */
export function latestState({ transitions }: HistoryRecord): InstanceState & { readonly atMs: number } {
  const last = transitions.at(-1);
  invariant(last !== undefined, "a history has at least one transition");
  return { ...stateOf(last), atMs: last[0] };
}

export function isSameState(a: InstanceState | undefined, b: InstanceState): boolean {
  return a !== undefined && a.status === b.status && a.lifecycle === b.lifecycle;
}

/** The record with one more transition; the same record when the state is the latest one already. */
export function withTransition(
  record: HistoryRecord | undefined,
  state: InstanceState,
  { reason, nowMs }: { reason: TransitionReason; nowMs: number },
): HistoryRecord | undefined {
  const latest = record && latestState(record);
  if (latest ? isSameState(latest, state) : state.status === "gone") return record;
  // The clocks of two members differ, and a history must stay in order.
  const atMs = Math.max(nowMs, latest?.atMs ?? 0);
  const { cause, check, output } = reason;
  const text = output === undefined || output === "" ? undefined : output.slice(0, HISTORY_OUTPUT_CHARS_MAX);
  const head = [atMs, state.status, state.lifecycle ?? "", cause] as const;
  const next: StoredTransition =
    text !== undefined ? [...head, check ?? "", text] : check !== undefined ? [...head, check] : head;
  return trimmed({ ...record, transitions: [...(record?.transitions ?? []), next] }, atMs);
}

function trimmed({ transitions, cutMs }: HistoryRecord, nowMs: number): HistoryRecord {
  const fromMs = nowMs - HISTORY_MS;
  // The last transition before the window is the state at its start.
  const inside = transitions.findIndex(([atMs]) => atMs > fromMs);
  const recent = transitions.slice(Math.max(0, inside - 1));
  const kept = recent.slice(-HISTORY_TRANSITIONS_MAX);
  const cut = recent.at(-1 - kept.length)?.[0] ?? (cutMs !== undefined && cutMs > fromMs ? cutMs : undefined);
  const texts = Math.max(0, kept.length - HISTORY_OUTPUTS_MAX);
  return {
    transitions: kept.map((one, index) => (index < texts && one.length > 5 ? withoutOutput(one) : one)),
    ...(cut === undefined ? {} : { cutMs: cut }),
  };
}

function withoutOutput([atMs, status, lifecycle, cause, check]: StoredTransition): StoredTransition {
  return check === undefined || check === ""
    ? [atMs, status, lifecycle, cause]
    : [atMs, status, lifecycle, cause, check];
}

function stateOf([, status, lifecycle]: StoredTransition): InstanceState {
  return lifecycle === "" ? { status } : { status, lifecycle };
}

function transitionView(transition: StoredTransition): HealthTransition {
  const [atMs, , , cause, check, output] = transition;
  return {
    at: new Date(atMs).toISOString(),
    ...stateOf(transition),
    cause,
    ...(check === undefined || check === "" ? {} : { check }),
    ...(output === undefined ? {} : { output }),
  };
}

/** The window of a record that begins at a time; undefined when the instance was gone during all of it. */
export function historyView(instance: string, record: HistoryRecord, fromMs: number): InstanceHistory | undefined {
  const { transitions, cutMs } = record;
  const inside = transitions.findIndex(([atMs]) => atMs > fromMs);
  const before = transitions.at(inside < 0 ? -1 : inside - 1);
  const hasBefore = inside !== 0 && before !== undefined;
  const start = hasBefore ? stateOf(before) : GONE_STATE;
  const shown = inside < 0 ? [] : transitions.slice(inside);
  if (shown.length === 0 && start.status === "gone") return undefined;
  const isCut = cutMs !== undefined && cutMs > fromMs && !hasBefore;
  return {
    instance,
    start: isCut ? { status: "unknown" } : start,
    transitions: shown.map(transitionView),
    ...(isCut && shown[0] ? { cutAt: new Date(shown[0][0]).toISOString() } : {}),
  };
}

/** The transitions of a record after a time, each with the state before it. */
export function transitionsAfter(
  { transitions }: HistoryRecord,
  afterMs: number,
): { readonly before: InstanceState; readonly transition: HealthTransition }[] {
  return transitions.flatMap((transition, index) => {
    if (transition[0] <= afterMs) return [];
    const previous = transitions[index - 1];
    return [{ before: previous ? stateOf(previous) : GONE_STATE, transition: transitionView(transition) }];
  });
}
