/** How many lines of a kind go into the log: at most the bound in any second, and every omitted line is counted. */
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { LineCap, LINES_PER_SECOND_MAX } from "../../../../gateway/core/request/line-cap.ts";

const KINDS = ["NR", "RL", "UH"];
/** Milliseconds since the line before, and its kind. */
const flood = fc.array(fc.tuple(fc.oneof(fc.nat(3), fc.nat(400), fc.nat(3_000)), fc.constantFrom(...KINDS)), {
  maxLength: 300,
});

test("no second has more lines of a kind than the bound, and what is left out is counted, whatever comes", () => {
  fc.assert(
    fc.property(flood, (lines) => {
      const cap = new LineCap();
      const told = new Map(KINDS.map((kind) => [kind, [] as number[]]));
      const out = new Map(KINDS.map((kind) => [kind, 0]));
      let nowMs = 0;
      for (const [afterMs, kind] of lines) {
        nowMs += afterMs;
        const recent = told.get(kind)?.filter((atMs) => atMs > nowMs - 1_000).length ?? 0;
        const taken = cap.take(kind, nowMs);
        // One kind's flood costs no other a line.
        expect(taken).toBe(recent < LINES_PER_SECOND_MAX);
        if (taken) told.get(kind)?.push(nowMs);
        else out.set(kind, (out.get(kind) ?? 0) + 1);
      }
      expect(new Map(cap.leftOut())).toEqual(new Map([...out].filter(([, count]) => count > 0)));
      expect(cap.leftOut()).toEqual([]);
    }),
  );
});
