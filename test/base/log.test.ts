/** Log lines: JSON for programs, words for people, and no stack where the message says it all. */
import { expect, test } from "vitest";
import { defineErrors } from "#base";
import { systemLog } from "#base/library";
import { jsonLine, textLine } from "../../kernel/base/log.ts";

const Errors = defineErrors("TEST", { DEFINITION: { status: 400, title: "Definition not valid" } });
const line = (fields: object, message = "a message") => ({
  timeMs: Date.parse("2026-01-02T03:04:05.678Z"),
  level: "warn" as const,
  component: "agent",
  fields: { role: "agent", ...fields },
  message,
});

test("a JSON line has the level as a word, the time, the fields and the message", () => {
  expect(JSON.parse(jsonLine(line({ port: 8501, absent: undefined })))).toEqual({
    level: "warn",
    time: "2026-01-02T03:04:05.678Z",
    role: "agent",
    port: 8501,
    msg: "a message",
  });
});

test("a text line has time, level, component, message and fields; the component is not said twice", () => {
  const text = textLine(line({ port: 8501, names: ["a", "b"], why: "two words" }), false);
  expect(text).toMatch(
    /^\d\d:\d\d:05\.678 WARN {2}agent {8} a message {2}port=8501 names=\["a","b"\] why="two words"\n$/,
  );
  expect(textLine(line({}), true)).toContain("\u001B[33mWARN ");
});

test("an expected error is its message and code; a defect has its stack", () => {
  const expected = Errors.DEFINITION('Unknown field "prot".', { cause: new Error("inner") });
  expect(JSON.parse(jsonLine(line({ err: expected })))).toMatchObject({
    err: { code: "TEST_DEFINITION", message: 'Unknown field "prot".', cause: { message: "inner" } },
  });
  for (const error of [Errors.DEFINITION("bad"), Object.assign(new Error("refused"), { code: "ECONNREFUSED" })]) {
    expect(jsonLine(line({ err: error }))).not.toContain("stack");
    expect(textLine(line({ err: error }), false)).not.toMatch(/^\s+at /m);
  }
  expect(textLine(line({ err: new TypeError("x is undefined") }), false)).toMatch(/^ {4}TypeError.*\n( {8}at .*\n)+/m);
  expect(JSON.parse(jsonLine(line({ err: new TypeError("x") })))).toMatchObject({ err: { stack: expect.any(String) } });
});

test("an error whose text is the message already is not said twice", () => {
  const error = Errors.DEFINITION("bad definition");
  expect(textLine(line({ err: error }, "bad definition"), false)).not.toContain("err=");
});

test("any log entry is one line, and nothing throws", () => {
  const loop: Record<string, unknown> = {};
  loop["self"] = loop;
  for (const value of [loop, 1n, "a\nb\u001B[2J", null, Symbol("s"), () => 1, new Map([[1, 2]])]) {
    const fields = { value };
    expect(() => JSON.parse(jsonLine(line(fields))) as unknown).not.toThrow();
    expect(textLine(line(fields, "m\nn"), false).split("\n")).toHaveLength(2);
    expect(textLine(line(fields), false)).not.toContain("\u001B");
  }
});

test("levels and components are asked at each line, and children keep their fields", () => {
  const lines: string[] = [];
  const { log, logControl } = systemLog({ level: "info", format: "json", write: (text) => void lines.push(text) });
  const agent = log.child({ role: "agent" }).child({ server: "api" });
  agent.debug({}, "one");
  logControl.set({ components: { agent: "debug" } });
  agent.debug({ n: 1 }, "two");
  log.debug({}, "three");
  expect(lines.map((text) => JSON.parse(text) as object)).toEqual([
    { level: "debug", time: expect.any(String) as string, role: "agent", server: "api", n: 1, msg: "two" },
  ]);
});
