/** How long a call may take: a caller's deadline only shortens the route's, and invalid values are ignored. */
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { CALLER_MS_MAX, callerMs, deadlineHeaders, deadlineNames } from "../../../../gateway/core/decision/deadline.ts";
import type { RequestHead } from "../../../../gateway/core/request/head.ts";

const route = { deadlineHeader: "x-left", totalMs: 1_000 };
const head = (headers: Record<string, string[]>) =>
  ({ header: (name: string) => headers[name] ?? [] }) as unknown as RequestHead;

test("a caller's time is one plain number that fits a timer; any other value sets no limit", () => {
  const said = fc.oneof(
    fc.string(),
    fc.nat().map(String),
    fc.bigInt({ min: 0n, max: 10n ** 20n }).map(String),
    fc.double().map(String),
    fc.constantFrom("", " 5", "5 ", "+5", "-0", "0x10", "1e3", "5,5", "٣", String(CALLER_MS_MAX)),
  );
  fc.assert(
    fc.property(fc.array(said, { maxLength: 3 }), (values) => {
      const ms = callerMs(route, head({ "x-left": values }), undefined);
      const [value = "", ...more] = values;
      const plain = more.length === 0 && /^[0-9]{1,10}$/.test(value) && Number(value) <= CALLER_MS_MAX;
      expect(ms).toBe(plain ? Number(value) : Infinity);
    }),
  );
});

test("of a call's two ways to say its time the sooner one holds, and only a call of gRPC has both", () => {
  const both = head({ "x-left": ["700"], "grpc-timeout": ["300m"] });
  expect(callerMs(route, both, undefined)).toBe(700);
  expect(callerMs(route, both, "grpc")).toBe(300);
  expect(callerMs({ ...route, deadlineHeader: undefined }, both, undefined)).toBe(Infinity);
  expect(callerMs(route, head({ "grpc-timeout": ["99999999H"] }), "web")).toBe(Infinity);
});

test("the gateway sends deadlines in exactly the headers that it drops from requests", () => {
  for (const grpc of [undefined, "grpc"] as const) {
    for (const deadlineHeader of [undefined, "x-left"]) {
      const told = deadlineHeaders({ deadlineHeader, totalMs: 1 }, { totalMs: 12.7, callerMs: 12.7 }, grpc);
      expect(told.map(([name]) => name)).toEqual([...(deadlineNames({ deadlineHeader, totalMs: 1 }, grpc) ?? [])]);
      expect(told.map(([, value]) => value)).toEqual([...(deadlineHeader ? ["12"] : []), ...(grpc ? ["13m"] : [])]);
    }
  }
  // A service would end a stream by the route's limit, which does not hold for streams.
  expect(deadlineHeaders(route, { totalMs: 12.7, callerMs: Infinity }, "grpc")).toEqual([["x-left", "12"]]);
  expect(deadlineHeaders(route, { totalMs: Infinity, callerMs: Infinity }, "grpc")).toEqual([]);
});
