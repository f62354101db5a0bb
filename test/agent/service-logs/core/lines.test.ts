/** Lines of a log file: split over reads, cut when too long, and clean for a terminal. */
import { expect, test } from "vitest";
import { CUT_MARK, LINE_BYTES_MAX, LineSplitter } from "../../../../agent/service-logs/core/lines.ts";

test("a line may arrive in parts, also in the middle of a character, and the buffer may be reused", () => {
  const bytes = Buffer.from("erste Zeile\nzweite größere\r\n\nrest");
  for (const size of [1, 2, 3, 7, 100]) {
    const splitter = new LineSplitter();
    const buffer = Buffer.alloc(size);
    const lines: string[] = [];
    for (let at = 0; at < bytes.length; at += size) {
      const length = bytes.copy(buffer, 0, at, at + size);
      lines.push(...splitter.push(buffer.subarray(0, length)));
    }
    expect(lines).toEqual(["erste Zeile", "zweite größere", ""]);
    expect(splitter.restBytes).toBe(4);
    expect(splitter.flush()).toEqual(["rest"]);
    expect(splitter.flush()).toEqual([]);
    expect(splitter.restBytes).toBe(0);
  }
});

test("a long line is cut at the limit, occupies at most that much, and does not disturb the next line", () => {
  const splitter = new LineSplitter();
  const chunk = Buffer.alloc(64 * 1024, "x");
  const lines: string[] = [];
  for (let i = 0; i < 160; i++) {
    lines.push(...splitter.push(chunk));
    expect(splitter.restBytes).toBeLessThanOrEqual(LINE_BYTES_MAX);
  }
  expect(splitter.isCutting).toBe(true);
  lines.push(...splitter.push(Buffer.from("end\nnext\n")));
  expect(lines).toEqual(["x".repeat(LINE_BYTES_MAX) + CUT_MARK, "next"]);
  expect(splitter.isCutting).toBe(false);
});

test("a line of exactly the limit is not cut", () => {
  const text = "x".repeat(LINE_BYTES_MAX);
  expect(new LineSplitter().push(Buffer.from(`${text}\n`))).toEqual([text]);
});

test("a run that continues within a cut line drops its rest", () => {
  expect(new LineSplitter(true).push(Buffer.from("rest\nnext\n"))).toEqual(["next"]);
});

test("colors are removed, and other control characters and broken text are replaced", () => {
  const bytes = Buffer.concat([Buffer.from("\u001b[31mred\u001b[0m\tend\u0000\n"), Buffer.from([0xff, 0x0a])]);
  expect(new LineSplitter().push(bytes)).toEqual(["red\tend\uFFFD", "\uFFFD"]);
});
