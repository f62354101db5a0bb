/** Levels of lines, in the formats that loggers write. */
import { expect, test } from "vitest";
import { levelOfLine } from "../../../../agent/service-logs/core/level.ts";

test.for([
  ['{"level":30,"msg":"an ERROR in the text"}', "info"],
  ['{"level":10}', "debug"],
  ['{"level":40}', "warn"],
  ['{"level":60}', "error"],
  ['{"severity":"WARNING"}', "warn"],
  ['{"levelname":"CRITICAL"}', "error"],
  ['{"log.level":"debug"}', "debug"],
  ['{"level":"constructor"}', "unknown"],
  ['{"msg":"ERROR"}', "unknown"],
  ["{not JSON} [ERROR] x", "error"],
  ['ts=1 level=warn msg="x"', "warn"],
  ['level="error" msg="x"', "error"],
  ["<11>Oct 11 22:14:15 host app: x", "error"],
  ["<12>x", "warn"],
  ["<15>x", "debug"],
  ["W0102 03:04:05.678901 1 main.go:1] x", "warn"],
  ["I0102 03:04:05.678901 1 main.go:1] ERROR", "info"],
  ["2026-01-01 [main] [WARN] x", "warn"],
  ["[info] an ERROR in the text", "info"],
  ["2026-01-01 10:00:00,123 ERROR [main] com.example.A - x", "error"],
  ["NO LEVEL HERE BUT INFO", "info"],
  ["an error in lower case is text", "unknown"],
  ["ERROR_CODE=1 is a name", "unknown"],
  ["", "unknown"],
] as const)("%s is %s", ([text, level]) => {
  expect(levelOfLine(text)).toBe(level);
});
