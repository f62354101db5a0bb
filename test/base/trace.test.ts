/** The decision whether a trace is sampled. */
import { expect, test } from "vitest";
import { isSampled, passThroughTracer, seededRandom } from "#base";

const parent = (sampled: boolean) => ({ traceId: "1".repeat(32), spanId: "2".repeat(16), sampled });

test.for([true, false])("a trusted parent decides, and without one, or for another, it is drawn: %s", (drawn) => {
  const draw = () => drawn;
  for (const said of [true, false]) {
    expect(isSampled({ kind: "server", parent: parent(said) }, draw)).toBe(said);
    expect(isSampled({ kind: "server", parent: parent(said), resample: true }, draw)).toBe(drawn);
  }
  expect(isSampled({ kind: "server" }, draw)).toBe(drawn);
});

test("a tracer that records nothing samples only for trusted callers, and keeps the trace id", () => {
  const tracer = passThroughTracer(seededRandom(1));
  const { context } = tracer.start("GET", { kind: "server", parent: parent(true), resample: true });
  expect(context).toMatchObject({ traceId: "1".repeat(32), sampled: false });
});
