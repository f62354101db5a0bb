/** Anti-entropy, rule by rule and to the millisecond: how much at once, when next, and what an answer changes. */
import { expect, test } from "vitest";
import type { LocalRegistration } from "../../agent/api.ts";
import { claimKeyOf, syncMarkOf } from "../../agent/core/local-state.ts";
import { decide } from "../../agent/core/decide.ts";
import { begin, inSync, startSync, type Effect, type Failure, type SyncState } from "../../agent/core/sync-state.ts";
import { step } from "../../agent/core/sync.ts";
import { at, claimed, KEY, LIMITS, NAME, REGISTRATION, Server, settle } from "./sync-kit.ts";

const claim = (state: SyncState, more: { name?: typeof NAME; port?: number; incarnation?: number } = {}, nowMs = 0) => {
  const { name = NAME, port = 80, incarnation = 1 } = more;
  const registration: LocalRegistration = { ...REGISTRATION, port };
  return step(state, { type: "claim", name, registration, incarnation }, at(nowMs));
};
const verdict = (state: SyncState, status: "passing" | "warning" | "critical", check = "up") =>
  step(state, { type: "verdict", key: KEY, check, status, output: "" }, at(0));
/** Sends what is due of a type, and has it fail. */
function failing(state: SyncState, type: Effect["type"], failure: Failure, nowMs: number, more = {}): SyncState {
  const decided = decide(state, nowMs);
  const effect = decided.effects.find((one) => one.type === type);
  if (!effect) throw new Error(`no ${type} is due`);
  return step(begin(decided.state, effect), { type: "failed", effect, failure, detail: "no", ...more }, at(nowMs));
}
const typesOf = (state: SyncState, nowMs: number) => decide(state, nowMs).effects.map(({ type }) => type);

test("sixteen calls are under way at most, the heartbeat's first", () => {
  let state = startSync(LIMITS, 0, "s1");
  for (let i = 0; i < 50; i++) state = claim(state, { name: { ...NAME, id: `web-${i}` } });
  const { effects } = decide(state, 0);
  expect(effects).toHaveLength(16);
  expect(effects[0]?.type).toBe("heartbeat");
  for (const effect of effects.slice(0, 5)) state = begin(state, effect);
  expect(decide(state, 0).effects).toHaveLength(11);
  for (const effect of effects.slice(5)) state = begin(state, effect);
  expect(decide(state, 0).effects).toEqual([]);
});

test("while no server answers, waits double from 200 ms to 5 s, and are from half to all of that", () => {
  const waits = (chance: number, sessionTtlMs: number) => {
    let state = startSync({ ...LIMITS, sessionTtlMs }, 0, "s1");
    return Array.from({ length: 8 }, () => {
      const effect = { type: "heartbeat", key: "session", session: "s1" } as const;
      const failed = { type: "failed", effect, failure: "away", detail: "" } as const;
      state = step(state, failed, { nowMs: 1_000, chance });
      expect(state.connected).toBe(false);
      expect(decide(state, state.notBeforeMs - 1)).toMatchObject({ effects: [], wakeAtMs: state.notBeforeMs });
      expect(typesOf(state, state.notBeforeMs)).toEqual(["heartbeat"]);
      return state.notBeforeMs - 1_000;
    });
  };
  expect(waits(0, 30_000)).toEqual([100, 200, 400, 800, 1_600, 2_500, 2_500, 2_500]);
  expect(waits(1, 30_000)).toEqual([200, 400, 800, 1_600, 3_200, 5_000, 5_000, 5_000]);
  // Never longer than until the next heartbeat.
  expect(waits(1, 3_000)).toEqual([200, 400, 800, 1_000, 1_000, 1_000, 1_000, 1_000]);
});

test("after one call without an answer one at a time feels the way", () => {
  let state = startSync(LIMITS, 0, "s1");
  for (let i = 0; i < 5; i++) state = claim(state, { name: { ...NAME, id: `web-${i}` } });
  expect(decide(state, 0).effects).toHaveLength(7);
  const away = failing(state, "heartbeat", "away", 0);
  expect(typesOf(away, away.notBeforeMs)).toEqual(["heartbeat"]);
});

test("an answer ends the back-off, whatever it says", () => {
  const away = failing(startSync(LIMITS, 0), "openSession", "away", 0);
  const effect = { type: "openSession", key: "session" } as const;
  const done = step(begin(away, effect), { type: "done", effect, session: "s1" }, at(500));
  expect(done).toMatchObject({ attempt: 0, notBeforeMs: 0, connected: true });
  const gone = { type: "heartbeat", key: "session", session: "s0" } as const;
  const failed = step(begin(away, gone), { type: "failed", effect: gone, failure: "session", detail: "" }, at(500));
  expect(failed).toMatchObject({ attempt: 0, notBeforeMs: 0, connected: true });
});

test("a claim that the server refuses waits a second, doubling up to a minute, and no longer once it is edited", () => {
  let state = claim(settle(startSync(LIMITS, 0), new Server(), 0));
  const waits: number[] = [];
  for (let nowMs = 0; waits.length < 8; nowMs = state.claims.get(KEY)?.notBeforeMs ?? 0) {
    state = failing(state, "register", "refused", nowMs);
    waits.push((state.claims.get(KEY)?.notBeforeMs ?? 0) - nowMs);
  }
  expect(waits).toEqual([750, 1_500, 3_000, 6_000, 12_000, 24_000, 45_000, 45_000]);
  expect(state.claims.get(KEY)).toMatchObject({ attempt: 8, error: "no" });
  expect(state).toMatchObject({ attempt: 0, refusal: undefined });
  const edited = claim(state, { port: 81 });
  expect(edited.claims.get(KEY)).toMatchObject({ attempt: 0, notBeforeMs: 0, error: undefined });
  const withdrawn = step(state, { type: "withdraw", key: KEY }, at(0));
  expect(withdrawn.claims.get(KEY)).toMatchObject({ attempt: 0, notBeforeMs: 0, error: undefined });
  // A successful answer resets it, too.
  const effect = decide(edited, 0).effects.find(({ type }) => type === "register") as Effect;
  const calm = step(begin(failing(edited, "register", "refused", 0), effect), { type: "done", effect }, at(0));
  expect(calm.claims.get(KEY)).toMatchObject({ attempt: 0, notBeforeMs: 0, error: undefined });
});

test("a session refused waits ever longer, as a claim does", () => {
  let state = startSync(LIMITS, 0);
  const waits: number[] = [];
  for (let nowMs = 0; waits.length < 4; nowMs = state.notBeforeMs) {
    state = failing(state, "openSession", "refused", nowMs);
    waits.push(state.notBeforeMs - nowMs);
  }
  // The server's refusal is an answer, so earlier failures are not a reason to wait.
  expect(waits).toEqual([750, 1_500, 3_000, 6_000]);
});

test("heartbeats and full syncs come up to a tenth of their period early or late, at random", () => {
  const after = (chance: number) => {
    const server = new Server();
    let state = startSync(LIMITS, 0, "s1");
    server.sessions.add("s1");
    for (let round = 0; round < 3; round++) {
      const decided = decide(state, 0);
      state = decided.state;
      for (const effect of decided.effects) {
        const answer = server.answer(effect, () => REGISTRATION);
        state = step(begin(state, effect), answer, { nowMs: 0, chance });
      }
    }
    return state.heartbeatAtMs;
  };
  expect([after(0), after(0.5), after(1)].map(Math.round)).toEqual([9_000, 10_000, 11_000]);
});

test("a full sync is due one period, give or take a tenth, after the last of its services was inspected", () => {
  const { state } = claimed();
  const second = settle(claim(state, { name: { ...NAME, service: "api" } }), new Server(), 0);
  const due = decide({ ...second, heartbeatAtMs: 1e9 }, second.fullSyncAtMs);
  const inspections = due.effects.filter((one) => one.type === "inspect");
  expect(inspections.map(({ service }) => service).toSorted()).toEqual(["api", "web"]);
  let next = inspections.reduce(begin, due.state);
  const startedMs = second.fullSyncAtMs;
  // Nothing else begins while one is under way.
  expect(typesOf(next, startedMs + 1)).toEqual([]);
  const [first, last] = inspections as [Effect, Effect];
  next = step(next, { type: "done", effect: first, instances: [] }, { nowMs: startedMs + 5, chance: 0 });
  expect(next.fullSyncAtMs).toBe(startedMs + LIMITS.fullSyncMs);
  next = step(next, { type: "done", effect: last, instances: [] }, { nowMs: startedMs + 10, chance: 0 });
  expect(next.fullSyncAtMs).toBe(startedMs + 10 + 0.9 * LIMITS.fullSyncMs);
});

test("a full sync falls due to the millisecond, and at once when it is asked for", () => {
  const { state } = claimed();
  const idle = { ...state, heartbeatAtMs: 1e9 };
  expect(decide(idle, LIMITS.fullSyncMs - 1)).toMatchObject({ effects: [], wakeAtMs: LIMITS.fullSyncMs });
  const due = decide(idle, LIMITS.fullSyncMs);
  expect(due.effects).toMatchObject([{ type: "inspect", namespace: "default", service: "web" }]);
  const asked = decide(step(idle, { type: "fullSync" }, at(7)), 7);
  expect(asked.effects.map(({ type }) => type)).toEqual(["inspect"]);
  expect(asked.wakeAtMs).toBe(7 + LIMITS.fullSyncMs);
});

test("an inspection that hangs longer than the period neither starts again nor keeps the agent awake", () => {
  const { state } = claimed();
  const due = decide({ ...state, heartbeatAtMs: 1e9 }, LIMITS.fullSyncMs);
  const hanging = due.effects.reduce(begin, due.state);
  for (const nowMs of [hanging.fullSyncAtMs, hanging.fullSyncAtMs + 1])
    expect(decide(hanging, nowMs)).toMatchObject({ effects: [], wakeAtMs: 1e9 });
});

test("an inspection that is refused is given up until the next full sync, and holds up nothing", () => {
  const { state } = claimed();
  const idle = { ...state, heartbeatAtMs: 1e9 };
  const refused = failing(idle, "inspect", "refused", LIMITS.fullSyncMs);
  expect(refused).toMatchObject({ attempt: 0, notBeforeMs: 0, refusal: undefined });
  expect(refused.toInspect.size).toBe(0);
  expect([inSync(refused), refused.claims]).toEqual([true, state.claims]);
  expect(decide(refused, LIMITS.fullSyncMs)).toMatchObject({ effects: [], wakeAtMs: 2 * LIMITS.fullSyncMs });
});

test("an inspection touches what is claimed of its service in its namespace, and no other claim", () => {
  const others = [
    { ...NAME, service: "api" },
    { ...NAME, namespace: "staging" },
  ];
  const { state, server } = claimed();
  const settled = settle(
    others.reduce((known, name) => claim(known, { name }), state),
    server,
    0,
  );
  const due = decide({ ...settled, heartbeatAtMs: 1e9 }, LIMITS.fullSyncMs);
  const inspect = due.effects.find((one) => one.type === "inspect" && one.service === "web") as Effect;
  for (const answer of [
    { type: "done", effect: inspect, instances: [] },
    // A service that is not there has no instances.
    { type: "failed", effect: inspect, failure: "missing", detail: "" },
  ] as const) {
    const looked = step(begin(due.state, inspect), answer, at(LIMITS.fullSyncMs));
    const marks = [NAME, ...others].map((name) => syncMarkOf(looked.claims.get(claimKeyOf(name)) as never));
    expect(marks).toEqual(["changed", "inSync", "inSync"]);
  }
});

test("an inspection leaves alone what a call is under way for", () => {
  const { state, server } = claimed();
  const due = decide({ ...state, heartbeatAtMs: 1e9 }, LIMITS.fullSyncMs);
  const [inspect] = due.effects as [Effect];
  const stray = { ...NAME, id: "stray" };
  server.put(claimKeyOf(stray), stray, REGISTRATION, state.session ?? "");
  const answer = server.answer(inspect, () => REGISTRATION);
  const removed = step(begin(due.state, inspect), answer, at(LIMITS.fullSyncMs));
  expect(syncMarkOf(removed.claims.get(claimKeyOf(stray)) as never)).toBe("deleted");
  expect(decide(removed, LIMITS.fullSyncMs).effects).toMatchObject([{ type: "deregister", name: stray }]);
  const underWay = { type: "deregister", key: claimKeyOf(stray), name: stray, incarnation: 0 } as const;
  const busy = step(begin(begin(due.state, inspect), underWay), answer, at(LIMITS.fullSyncMs));
  expect(busy.claims.has(claimKeyOf(stray))).toBe(false);
  // Our own, of which the answer knows nothing yet.
  const report = {
    type: "report",
    key: KEY,
    name: NAME,
    check: "up",
    status: "passing",
    output: "",
    version: 1,
  } as const;
  const none = { type: "done", effect: inspect, instances: [] } as const;
  const reporting = step(begin(begin(due.state, inspect), report), none, at(LIMITS.fullSyncMs));
  expect(syncMarkOf(reporting.claims.get(KEY) as never)).toBe("inSync");
});

test("an instance that an earlier run left at the server is removed there, unless it is claimed by now", () => {
  const { state } = claimed();
  expect(step(state, { type: "leftover", name: NAME }, at(0))).toBe(state);
  const left = { ...NAME, id: "old" };
  const found = step(state, { type: "leftover", name: left }, at(0));
  expect(decide(found, 0).effects).toEqual([{ type: "deregister", key: claimKeyOf(left), name: left, incarnation: 0 }]);
  const refused = failing(found, "deregister", "refused", 0);
  expect(refused.claims.get(claimKeyOf(left))).toMatchObject({ notBeforeMs: 750, error: "no" });
  // Never by force: what claims to be newer there stays.
  const newer = failing(found, "deregister", "outdated", 0, { incarnation: 9 });
  expect(decide(newer, 1e6).effects.filter(({ type }) => type === "deregister")).toEqual([]);
  // A session that ends takes it along.
  const lost = failing({ ...found, heartbeatAtMs: 0 }, "heartbeat", "session", 0);
  const opened = step(lost, { type: "done", effect: { type: "openSession", key: "session" }, session: "s2" }, at(0));
  expect([...opened.claims.keys()]).toEqual([KEY]);
});

test("a verdict on an instance that the server does not have registers the instance again", () => {
  const { state, server } = claimed();
  server.instances.clear();
  const failed = failing(verdict(state, "passing"), "report", "missing", 0);
  expect(decide(failed, 0).effects).toMatchObject([
    { type: "register", key: KEY, verdicts: [{ check: "up", status: "passing" }] },
  ]);
  expect(inSync(settle(failed, server, 0))).toBe(true);
  expect(server.instances.get(KEY)?.checks[0]?.status).toBe("passing");
});

test("a verdict that changes while its report is under way is reported again", () => {
  const { state } = claimed();
  const passing = verdict(state, "passing");
  const [report] = decide(passing, 0).effects as [Effect];
  expect(report).toMatchObject({ type: "report", status: "passing", version: 1 });
  const changed = verdict(begin(passing, report), "critical");
  const answered = step(changed, { type: "done", effect: report }, at(0));
  expect(decide(answered, 0).effects).toMatchObject([{ type: "report", status: "critical", version: 2 }]);
  // Not of a claim that is to be registered again, for the server may have forgotten the verdict with it.
  const edited = claim(begin(passing, report), { port: 81 });
  expect(step(edited, { type: "done", effect: report }, at(0)).claims.get(KEY)?.verdicts.get("up")).toMatchObject({
    reportedVersion: 0,
  });
});

test("a yes under a session that is no longer ours, or to a check that is gone, changes nothing", () => {
  const { state } = claimed();
  const edited = claim(state, { port: 81 });
  const register = decide(edited, 0).effects.find(({ type }) => type === "register") as Effect;
  const opened = step(
    begin(edited, register),
    { type: "done", effect: { type: "openSession", key: "session" }, session: "s2" },
    at(0),
  );
  const answered = step(opened, { type: "done", effect: register }, at(0));
  expect(answered.claims).toEqual(opened.claims);
  expect(decide(answered, 0).effects).toMatchObject([{ type: "register", session: "s2" }]);
  const gone = {
    type: "report",
    key: KEY,
    name: NAME,
    check: "gone",
    status: "passing",
    output: "",
    version: 1,
  } as const;
  expect(step(begin(state, gone), { type: "done", effect: gone }, at(0)).claims).toEqual(state.claims);
});

test("the answer to a claim that was withdrawn and made again meanwhile does not pass for the new one", () => {
  const { state } = claimed();
  const edited = claim(state, { port: 81 });
  const register = decide(edited, 0).effects.find(({ type }) => type === "register") as Effect;
  const withdrawn = step(begin(edited, register), { type: "withdraw", key: KEY }, at(0));
  const again = claim(withdrawn, { port: 82 });
  const answered = step(again, { type: "done", effect: register }, at(0));
  expect(decide(answered, 0).effects).toMatchObject([{ type: "register", registration: { port: 82 } }]);
});

test("a repeated verdict changes nothing, nor does one on an unknown check or claim", () => {
  const { state, server } = claimed();
  const settled = settle(verdict(state, "passing"), server, 0);
  expect(inSync(verdict(settled, "passing"))).toBe(true);
  expect(verdict(settled, "critical", "other")).toEqual(settled);
  expect(inSync(verdict(settled, "critical"))).toBe(false);
  const withdrawn = step(settled, { type: "withdraw", key: KEY }, at(0));
  expect(verdict(withdrawn, "critical")).toEqual(withdrawn);
});

test("a claim that the server evicted is claimed again once all its checks are known and none is critical", () => {
  const checks = ["up", "deep"].map((id) => ({ id, type: "http" as const }));
  const { state } = claimed(0, { ...REGISTRATION, checks });
  const edited = step(
    state,
    { type: "claim", name: NAME, registration: { ...REGISTRATION, checks, port: 81 }, incarnation: 1 },
    at(0),
  );
  const evicted = failing(edited, "register", "outdated", 0, { evicted: true });
  expect([typesOf(evicted, 1e6).includes("register"), inSync(evicted)]).toEqual([false, false]);
  for (const known of [verdict(evicted, "passing"), verdict(verdict(evicted, "passing"), "critical", "deep")])
    expect(typesOf(known, 0)).toEqual([]);
  const well = verdict(verdict(evicted, "passing"), "warning", "deep");
  expect(decide(well, 0).effects).toMatchObject([{ type: "register", incarnation: 2 }]);
  expect(well.claims.get(KEY)).toMatchObject({ evicted: false, error: undefined });
  // A refusal that does not mention an eviction means a deliberate deregistration, which remains.
  const removed = failing(edited, "register", "outdated", 0);
  expect([inSync(removed), typesOf(verdict(verdict(removed, "passing"), "passing", "deep"), 0)]).toEqual([true, []]);
  // Refused once more as outdated, it is made newer still.
  const again = failing(well, "register", "outdated", 0, { incarnation: 7 });
  expect(decide(again, 0).effects).toMatchObject([{ type: "register", incarnation: 8 }]);
  const behind = failing(well, "register", "outdated", 0);
  expect(decide(behind, 0).effects).toMatchObject([{ type: "register", incarnation: 3 }]);
});

test("a claim said again in the same words changes nothing; a check that is gone takes its verdict along", () => {
  const { state, server } = claimed();
  const settled = settle(verdict(state, "passing"), server, 0);
  expect(claim(settled).claims).toBe(settled.claims);
  const registration = { ...REGISTRATION, checks: [{ id: "other", type: "http" as const }] };
  const moved = step(settled, { type: "claim", name: NAME, registration, incarnation: 1 }, at(0));
  expect([...(moved.claims.get(KEY)?.verdicts.keys() ?? [])]).toEqual([]);
  // The verdict of a check that stays is reported again, since the server forgets it when the target moved.
  const kept = settle(claim(settled, { port: 81 }), server, 0);
  expect(inSync(kept)).toBe(true);
  expect(claim(settled, { port: 81 }).claims.get(KEY)?.verdicts.get("up")).toMatchObject({ reportedVersion: 0 });
});

test("a TTL check's renewal is counted from its last report, and wakes the agent then", () => {
  const ttl: LocalRegistration = { ...REGISTRATION, checks: [{ id: "up", type: "ttl", ttlSeconds: 4 }] };
  const { state, server } = claimed(0, ttl);
  const reported = settle(verdict(state, "passing"), server, 500);
  expect(decide(reported, 2_499)).toMatchObject({ effects: [], wakeAtMs: 2_500 });
  expect(typesOf(reported, 2_500)).toEqual(["report"]);
  expect(decide(settle(reported, server, 2_500), 2_500)).toMatchObject({ effects: [], wakeAtMs: 4_500 });
  // A check that runs here is reported when it changes, and never renewed.
  const { state: http } = claimed();
  expect(decide(settle(verdict(http, "passing"), new Server(), 0), 9_999).effects).toEqual([]);
});

test("a session that the server gives starts with nothing known to be there", () => {
  const { state } = claimed();
  expect(state.served).toEqual(new Set(["default/web"]));
  const opened = step(state, { type: "done", effect: { type: "openSession", key: "session" }, session: "s2" }, at(0));
  expect(opened.served.size).toBe(0);
  expect([opened.session, inSync(opened)]).toEqual(["s2", false]);
  expect(inSync(startSync(LIMITS, 0))).toBe(false);
  expect(inSync(startSync(LIMITS, 0, "s1"))).toBe(true);
});
