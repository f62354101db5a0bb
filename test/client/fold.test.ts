/** How frames become a catalog: whole snapshots only, and beside what a cold server says what was known before. */
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { catalogFold, FoldedWatch, type Catalog } from "#client";

interface One {
  readonly id: string;
  readonly at: number;
}
type Delta = Parameters<ReturnType<typeof catalogFold<One>>["gather"]>[1];
type Given = Parameters<FoldedWatch<Catalog<One>, Delta>["take"]>[0];

const COLD = { cold: true } as const;
const delta = (service: string, given: Record<string, number>, ...removed: string[]): Delta => ({
  service,
  instances: Object.entries(given).map(([id, at]) => ({ id, at })),
  removed,
});
const snapshot = (service: string, given: Record<string, number>): Given => ({
  event: "snapshot",
  data: delta(service, given),
});
const change = (...of: Parameters<typeof delta>): Given => ({ event: "delta", data: delta(...of) });

/** After each frame: what changed, and what takes effect. */
function after(watch: FoldedWatch<Catalog<One>, Delta>, ...frames: Given[]) {
  const changes = frames.map((frame) => watch.take(frame));
  return [changes.at(-1), textOf(watch.value)];
}

function textOf(catalog: Catalog<One> | undefined): string | undefined {
  if (!catalog) return undefined;
  const services = [...catalog].map(([service, its]) => {
    const instances = [...its.values()].map(({ id, at }) => `${id}@${at}`).sort();
    return `${service}: ${instances.join(" ")}`;
  });
  return services.sort().join(", ");
}

const opened = (known?: Catalog<One>) => new FoldedWatch(catalogFold<One>(), known);
const warm = () => {
  const watch = opened();
  after(watch, snapshot("a", { one: 1, two: 1 }), snapshot("b", { three: 1 }), { event: "synced" });
  return watch;
};
const WARM = "a: one@1 two@1, b: three@1";
/** A cold server that knows `a/one` only, by another address. */
const turn: Given[] = [{ event: "reset" }, snapshot("a", { one: 2 }), { event: "synced", ...COLD }];
const BESIDE = "a: one@2 two@1, b: three@1";

test("a snapshot takes effect when it is whole, and a reset changes nothing before that", () => {
  const watch = opened();
  expect(after(watch, snapshot("a", { one: 1 }))).toEqual([undefined, undefined]);
  expect(after(watch, change("a", { two: 1 }), { event: "heartbeat" })).toEqual([undefined, undefined]);
  expect(watch.settled).toBe(false);
  expect(after(watch, { event: "synced" })).toEqual(["all", "a: one@1 two@1"]);
  expect(watch.settled).toBe(true);
  expect(after(watch, change("a", { one: 2 }, "two"))).toEqual(["data", "a: one@2"]);
  expect(after(watch, { event: "reset" })).toEqual([undefined, "a: one@2"]);
  expect(after(watch, snapshot("b", {}), snapshot("c", { one: 1 }))).toEqual([undefined, "a: one@2"]);
  expect(after(watch, { event: "synced" })).toEqual(["all", "c: one@1"]);
  expect(after(watch, { event: "synced" })).toEqual([undefined, "c: one@1"]);
});

test("a snapshot without a piece is an empty catalog", () => {
  expect(after(opened(), { event: "synced" })).toEqual(["all", ""]);
  expect(after(warm(), { event: "reset" }, { event: "synced" })).toEqual(["all", ""]);
});

test("a snapshot that is cut and begun again has nothing of its first part", () => {
  const watch = warm();
  expect(after(watch, { event: "reset" }, snapshot("x", { one: 1 }), { event: "reset" }, { event: "synced" })).toEqual([
    "all",
    "",
  ]);
});

test("a cold server's data takes effect beside the known data, and alone once the server is warm", () => {
  const watch = warm();
  expect(after(watch, ...turn)).toEqual(["all", BESIDE]);
  expect(watch.holds).toBe(true);
  expect(after(watch, { event: "heartbeat", ...COLD })).toEqual([undefined, BESIDE]);
  expect(after(watch, { event: "heartbeat" })).toEqual(["all", "a: one@2"]);
  expect(watch.holds).toBe(false);
  expect(after(watch, { event: "heartbeat" })).toEqual([undefined, "a: one@2"]);
});

test("a cold server that says nothing at all empties nothing until it is warm", () => {
  const watch = warm();
  expect(after(watch, { event: "reset" }, { event: "synced", ...COLD })).toEqual(["all", WARM]);
  expect(after(watch, { event: "heartbeat" })).toEqual(["all", ""]);
});

test("changes apply to what is held and to what is said: removals at once, and what comes back stays", () => {
  const watch = warm();
  after(watch, ...turn);
  expect(after(watch, change("a", {}, "two"))).toEqual(["data", "a: one@2, b: three@1"]);
  expect(after(watch, change("b", { three: 2 }))).toEqual(["data", "a: one@2, b: three@2"]);
  expect(after(watch, change("c", { four: 1 }))).toEqual(["data", "a: one@2, b: three@2, c: four@1"]);
  expect(after(watch, { event: "heartbeat" })).toEqual(["all", "a: one@2, b: three@2, c: four@1"]);
});

test("an instance that a cold server removes is gone, even the last of a service", () => {
  const watch = warm();
  after(watch, ...turn);
  expect(after(watch, change("b", {}, "three"), change("a", {}, "one", "two"))).toEqual(["data", ""]);
  expect(after(watch, { event: "heartbeat" })).toEqual(["all", ""]);
});

test("with nothing known a cold server is believed, and its becoming warm changes nothing", () => {
  const watch = opened();
  expect(after(watch, snapshot("a", { one: 1 }), { event: "synced", ...COLD })).toEqual(["all", "a: one@1"]);
  expect(watch.holds).toBe(false);
  expect(after(watch, { event: "heartbeat" })).toEqual([undefined, "a: one@1"]);
});

test("restored data counts as known, and is restored only before the first data of a server", () => {
  const known = new Map([["r", new Map([["one", { id: "one", at: 1 }]])]]);
  const watch = opened();
  expect(watch.restore(known)).toBe(true);
  expect(textOf(watch.value)).toBe("r: one@1");
  expect(watch.settled).toBe(false);
  expect(after(watch, snapshot("a", { one: 1 }), { event: "synced", ...COLD })).toEqual(["all", "a: one@1, r: one@1"]);
  expect(watch.restore(new Map())).toBe(false);
  expect(after(watch, { event: "heartbeat" })).toEqual(["all", "a: one@1"]);
  expect(after(opened(known), { event: "synced", ...COLD })).toEqual(["all", "r: one@1"]);
});

test("a reset while cold changes nothing: a heartbeat before the next snapshot is whole confirms no earlier one", () => {
  const watch = warm();
  after(watch, ...turn);
  expect(after(watch, { event: "reset" }, { event: "heartbeat" })).toEqual([undefined, BESIDE]);
  expect(after(watch, snapshot("a", { one: 3 }), { event: "heartbeat" })).toEqual([undefined, BESIDE]);
  expect(after(watch, { event: "synced" })).toEqual(["all", "a: one@3"]);
  expect(after(watch, { event: "heartbeat" })).toEqual([undefined, "a: one@3"]);
});

test("a second cold server adds to what is held, and a warm one replaces it", () => {
  const watch = warm();
  after(watch, ...turn);
  expect(after(watch, { event: "reset" }, snapshot("d", { five: 1 }), { event: "synced", ...COLD })).toEqual([
    "all",
    `${BESIDE}, d: five@1`,
  ]);
  expect(after(watch, { event: "heartbeat" })).toEqual(["all", "d: five@1"]);
});

test("a watch that resumes at a warm server has only that server's data; with a server that stays cold it keeps the old data", () => {
  const watch = warm();
  after(watch, ...turn);
  for (let i = 0; i < 100; i++) expect(after(watch, { event: "heartbeat", ...COLD })).toEqual([undefined, BESIDE]);
  expect(after(watch, { event: "synced", ...COLD })).toEqual([undefined, BESIDE]);
  expect(after(watch, change("a", { one: 3 }), { event: "synced" })).toEqual(["all", "a: one@3"]);
});

test("a fold without together trusts a cold server, and one without an empty value ignores an empty snapshot", () => {
  const { gather, apply } = catalogFold<One>();
  const watch = new FoldedWatch({ gather, apply, empty: undefined });
  expect(after(watch, { event: "synced" })).toEqual([undefined, undefined]);
  expect(after(watch, { event: "delta" }, change("a", { one: 1 }))).toEqual(["data", "a: one@1"]);
  expect(after(watch, ...turn)).toEqual(["all", "a: one@2"]);
  expect(watch.holds).toBe(false);
});

test("values that were handed out stay as they are", () => {
  const watch = warm();
  const seen = watch.value;
  after(watch, change("a", { one: 9 }, "two"), ...turn, change("b", {}, "three"), { event: "heartbeat" });
  expect(textOf(seen)).toBe(WARM);
});

test("for any frames, no data of the server is missing, and a warm and whole watch has only the server's data", () => {
  const service = fc.constantFrom("a", "b");
  const given = fc.dictionary(fc.constantFrom("one", "two"), fc.nat(3), { noNullPrototype: true });
  const frame: fc.Arbitrary<Given> = fc.oneof(
    fc.constantFrom<Given>({ event: "reset" }, { event: "synced" }, { event: "synced", ...COLD }),
    fc.constantFrom<Given>({ event: "heartbeat" }, { event: "heartbeat", ...COLD }),
    fc.tuple(service, given).map((of) => snapshot(...of)),
    fc.tuple(service, given, fc.constantFrom("one", "two", "three")).map((of) => change(...of)),
  );
  fc.assert(
    fc.property(fc.array(frame, { maxLength: 30 }), (frames) => {
      const watch = opened();
      // The same frames to a reader that knows nothing of cold: what the server says.
      const { gather, apply, empty } = catalogFold<One>();
      const plain = new FoldedWatch({ gather, apply, empty });
      for (const one of frames) {
        watch.take(one);
        plain.take(one);
        for (const [name, its] of plain.value ?? []) {
          for (const [id, { at }] of its) expect(watch.value?.get(name)?.get(id)?.at).toBe(at);
        }
        const confirmed = one.event === "synced" || one.event === "heartbeat";
        if (confirmed && !one.cold && watch.settled) expect(textOf(watch.value)).toBe(textOf(plain.value));
        if (!watch.holds && watch.settled) expect(textOf(watch.value)).toBe(textOf(plain.value));
      }
    }),
  );
});
