/** Histories without a server: entries become transitions without gaps, and a window of time becomes what readers see. */
import { expect, test } from "vitest";
import { encodeJson } from "#base";
import { HISTORY_TRANSITIONS_MAX } from "#registry/api";
import {
  historiesIn,
  historyView,
  storedTransition,
  surplusOf,
  transitionsIn,
  transitionStamp,
  type HistoryEntry,
  type InstanceState,
} from "../../registry/core/history.ts";
import { historyKey, parseHistoryKey } from "../../registry/core/keys.ts";

const HOUR_MS = 3_600_000;
const NOW_MS = 100 * HOUR_MS;
const NAME = { namespace: "default", service: "web", id: "one" };
const up: InstanceState = { status: "passing", lifecycle: "serving" };
const down: InstanceState = { status: "critical", lifecycle: "serving" };
const gone: InstanceState = { status: "gone" };

function row(atMs: number, before: InstanceState | undefined, state: InstanceState): HistoryEntry {
  const cause = before?.status === "gone" ? "registered" : "check";
  return { stamp: transitionStamp(atMs, 0, undefined), stored: storedTransition(before, state, { cause }) };
}

const flips = (count: number, firstMs: number, stepMs: number) =>
  Array.from({ length: count }, (_, index) =>
    row(firstMs + index * stepMs, index % 2 ? down : up, index % 2 ? up : down),
  );
const shown = (rows: readonly HistoryEntry[]) =>
  transitionsIn(rows).map(({ before, state, reason }) => `${before.status} ${state.status} ${reason.cause}`);

test("a key and its stamp are one thing, and keys are in order of id and time", () => {
  const stamp = transitionStamp(Date.UTC(2026, 10, 30), 0.999, undefined);
  expect(parseHistoryKey(historyKey(NAME, stamp))).toEqual({ ...NAME, stamp });
  const keys = ["a", "a", "a-1", "a.b", "ab"].map((id, index) => historyKey({ ...NAME, id }, stamp + index));
  expect(keys.toSorted()).toEqual(keys);
  expect(parseHistoryKey("/registry/history/default/web/one")).toBeUndefined();
});

test("a stamp comes after the latest one, though clocks differ", () => {
  const latest = transitionStamp(2_000, 0.5, undefined);
  expect(transitionStamp(1_000, 0.9, latest)).toBe(latest + 1);
  expect(transitionStamp(2_001, 0, latest)).toBeGreaterThan(latest + 1);
});

test("entries are in the order of their revisions, and after a restore in that of their stamps", () => {
  const entry = (stamp: number, createRevision: number) => ({
    key: historyKey(NAME, stamp),
    value: encodeJson(row(0, up, down).stored),
    createRevision,
  });
  const order = (entries: ReturnType<typeof entry>[]) =>
    [...historiesIn(entries)].map(({ rows }) => rows.map(({ stamp }) => stamp));
  expect(order([entry(5, 9), entry(6, 8)])).toEqual([[6, 5]]);
  expect(order([entry(5, 1), entry(6, 1)])).toEqual([[5, 6]]);
});

test("a state that no command entered is between the states of two commands", () => {
  expect(shown([row(1, gone, up), row(2, down, up)])).toEqual([
    "gone passing registered",
    "passing critical found",
    "critical passing check",
  ]);
});

test("a transition that two keepers recorded is one", () => {
  expect(shown([row(1, gone, up), row(2, undefined, down), row(3, undefined, down)])).toEqual([
    "gone passing registered",
    "passing critical check",
  ]);
});

test("a day and a number are kept, with the state at the start of the day", () => {
  const stamps = (rows: readonly HistoryEntry[]) => rows.map(({ stamp }) => stamp);
  const old = flips(3, NOW_MS - 30 * HOUR_MS, 1);
  expect(surplusOf(stamps([...old, ...flips(2, NOW_MS - HOUR_MS, 1)]), up, NOW_MS)).toBe(2);
  expect(surplusOf(stamps(old), up, NOW_MS)).toBe(2);
  expect(surplusOf(stamps(old), gone, NOW_MS), "of an instance that went, nothing is kept").toBe(3);
  expect(surplusOf(stamps(flips(HISTORY_TRANSITIONS_MAX + 5, NOW_MS - HOUR_MS, 1)), up, NOW_MS)).toBe(5);
});

test("a window begins with the state before it, and says from when on it is complete", () => {
  const view = (rows: readonly HistoryEntry[], hours: number) =>
    historyView("one", transitionsIn(rows), NOW_MS - hours * HOUR_MS);
  const rows = [row(NOW_MS - 3 * HOUR_MS, gone, up), row(NOW_MS - HOUR_MS, up, down)];
  expect(view(rows, 2)).toMatchObject({ start: up, transitions: [{ status: "critical" }] });
  expect(view(rows, 4)).toMatchObject({ start: gone, transitions: [{ cause: "registered" }, { cause: "check" }] });
  expect(view(rows, 4)?.cutAt).toBeUndefined();
  const many = view(flips(HISTORY_TRANSITIONS_MAX + 20, NOW_MS - HOUR_MS, 1_000), 2);
  expect(many?.transitions).toHaveLength(HISTORY_TRANSITIONS_MAX);
  expect(many).toMatchObject({ start: { status: "unknown" }, cutAt: many?.transitions[0]?.at });
  expect(view([row(NOW_MS - 3 * HOUR_MS, up, gone)], 2)).toBeUndefined();
});
