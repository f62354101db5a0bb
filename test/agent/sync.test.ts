/** Anti-entropy: by example, and by a property over any order of cuts, errors and edits. */
import * as fc from "fast-check";
import { expect, test } from "vitest";
import type { HealthResult } from "#health";
import type { LocalRegistration } from "../../agent/api.ts";
import { claimKeyOf, syncMarkOf } from "../../agent/core/local-state.ts";
import { decide } from "../../agent/core/decide.ts";
import { begin, inSync, startSync, type Effect, type SyncEvent, type SyncState } from "../../agent/core/sync-state.ts";
import { step } from "../../agent/core/sync.ts";
import { at, claimed, KEY, LIMITS, NAME, REGISTRATION, Server, settle } from "./sync-kit.ts";

test("a claim is registered under a session, and its verdict follows", () => {
  const { state, server } = claimed();
  expect(inSync(state)).toBe(true);
  const judged = step(state, { type: "verdict", key: KEY, check: "up", status: "passing", output: "" }, at(1));
  expect(inSync(judged)).toBe(false);
  expect(inSync(settle(judged, server, 1))).toBe(true);
  expect(server.instances.get(KEY)?.checks[0]?.status).toBe("passing");
});

test("a registration carries what was found before, but of TTL checks, which pass by reports", () => {
  const ttl = { id: "alive", type: "ttl", ttlSeconds: 10 } as const;
  let { state } = claimed(0, { ...REGISTRATION, checks: [...(REGISTRATION.checks ?? []), ttl] });
  for (const check of ["up", "alive"]) {
    state = step(state, { type: "verdict", key: KEY, check, status: "passing", output: "" }, at(1));
  }
  const heartbeat = { type: "heartbeat", key: "session", session: state.session ?? "" } as const;
  state = step(state, { type: "failed", effect: heartbeat, failure: "session", detail: "lapsed" }, at(2));
  state = step(state, { type: "done", effect: { type: "openSession", key: "session" }, session: "s9" }, at(3));
  expect(decide(state, 3).effects).toMatchObject([
    { type: "register", session: "s9", verdicts: [{ check: "up", status: "passing" }] },
  ]);
});

test("nothing is sent while nothing changes and nothing is due", () => {
  const { state } = claimed();
  const { effects, wakeAtMs } = decide(state, 1_000);
  expect(effects).toEqual([]);
  expect(wakeAtMs).toBe(10_000);
});

test("a session is renewed after a third of its time", () => {
  const { state } = claimed();
  expect(decide(state, 10_001).effects.map(({ type }) => type)).toEqual(["heartbeat"]);
});

test("a lapsed session has everything registered again, with its verdicts", () => {
  const { state, server } = claimed();
  const judged = settle(
    step(state, { type: "verdict", key: KEY, check: "up", status: "warning", output: "" }, at(1)),
    server,
    1,
  );
  server.lapse();
  const after = settle(judged, server, 20_000);
  expect(inSync(after)).toBe(true);
  expect(server.instances.get(KEY)).toMatchObject({ session: after.session, checks: [{ status: "warning" }] });
});

test("a full sync restores instances that another client altered, removed or left over", () => {
  const { state, server } = claimed();
  const session = state.session ?? "";
  server.put(KEY, NAME, { ...REGISTRATION, port: 81 }, session);
  const stray = { ...NAME, id: "stray" };
  server.put(claimKeyOf(stray), stray, REGISTRATION, session);
  const altered = settle(state, server, 70_000);
  expect([...server.instances.values()].map(({ id, port }) => [id, port])).toEqual([["web-1", 80]]);
  server.instances.clear();
  settle(altered, server, 140_000);
  expect(server.instances.get(KEY)?.port).toBe(80);
});

test("a registration that arrives after its claim was taken back is found, though nothing else is claimed there", () => {
  const { state, server } = claimed();
  const withdrawn = settle(step(state, { type: "withdraw", key: KEY }, at(1)), server, 1);
  server.put(KEY, NAME, REGISTRATION, state.session ?? "");
  settle(withdrawn, server, 70_000);
  expect([...server.instances.keys()]).toEqual([]);
});

test("the server's yes to a claim is not its yes to the one made since, whatever our clock says", () => {
  const { state } = claimed();
  let next = step(state, { type: "claim", name: NAME, registration: REGISTRATION, incarnation: 9 }, at(1));
  const [sent] = decide(next, 1).effects;
  next = begin(next, sent as Effect);
  next = step(next, { type: "claim", name: NAME, registration: REGISTRATION, incarnation: 4 }, at(2));
  next = step(next, { type: "done", effect: sent as Effect }, at(3));
  const [again] = decide(next, 3).effects;
  expect(again).toMatchObject({ type: "register", incarnation: 4 });
  next = begin(next, again as Effect);
  const refusal = { failure: "outdated", detail: "9 is newer", incarnation: 9 } as const;
  next = step(next, { type: "failed", effect: again as Effect, ...refusal }, at(4));
  expect(decide(next, 4).effects).toMatchObject([{ type: "register", incarnation: 10 }]);
});

test.each([
  [false, true],
  [true, false],
])("a claim taken back at the server, evicted %s, is in sync %s until it is made again", (evicted, expected) => {
  const { state } = claimed();
  const judged = step(
    step(state, { type: "claim", name: NAME, registration: { ...REGISTRATION, port: 81 }, incarnation: 1 }, at(1)),
    { type: "verdict", key: KEY, check: "up", status: "passing", output: "" },
    at(1),
  );
  const [effect] = decide(judged, 1).effects;
  const detail = "claim it with an incarnation above 1783";
  const refusal = { type: "failed", effect: effect as Effect, failure: "outdated", detail, evicted } as const;
  const refused = step(begin(judged, effect as Effect), refusal, at(2));
  expect([inSync(refused), decide(refused, 3).effects]).toEqual([expected, []]);
  const { error } = refused.claims.get(KEY) ?? {};
  if (evicted) expect(error).toBe(detail);
  else expect(error).toMatch(/deregistered .* PUT \/v1\/agent\/services\/web-1 /);
  expect(error?.includes("1783")).toBe(evicted);
  const again = step(refused, { type: "claim", name: NAME, registration: REGISTRATION, incarnation: 2 }, at(4));
  expect([inSync(again), decide(again, 4).effects]).toMatchObject([false, [{ type: "register", incarnation: 2 }]]);
});

test("a verdict that differs at the server is reported again", () => {
  const { state, server } = claimed();
  const event = { type: "verdict", key: KEY, check: "up", status: "passing", output: "" } as const;
  const judged = settle(step(state, event, at(1)), server, 1);
  const [check] = server.instances.get(KEY)?.checks ?? [];
  if (check) check.status = "critical";
  settle(judged, server, 70_000);
  expect(server.instances.get(KEY)?.checks[0]?.status).toBe("passing");
});

test("an instance that another agent holds in the same service is left alone", () => {
  const { state, server } = claimed();
  const other = { ...NAME, id: "theirs" };
  server.put(claimKeyOf(other), other, REGISTRATION, "their-session");
  settle(state, server, 70_000);
  expect(server.instances.has(claimKeyOf(other))).toBe(true);
});

test("an instance drained at the server stays drained: the host takes it over", () => {
  const { state, server } = claimed();
  const session = state.session ?? "";
  server.put(KEY, NAME, { ...REGISTRATION, lifecycle: "draining" as const }, session);
  const after = settle(state, server, 70_000);
  expect(after.claims.get(KEY)?.registration.lifecycle).toBe("draining");
  expect(server.instances.get(KEY)?.lifecycle).toBe("draining");
});

test("a weight that was changed at the server stays: the host takes it over", () => {
  const { state, server } = claimed();
  server.put(KEY, NAME, { ...REGISTRATION, weight: 7 }, state.session ?? "");
  const after = settle(state, server, 70_000);
  expect(after.claims.get(KEY)?.registration.weight).toBe(7);
  expect(server.instances.get(KEY)?.weight).toBe(7);
});

test("an answer from before an edit does not undo the edit", () => {
  const { state, server } = claimed();
  const due = decide(state, 70_000);
  const inspect = due.effects.find(({ type }) => type === "inspect") as Effect;
  const stale = server.answer(inspect, () => REGISTRATION);
  let next = begin(due.state, inspect);
  const drained = { ...REGISTRATION, lifecycle: "draining" as const };
  next = step(next, { type: "claim", name: NAME, registration: drained, incarnation: 1 }, at(70_000));
  const register = decide(next, 70_000).effects.find(({ type }) => type === "register") as Effect;
  next = begin(next, register);
  next = step(
    next,
    server.answer(register, () => drained),
    at(70_000),
  );
  next = step(next, stale, at(70_000));
  expect(next.claims.get(KEY)?.registration.lifecycle).toBe("draining");
});

test("the answer to an older registration does not pass for a newer one", () => {
  const server = new Server();
  let state = settle(startSync(LIMITS, 0), server, 0);
  state = step(state, { type: "claim", name: NAME, registration: REGISTRATION, incarnation: 1 }, at(0));
  const [first] = decide(state, 0).effects;
  state = begin(state, first as Effect);
  state = step(
    state,
    { type: "claim", name: NAME, registration: { ...REGISTRATION, port: 81 }, incarnation: 1 },
    at(0),
  );
  expect(decide(state, 0).effects).toEqual([]);
  state = step(state, { type: "done", effect: first as Effect }, at(0));
  const claim = state.claims.get(KEY);
  expect(claim && syncMarkOf(claim)).toBe("changed");
});

test("while the server is away one call at a time feels the way, ever less often", () => {
  let state = startSync(LIMITS, 0, "s1");
  for (let i = 0; i < 50; i++) {
    const name = { ...NAME, id: `web-${i}` };
    state = step(state, { type: "claim", name, registration: REGISTRATION, incarnation: 1 }, at(0));
  }
  const waits: number[] = [];
  let nowMs = 0;
  for (let i = 0; i < 8; i++) {
    const { effects } = decide(state, nowMs);
    if (i > 0) expect(effects).toHaveLength(1);
    for (const effect of effects) state = begin(state, effect);
    for (const effect of effects) {
      state = step(state, { type: "failed", effect, failure: "away", detail: "refused" }, at(nowMs));
    }
    const { effects: none, wakeAtMs } = decide(state, nowMs);
    expect(none).toEqual([]);
    waits.push(wakeAtMs - nowMs);
    nowMs = wakeAtMs;
  }
  expect(Math.max(...waits)).toBeLessThanOrEqual(5_000);
  expect(waits.at(-1)).toBeGreaterThanOrEqual(2_500);
});

test("a server that comes back gets a call from the agent within a third of its session, however short that is", () => {
  let state = startSync({ ...LIMITS, sessionTtlMs: 3_000 }, 0, "s1");
  const heartbeat = { type: "heartbeat", key: "session", session: "s1" } as const;
  for (let nowMs = 0, tries = 0; tries < 20; tries++) {
    state = step(
      begin(state, heartbeat),
      { type: "failed", effect: heartbeat, failure: "away", detail: "" },
      at(nowMs),
    );
    const { wakeAtMs } = decide(state, nowMs);
    expect(wakeAtMs - nowMs).toBeLessThanOrEqual(1_000);
    nowMs = wakeAtMs;
  }
});

test("a session refused is tried ever less often and says why, until it is granted", () => {
  let state = startSync(LIMITS, 0);
  const [open] = decide(state, 0).effects as [Effect];
  state = step(begin(state, open), { type: "failed", effect: open, failure: "refused", detail: "no right" }, at(0));
  expect(state).toMatchObject({ refusal: "no right", connected: true });
  expect(decide(state, 0)).toMatchObject({ effects: [], wakeAtMs: 750 });
  expect(settle(state, new Server(), 750)).toMatchObject({ refusal: undefined, session: "s1" });
});

test("one refused service holds up no other, and says why", () => {
  const { state } = claimed();
  let next = step(
    state,
    { type: "claim", name: NAME, registration: { ...REGISTRATION, port: 81 }, incarnation: 1 },
    at(1),
  );
  next = step(
    next,
    { type: "claim", name: { ...NAME, id: "web-2" }, registration: REGISTRATION, incarnation: 1 },
    at(1),
  );
  const [first, second] = decide(next, 1).effects;
  next = begin(begin(next, first as Effect), second as Effect);
  next = step(next, { type: "failed", effect: first as Effect, failure: "refused", detail: "full" }, at(1));
  next = step(next, { type: "done", effect: second as Effect }, at(1));
  expect(next.claims.get(KEY)).toMatchObject({ error: "full", attempt: 1 });
  expect(decide(next, 1).effects).toEqual([]);
  expect(decide(next, 2_000).effects.map(({ key }) => key)).toEqual([KEY]);
});

test("a TTL check that passes is renewed at the server before it expires; one that fails is not", () => {
  const ttl: LocalRegistration = { address: "127.0.0.1", port: 80, checks: [{ id: "up", type: "ttl", ttlSeconds: 4 }] };
  const { state, server } = claimed(0, ttl);
  const passing = settle(
    step(state, { type: "verdict", key: KEY, check: "up", status: "passing", output: "" }, at(0)),
    server,
    0,
  );
  expect(decide(passing, 1_000)).toMatchObject({ effects: [], wakeAtMs: 2_000 });
  expect(decide(passing, 2_000).effects).toMatchObject([{ type: "report", status: "passing" }]);
  const critical = settle(
    step(passing, { type: "verdict", key: KEY, check: "up", status: "critical", output: "" }, at(2_000)),
    server,
    2_000,
  );
  expect(decide(critical, 9_000).effects).toEqual([]);
});

/** One thing that may happen. */
const ids = fc.constantFrom("a", "b", "c");
const action = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({ do: fc.constant("claim" as const), id: ids, port: fc.integer({ min: 1, max: 3 }) }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("withdraw" as const), id: ids }) },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant("verdict" as const),
      id: ids,
      status: fc.constantFrom<HealthResult>("passing", "warning", "critical"),
    }),
  },
  { weight: 8, arbitrary: fc.record({ do: fc.constant("send" as const) }) },
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constant("answer" as const),
      which: fc.nat(20),
      how: fc.constantFrom("ok", "ok", "ok", "ok", "ok", "lost answer", "lost request", "refused"),
    }),
  },
  { weight: 4, arbitrary: fc.record({ do: fc.constant("wait" as const), ms: fc.integer({ min: 1, max: 40_000 }) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("lapse" as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("alter" as const), id: ids }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("remove" as const), id: ids }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("misjudge" as const), id: ids }) },
);

test("whatever was cut, lost, refused or edited, after a quiet period the server has exactly what the host claims", () => {
  fc.assert(
    fc.property(fc.array(action, { minLength: 60, maxLength: 240 }), (actions) => {
      const server = new Server();
      let nowMs = 0;
      let state = startSync(LIMITS, nowMs);
      const underWay: Effect[] = [];
      const name = (id: string) => ({ ...NAME, id });
      const registered = (effect: Effect & { type: "register" }) => effect.registration;
      for (const one of actions) {
        const moment = { nowMs, chance: 0.5 };
        if (one.do === "claim") {
          const registration = { ...REGISTRATION, port: one.port };
          state = step(state, { type: "claim", name: name(one.id), registration, incarnation: 1 }, moment);
        } else if (one.do === "withdraw")
          state = step(state, { type: "withdraw", key: claimKeyOf(name(one.id)) }, moment);
        else if (one.do === "verdict") {
          const { status } = one;
          state = step(
            state,
            { type: "verdict", key: claimKeyOf(name(one.id)), check: "up", status, output: "" },
            moment,
          );
        } else if (one.do === "wait") nowMs += one.ms;
        else if (one.do === "lapse") server.lapse();
        else if (one.do === "alter") {
          const found = server.instances.get(claimKeyOf(name(one.id)));
          if (found)
            server.put(claimKeyOf(name(one.id)), name(one.id), { ...REGISTRATION, port: 99 }, found.session ?? "");
        } else if (one.do === "remove") server.instances.delete(claimKeyOf(name(one.id)));
        else if (one.do === "misjudge") {
          for (const check of server.instances.get(claimKeyOf(name(one.id)))?.checks ?? []) check.status = "critical";
        } else if (one.do === "send") {
          const decided = decide(state, nowMs);
          state = decided.state;
          for (const effect of decided.effects) {
            state = begin(state, effect);
            underWay.push(effect);
          }
        } else if (underWay.length > 0) {
          const [effect] = underWay.splice(one.which % underWay.length, 1) as [Effect];
          const failed = (failure: "away" | "refused"): SyncEvent => ({ type: "failed", effect, failure, detail: "" });
          const answer = one.how === "ok" || one.how === "lost answer" ? server.answer(effect, registered) : undefined;
          if (one.how === "ok") state = step(state, answer as SyncEvent, moment);
          else state = step(state, failed(one.how === "refused" ? "refused" : "away"), moment);
        }
      }
      // The quiet spell: what is under way gets its answer, then time passes over two full syncs.
      for (const effect of underWay) state = step(state, server.answer(effect, registered), at(nowMs));
      for (let i = 0; i < 30; i++) state = settle(state, server, (nowMs += 10_000));
      const held = [...server.instances.values()].filter(({ session }) => session === state.session);
      const seen = held.map(({ id, port, checks }) => `${id} ${port} ${checks[0]?.status}`);
      // A check that was never judged here has whatever status it has there.
      const said = [...state.claims.values()].map(({ name, registration, verdicts }) => {
        const there = server.instances.get(claimKeyOf(name))?.checks[0]?.status;
        return `${name.id} ${registration.port} ${verdicts.get("up")?.status ?? there}`;
      });
      expect(new Set(seen)).toEqual(new Set(said));
      expect(inSync(state)).toBe(true);
    }),
    { numRuns: 500 },
  );
});

test("the failure of a call of an older session does not affect the current one", () => {
  const { state, server } = claimed();
  const old = { type: "heartbeat", key: "session", session: "s0" } as const;
  const register = {
    type: "register",
    key: KEY,
    name: NAME,
    registration: REGISTRATION,
    incarnation: 1,
    session: "s0",
    version: 1,
    verdicts: [],
  } as const;
  for (const effect of [old, register]) {
    const after = step(begin(state, effect), { type: "failed", effect, failure: "session", detail: "lapsed" }, at(1));
    expect([after.session, inSync(after), decide(after, 1).effects]).toEqual([state.session, true, []]);
  }
  // Neither does its success.
  const renewed = step(begin(state, old), { type: "done", effect: old }, at(5_000));
  expect(renewed.heartbeatAtMs).toBe(state.heartbeatAtMs);
  // The current session is given up when its own call fails.
  const own = { ...old, session: state.session ?? "" };
  const lost = step(begin(state, own), { type: "failed", effect: own, failure: "session", detail: "lapsed" }, at(1));
  expect([lost.session, inSync(lost)]).toEqual([undefined, false]);
  server.lapse();
  expect(inSync(settle(lost, server, 1))).toBe(true);
});

test("after a foreign write without a visible change the agent registers again, since how checks run is not visible", () => {
  const { state, server } = claimed();
  const looked = settle(step(state, { type: "fullSync" }, at(1)), server, 1);
  const registered = () => server.instances.get(KEY)?.modRevision ?? 0;
  const revision = registered();
  // Nothing was written since, so nothing is sent.
  const again = settle(step(looked, { type: "fullSync" }, at(2)), server, 2);
  expect(registered()).toBe(revision);
  server.put(KEY, NAME, REGISTRATION, state.session ?? "");
  expect(registered()).toBe(revision + 1);
  const after = settle(step(again, { type: "fullSync" }, at(3)), server, 3);
  expect([registered(), inSync(after)]).toEqual([revision + 2, true]);
});

test("a claim that was taken back and is made again is registered again, whether or not the server had let go", () => {
  const claimAgain = (state: SyncState) =>
    step(state, { type: "claim", name: NAME, registration: REGISTRATION, incarnation: 1 }, at(3));
  const { state, server } = claimed();
  const withdrawn = step(state, { type: "withdraw", key: KEY }, at(1));
  expect(syncMarkOf(withdrawn.claims.get(KEY) as never)).toBe("deleted");
  const gone = settle(withdrawn, server, 2);
  expect([server.instances.size, gone.claims.size]).toEqual([0, 0]);
  expect(inSync(settle(claimAgain(gone), server, 3))).toBe(true);
  expect(server.instances.has(KEY)).toBe(true);
  // Before the deregistration is sent.
  const early = claimAgain(step(settle(claimAgain(gone), server, 3), { type: "withdraw", key: KEY }, at(4)));
  expect(syncMarkOf(early.claims.get(KEY) as never)).toBe("changed");
  // While it is being sent: the answer to the old call does not undo the new claim.
  const [effect] = decide(withdrawn, 2).effects as [Effect];
  expect(effect.type).toBe("deregister");
  const under = claimAgain(begin(withdrawn, effect));
  expect(decide(under, 3).effects).toEqual([]);
  server.instances.delete(KEY);
  for (const answer of [
    { type: "done", effect },
    { type: "failed", effect, failure: "missing", detail: "gone" },
  ] as const) {
    const after = step(under, answer, at(4));
    expect([syncMarkOf(after.claims.get(KEY) as never), inSync(after)]).toEqual(["changed", false]);
    expect(inSync(settle(after, server, 4))).toBe(true);
    expect(server.instances.delete(KEY)).toBe(true);
  }
});
