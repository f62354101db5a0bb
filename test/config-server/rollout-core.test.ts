/** The core of gradual releases: who is selected, what a gate waits for, and what must hold in every run of one. */
import { createHash } from "node:crypto";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Identity, Labels, RolloutRequest, SetName } from "#config-server/api";
import { judge, type Observed, type Seen, type StageVerdict } from "../../config-server/core/gate.ts";
import { identityOf, identityText, parseLabels, sharePlaceOf, selects } from "../../config-server/core/identity.ts";
import { LiveConfig, type Pointer } from "../../config-server/core/live.ts";
import {
  begin,
  planned,
  stageOf,
  step,
  type LiveRecord,
  type Rollout,
  type Step,
} from "../../config-server/core/rollout.ts";
import { followersOf, framesAfter, topicOf } from "../../config-server/core/watch-frames.ts";

const hash = (text: string) => createHash("sha256").update(text).digest("hex");
const NAME: SetName = { namespace: "default", app: "orders", profile: "default" };
const TALLY = { reached: 0, applied: 0, failures: [] };
const NOW = Date.parse("2026-01-01T00:00:00Z");

const name = fc.stringMatching(/^[a-z][a-z0-9]{0,5}$/);
const labels: fc.Arbitrary<Labels> = fc.dictionary(name, fc.constantFrom("a", "b"), { maxKeys: 3 });
const identity: fc.Arbitrary<Identity> = fc.record({ instance: name, labels });
const gate = { holdSeconds: fc.integer({ min: 0, max: 30 }), ackTimeoutSeconds: fc.integer({ min: 1, max: 30 }) };
const request: fc.Arbitrary<RolloutRequest> = fc.record({
  stages: fc
    .array(
      fc.oneof(
        fc.record({ labels: labels.filter((one) => Object.keys(one).length > 0), ...gate }),
        fc.record({ instances: fc.array(name, { minLength: 1, maxLength: 3 }), ...gate }),
        fc.record({ percent: fc.integer({ min: 1, max: 100 }), ...gate }),
      ),
      { minLength: 1, maxLength: 4 },
    )
    .map((stages) => {
      const shares = stages.flatMap((one) => ("percent" in one ? [one.percent] : [])).sort((a, b) => a - b);
      return stages.map((one) => ("percent" in one ? { ...one, percent: shares.shift() as number } : one));
    }),
  everybody: fc.record(gate),
});

function begun(asked: RolloutRequest): LiveRecord & { readonly rollout: Rollout } {
  const rollout = begin(planned(asked, "orders"), {
    version: 2,
    hash: "two",
    author: "ann",
    reason: "",
    critical: [],
    nowMs: NOW,
  });
  return { version: 1, hash: "one", latest: 2, rollout };
}

const context = (nowMs = NOW) => ({ because: "so", nowMs, tally: TALLY, critical: [] });

describe("the selected instances", () => {
  test("an identity has one spelling, whatever the order of its labels, and is read back from it", () => {
    fc.assert(
      fc.property(identity, (who) => {
        const shuffled = { ...who, labels: Object.fromEntries(Object.entries(who.labels).toReversed()) };
        expect(identityText(shuffled)).toBe(identityText(who));
        expect(identityOf(identityText(who))).toEqual(who);
      }),
    );
  });

  test.each(["a", "=b", "a=", "a=b c", "a=b,b", "a=1,a=2"])("%j are not valid labels", (text) => {
    expect(() => parseLabels([text])).toThrow(expect.objectContaining({ code: "CONFIG_IDENTITY_INVALID" }));
  });

  test("an instance in a share is in every larger share, at any time and on any member", () => {
    fc.assert(
      fc.property(
        fc.string(),
        name,
        fc.integer({ min: 1, max: 100 }),
        fc.integer({ min: 0, max: 99 }),
        (salt, id, p, q) => {
          const who = { instance: id, labels: {} };
          const place = () => sharePlaceOf(salt, id, hash);
          const small = Math.max(0.01, Math.min(p, p - q));
          if (selects({ percent: small }, who, place)) expect(selects({ percent: p }, who, place)).toBe(true);
          expect(selects({ percent: 100 }, who, place)).toBe(true);
        },
      ),
    );
  });

  test("a share of ten percent takes about a tenth of all ids, others in each rollout", () => {
    const chosen = (rollout: string) =>
      Array.from({ length: 10_000 }, (_, n) => `web-${n}`).filter((instance) =>
        selects({ percent: 10 }, { instance, labels: {} }, () => sharePlaceOf(rollout, instance, hash)),
      );
    const [first, second] = [new Set(chosen("orders@2")), new Set(chosen("orders@3"))];
    expect(first.size).toBeGreaterThan(850);
    expect(first.size).toBeLessThan(1_150);
    // Two tenths drawn apart have a hundredth in common.
    expect(first.intersection(second).size).toBeLessThan(200);
  });

  test("an instance without an id is reached by the last stage only", () => {
    fc.assert(
      fc.property(request, labels, (asked, labels) => {
        const { rollout } = begun(asked);
        expect(stageOf(rollout, { name: NAME, who: { labels }, hash })).toBe(rollout.plan.stages.length - 1);
      }),
    );
  });
});

describe("the conditions of a gate", () => {
  const { rollout } = begun({ stages: [{ instances: ["a", "b"], holdSeconds: 10, ackTimeoutSeconds: 5 }] });
  const ill = (ids: string[] = []) => new Set(ids);
  const applied = (instance: string) => ({ instance, outcome: "applied" as const });
  const silent = (instance: string) => ({ instance, outcome: undefined });
  const failed = (instance: string) => ({ instance, outcome: "failed" as const, error: "no" });

  /** Looks at these moments, in order; the verdict of the last one. */
  function lookedAt(looks: readonly (Observed & { at: number })[], of: Rollout = rollout): StageVerdict {
    let seen: Seen | undefined;
    let verdict: StageVerdict | undefined;
    for (const { at, ...observed } of looks) ({ seen, verdict } = judge(of, seen, observed, at * 1000));
    return verdict as StageVerdict;
  }

  const both = { reached: [applied("a"), applied("b")], critical: ill() };
  const one = { reached: [applied("a"), silent("b")], critical: ill() };

  test.each<[string, (Observed & { at: number })[], Partial<StageVerdict> & { why?: string; because?: string }]>([
    [
      "all have acknowledged, the hold is not over",
      [
        { at: 0, ...both },
        { at: 9.9, ...both },
      ],
      { step: "wait" },
    ],
    [
      "all have acknowledged, the hold is over",
      [
        { at: 0, ...both },
        { at: 10, ...both },
      ],
      { step: "next" },
    ],
    [
      "one is missing",
      [
        { at: 0, ...one },
        { at: 4.9, ...one },
      ],
      { step: "wait", why: "waiting for 1 of 2: b" },
    ],
    [
      "one is missing for too long",
      [
        { at: 0, ...one },
        { at: 5, ...one },
      ],
      { step: "fail" },
    ],
    [
      "a hold does not begin before all have acknowledged",
      [
        { at: 0, ...one },
        { at: 4, ...both },
        { at: 13.9, ...both },
      ],
      { step: "wait" },
    ],
    [
      "a late instance does not make the others hold again",
      [
        { at: 0, ...both },
        { at: 9, ...one },
        { at: 11, ...both },
      ],
      { step: "next" },
    ],
    [
      "a late instance is waited for",
      [
        { at: 0, ...both },
        { at: 9, ...one },
        { at: 11, ...one },
      ],
      { step: "wait" },
    ],
    [
      "a late instance that stays silent",
      [
        { at: 0, ...both },
        { at: 9, ...one },
        { at: 14, ...one },
      ],
      { step: "fail" },
    ],
    [
      "no instance is there",
      [{ at: 0, reached: [], critical: ill() }],
      { step: "wait", why: "waiting for 1 acknowledgements (0 so far)" },
    ],
    [
      "one cannot",
      [{ at: 0, reached: [applied("a"), failed("b")], critical: ill() }],
      { step: "fail", because: "b could not apply it: no" },
    ],
    [
      "one is critical",
      [
        { at: 0, ...both },
        { at: 1, ...both, critical: ill(["a"]) },
      ],
      { step: "fail" },
    ],
  ])("%s", (_when, looks, verdict) => {
    expect(lookedAt(looks)).toMatchObject(verdict);
  });

  test("a stage whose instances have all gone does not pass, whatever it asked for at least", () => {
    const { rollout } = begun({ stages: [{ percent: 50, holdSeconds: 1, ackTimeoutSeconds: 5 }] });
    const nobody = { reached: [], critical: ill() };
    expect(
      lookedAt(
        [
          { at: 0, ...nobody },
          { at: 1, ...nobody },
        ],
        rollout,
      ),
    ).toMatchObject({ step: "next" });
    expect(
      lookedAt(
        [
          { at: 0, ...both },
          { at: 0.5, ...nobody },
          { at: 2, ...nobody },
        ],
        rollout,
      ),
    ).toMatchObject({ step: "wait" });
    expect(
      lookedAt(
        [
          { at: 0, ...both },
          { at: 0.5, ...nobody },
          { at: 6, ...nobody },
        ],
        rollout,
      ),
    ).toMatchObject({ step: "fail" });
  });

  test("an instance may be critical for its grace, and no longer", () => {
    const patient: Rollout = {
      ...rollout,
      plan: { ...rollout.plan, health: { ...rollout.plan.health, graceSeconds: 3 } },
    };
    const bad = { ...both, critical: ill(["a"]) };
    expect(
      lookedAt(
        [
          { at: 0, ...bad },
          { at: 2.9, ...bad },
        ],
        patient,
      ),
    ).toMatchObject({ step: "wait" });
    expect(
      lookedAt(
        [
          { at: 0, ...bad },
          { at: 3, ...bad },
        ],
        patient,
      ),
    ).toMatchObject({ step: "fail" });
    const recovered = [
      { at: 0, ...bad },
      { at: 2, ...both },
      { at: 2.5, ...bad },
      { at: 4, ...bad },
    ];
    expect(lookedAt(recovered, patient)).toMatchObject({ step: "wait" });
    expect(
      lookedAt(
        [
          { at: 0, ...both },
          { at: 9, ...bad },
          { at: 10, ...bad },
        ],
        patient,
      ),
      "a hold does not end within it",
    ).toMatchObject({ step: "wait" });
  });

  test("as many as may be critical are", () => {
    const plan = { ...rollout.plan, health: { ...rollout.plan.health, unhealthyMax: 1 } };
    const tolerant: Rollout = { ...rollout, plan };
    expect(
      lookedAt(
        [
          { at: 0, ...both, critical: ill(["a"]) },
          { at: 10, ...both, critical: ill(["a"]) },
        ],
        tolerant,
      ),
    ).toMatchObject({ step: "next" });
    expect(lookedAt([{ at: 0, ...both, critical: ill(["a", "b"]) }], tolerant)).toMatchObject({ step: "fail" });
  });

  test("observations of another turn no longer count: the hold starts again", () => {
    const { seen } = judge(rollout, undefined, both, 0);
    expect(judge({ ...rollout, turn: 2 }, seen, both, 60_000).verdict).toMatchObject({ step: "wait" });
  });

  test("a paused rollout waits, whatever comes", () => {
    expect(
      lookedAt([{ at: 0, reached: [failed("a")], critical: ill(["a"]) }], { ...rollout, state: "paused" }),
    ).toMatchObject({ step: "wait" });
  });
});

describe("in every run", () => {
  test("a rollout without pauses ends, in the time that its gates may take", () => {
    const behaviour = fc.record({
      id: name,
      after: fc.integer({ min: 0, max: 60 }),
      fails: fc.integer({ min: 0, max: 9 }),
      leaves: fc.integer({ min: 1, max: 400 }),
    });
    fc.assert(
      fc.property(
        request,
        fc.array(behaviour, { maxLength: 5 }),
        fc.infiniteStream(fc.boolean()),
        (asked, instances, chance) => {
          let live: LiveRecord = begun(asked);
          let seen: Seen | undefined;
          let began = 0;
          const states: number[] = [];
          const longest = begun(asked).rollout.plan.stages.reduce(
            (sum, one) => sum + one.holdSeconds + one.ackTimeoutSeconds + 2,
            0,
          );
          let at = 0;
          for (; live.rollout; at++) {
            expect(at).toBeLessThanOrEqual(longest);
            const { rollout } = live;
            states.push(rollout.stage);
            const reached = instances
              .filter(
                ({ id, leaves }) =>
                  at < leaves &&
                  stageOf(rollout, { name: NAME, who: { instance: id, labels: {} }, hash }) <= rollout.stage,
              )
              // Each says something some time after the stage began; some of those that did say nothing now and then.
              .map(({ id, after, fails }) => ({
                instance: id,
                outcome:
                  at - began < after || !(chance.next().value ?? true)
                    ? undefined
                    : fails === 0
                      ? ("failed" as const)
                      : ("applied" as const),
              }));
            const found = judge(rollout, seen, { reached, critical: new Set() }, at * 1000);
            ({ seen } = found);
            if (found.verdict.step === "wait") continue;
            const before = rollout.stage;
            live = step(NAME, { ...live, rollout }, found.verdict.step, context(NOW + at * 1000)).live;
            if (live.rollout && live.rollout.stage !== before) began = at;
          }
          expect([1, 2]).toContain(live.version);
          expect(live.version === 1 ? live.latest : 2, "its number is not used again").toBe(2);
          expect(states, "stages only grow").toEqual([...states].sort((a, b) => a - b));
        },
      ),
    );
  });

  test("each instance receives either release whole, none beyond its stage, and each frame says which", () => {
    const steps = fc.array(fc.constantFrom<Step>("next", "promote", "pause", "resume", "fail", "abort", "complete"), {
      maxLength: 8,
    });
    const others = fc.uniqueArray(identity, { minLength: 1, maxLength: 6, selector: ({ instance }) => instance ?? "" });
    fc.assert(
      fc.property(request, steps, others, (asked, steps, people) => {
        const live = new LiveConfig(hash);
        const pointer = (record: LiveRecord, revision: number): Pointer => ({
          name: NAME,
          record,
          revision,
          release: release(record.version),
          sealed: {},
          candidate: record.rollout && release(record.rollout.version),
          candidateSealed: {},
        });
        live.apply([pointer({ version: 1, hash: "h1" }, 1)]);
        const topics = people.flatMap((who) =>
          [false, true].map((patches) => topicOf(NAME, { who, audience: "instances" }, patches)),
        );
        const knows = new Map(topics.map((topic) => [topic, 1]));
        for (const who of people) live.resolved(NAME, who);
        let record: LiveRecord = begun(asked);
        let revision = 2;
        const take = (next: LiveRecord) => {
          const followers = followersOf(live, topics, new Set(["default/orders"]));
          live.apply([pointer(next, revision++)]);
          const frames = framesAfter(live, followers, {
            broken: () => expect.unreachable(),
            shown: (config) => config,
          });
          expect(frames.length, "one encoding per content, whole or as a patch").toBeLessThanOrEqual(2 * 2);
          for (const { topics, data } of frames) for (const topic of topics) knows.set(topic, versionIn(data));
        };
        take(record);
        for (const what of steps) {
          if (!record.rollout) break;
          try {
            record = step(NAME, { ...record, rollout: record.rollout }, what, context()).live;
          } catch {
            continue;
          }
          take(record);
          for (const who of people) {
            const { config } = live.resolved(NAME, who);
            const versions = new Set(Object.values(config.items).map(({ origin }) => origin.version));
            expect(versions.size, "no mix").toBe(1);
            const stage = record.rollout && stageOf(record.rollout, { name: NAME, who, hash });
            const wanted =
              record.rollout && stage !== undefined && stage <= record.rollout.stage
                ? record.rollout.version
                : record.version;
            expect([...versions]).toEqual([wanted]);
            for (const patches of [false, true])
              expect(knows.get(topicOf(NAME, { who, audience: "instances" }, patches))).toBe(wanted);
          }
        }
      }),
    );
  });
});

function release(version: number) {
  const item = { format: "text" as const, value: String(version) };
  return {
    ...NAME,
    version,
    hash: `h${version}`,
    author: "",
    reason: "",
    createdAt: new Date(NOW).toISOString(),
    items: { a: item, b: item },
  };
}

/** The version that all values of a frame are of. */
function versionIn(data: object): number {
  const items = Object.values(
    ("changed" in data ? data.changed : (data as { items: object }).items) as Record<string, { value: string }>,
  );
  const values = new Set(items.map(({ value }) => value));
  expect(values.size).toBe(1);
  return Number([...values][0]);
}
