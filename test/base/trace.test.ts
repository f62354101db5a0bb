/** The decision whether a trace is sampled, and the trace contexts of callers. */
import { expect, test } from "vitest";
import { isSampled, passThroughTracer, readIncomingTrace, seededRandom } from "#base";

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

/** Reads headers of an object, as a request has them. */
const reading = (headers: Readonly<Record<string, string | string[]>>) =>
  readIncomingTrace((name) => [headers[name] ?? []].flat());
const B3_TRACE = "80f198ee56343ba864fe8b2a57d3eff7";
const B3_SPAN = "e457b5a2e4d86bd1";

test.each([
  ["sampled", { b3: `${B3_TRACE}-${B3_SPAN}-1` }, B3_TRACE, true, true],
  ["with a parent", { b3: `${B3_TRACE}-${B3_SPAN}-1-05e3ac9a4f6e3b90` }, B3_TRACE, true, true],
  ["debug", { b3: `${B3_TRACE}-${B3_SPAN}-d` }, B3_TRACE, true, true],
  ["not sampled", { b3: `${B3_TRACE}-${B3_SPAN}-0` }, B3_TRACE, false, true],
  ["left to the receiver", { b3: `${B3_TRACE}-${B3_SPAN}` }, B3_TRACE, false, false],
  ["of 64 bits", { b3: `${B3_SPAN}-${B3_SPAN}-1` }, `${"0".repeat(16)}${B3_SPAN}`, true, true],
  [
    "in several headers",
    { "x-b3-traceid": B3_TRACE, "x-b3-spanid": B3_SPAN, "x-b3-sampled": "true" },
    B3_TRACE,
    true,
    true,
  ],
  [
    "in several headers, debug",
    { "x-b3-traceid": B3_TRACE, "x-b3-spanid": B3_SPAN, "x-b3-flags": "1" },
    B3_TRACE,
    true,
    true,
  ],
  ["beside a malformed traceparent", { traceparent: "00-x", b3: `${B3_TRACE}-${B3_SPAN}-1` }, B3_TRACE, true, true],
] as const)("a B3 context %s is read", (_name, headers, traceId, sampled, isDecided) => {
  expect(reading(headers)).toEqual({ parent: { traceId, spanId: B3_SPAN, sampled }, isDecided });
});

test.each([
  ["a decision alone", { b3: "0" }],
  ["an empty header", { b3: "" }],
  ["two headers", { b3: [`${B3_TRACE}-${B3_SPAN}-1`, `${B3_TRACE}-${B3_SPAN}-1`] }],
  ["two traceparents beside it", { traceparent: ["00-x", "00-y"], b3: `${B3_TRACE}-${B3_SPAN}-1` }],
  ["a trace id of zeros", { b3: `${"0".repeat(32)}-${B3_SPAN}-1` }],
  ["a span id of zeros", { b3: `${B3_TRACE}-${"0".repeat(16)}-1` }],
  ["a trace id of another length", { b3: `${B3_TRACE}00-${B3_SPAN}-1` }],
  ["a trace id with a line break", { b3: `${B3_TRACE}\n-${B3_SPAN}-1` }],
  ["two trace ids", { "x-b3-traceid": [B3_TRACE, B3_TRACE], "x-b3-spanid": B3_SPAN }],
  ["no span id", { "x-b3-traceid": B3_TRACE }],
])("%s is not a B3 context", (_name, headers) => {
  expect(reading(headers)).toBeUndefined();
});
