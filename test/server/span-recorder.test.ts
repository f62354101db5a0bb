/** Which spans are kept: all of a sampled trace, and all of a request that failed or was slow. */
import { expect, test, vi } from "vitest";
import type { SpanContext } from "#base";
import { ManualClock, testHost } from "../kit/host.ts";
import { spanRecorder, type FinishedSpan } from "../../server/span-recorder.ts";

const SLOW_MS = 1000;

function recorder(sampleRatio = 0) {
  const clock = new ManualClock();
  const kept: FinishedSpan[] = [];
  const keep = (span: FinishedSpan) => void kept.push(span);
  return { clock, kept, tracer: spanRecorder({ ...testHost(), clock }, { sampleRatio, slowMs: SLOW_MS, keep }) };
}

/** A request with one try, which ends before it. */
async function request(
  { tracer, clock }: ReturnType<typeof recorder>,
  given: { ms?: number; failure?: string; tryFailure?: string; parent?: SpanContext } = {},
) {
  const server = tracer.start("GET", { kind: "server", parent: given.parent });
  const client = tracer.start("GET", { kind: "client", parent: server.context });
  const describe = vi.fn(() => client.set("url.full", "http://127.0.0.1/x"));
  client.later(describe);
  await clock.advance(given.ms ?? 10);
  if (given.tryFailure !== undefined) client.fail(given.tryFailure);
  client.end();
  if (given.failure !== undefined) server.fail(given.failure);
  server.later(() => server.rename("GET /x"));
  server.end();
  return { server, client, describe };
}

test("a request that is fast and successful leaves nothing, and its attributes are never computed", async () => {
  const made = recorder();
  const { server, describe } = await request(made);
  expect(made.kept).toEqual([]);
  expect(describe).not.toHaveBeenCalled();
  expect(server.context.sampled).toBe(false);
});

test.for([
  ["failed", { failure: "status 502" }],
  ["slow", { ms: SLOW_MS }],
] as const)("a %s request is kept with its tries, though it is not sampled", async ([, given]) => {
  const made = recorder();
  const { server, client, describe } = await request(made, given);
  expect(made.kept.map(({ name, context }) => [name, context.spanId])).toEqual([
    ["GET", client.context.spanId],
    ["GET /x", server.context.spanId],
  ]);
  const [first, second] = made.kept as [FinishedSpan, FinishedSpan];
  expect(first.parent?.spanId).toBe(second.context.spanId);
  expect(first.context.traceId).toBe(second.context.traceId);
  expect(first.attributes).toEqual({ "url.full": "http://127.0.0.1/x" });
  expect(describe).toHaveBeenCalledTimes(1);
});

test("just below the limit is not slow; a failed try alone does not keep a request that was answered", async () => {
  const made = recorder();
  await request(made, { ms: SLOW_MS - 1 });
  await request(made, { tryFailure: "status 404" });
  expect(made.kept).toEqual([]);
});

test("a caller's sampled trace is kept; one that it does not sample is kept only when it fails", async () => {
  const made = recorder();
  const parent = { traceId: "a".repeat(32), spanId: "b".repeat(16), sampled: true, state: "v=1" };
  await request(made, { parent });
  expect(made.kept.map(({ context }) => [context.traceId, context.sampled, context.state])).toEqual([
    [parent.traceId, true, "v=1"],
    [parent.traceId, true, "v=1"],
  ]);
  made.kept.length = 0;
  const unsampled = { ...parent, sampled: false };
  await request(made, { parent: unsampled });
  expect(made.kept).toEqual([]);
  const { client } = await request(made, { parent: unsampled, failure: "status 500" });
  expect(made.kept).toHaveLength(2);
  // Services behind the gateway still see the caller's decision.
  expect(client.context.sampled).toBe(false);
});

test("a try that ends after its request follows its decision; an end counts once", async () => {
  const made = recorder();
  for (const failure of ["status 503", undefined]) {
    made.kept.length = 0;
    const server = made.tracer.start("GET", { kind: "server" });
    const late = made.tracer.start("GET", { kind: "client", parent: server.context });
    if (failure !== undefined) server.fail(failure);
    server.end();
    server.end();
    late.end();
    expect(made.kept.map(({ kind }) => kind)).toEqual(failure === undefined ? [] : ["server", "client"]);
  }
});

test("the tries that wait for the end of a request are bounded", () => {
  const made = recorder();
  const server = made.tracer.start("GET", { kind: "server" });
  for (let i = 0; i < 1_000; i++) made.tracer.start("GET", { kind: "client", parent: server.context }).end();
  server.fail("status 502");
  server.end();
  expect(made.kept).toHaveLength(65);
});

test("times: a try starts within its request, to the millisecond", async () => {
  const made = recorder(1);
  const startedAt = made.clock.now();
  const server = made.tracer.start("GET", { kind: "server" });
  await made.clock.advance(5);
  const client = made.tracer.start("GET", { kind: "client", parent: server.context });
  await made.clock.advance(20);
  client.end();
  server.end();
  expect(made.kept.map((span) => [span.startedAt - startedAt, span.durationMs])).toEqual([
    [5, 20],
    [0, 25],
  ]);
});
