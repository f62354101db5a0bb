/** Runs seeds: each judged, some run twice, and reported so that anyone can run it again. */
import { spawnSync } from "node:child_process";
import { judge } from "./checkers.ts";
import { live } from "./world.ts";

/** Seeds of a run; `SIM_SEEDS` sets another number, `SIM_SEED` names one. */
const SEEDS = 40;
/** Two of ten seeds run twice, one in each half. Whatever depends on more than the seed differs in most weeks, so a few show it. */
const isRepeated = (seed: number) => process.env["SIM_SEED"] !== undefined || seed % 10 <= 1;
/** Lines of the trace shown with a failure. */
const TRACE_LINES = 60;
/** Violations shown; the first ones say what happened, the rest follows from them. */
const VIOLATIONS = 5;
const VIOLATION_CHARS = 1_500;

/** The seeds of one part of several: every `parts`-th, so that they run beside each other. */
export function seedsOf(part: number, parts: number): number[] {
  const { SIM_SEED: one, SIM_SEEDS: number = String(SEEDS) } = process.env;
  const all = one === undefined ? Array.from({ length: Number(number) }, (_, i) => i + 1) : [Number(one)];
  return all.filter((_, index) => index % parts === part);
}

/** @throws Error that names the seed, the commit, what was violated, and the end of the trace */
export async function prove(seed: number): Promise<void> {
  const { history, trace } = await live(seed);
  const violations = judge(history);
  if (violations.length > 0) throw failure(seed, violations, trace.lines);
  if (!isRepeated(seed)) return;
  const again = await live(seed);
  if (again.trace.hash() === trace.hash()) return;
  const at = trace.lines.findIndex((line, index) => line !== again.trace.lines[index]);
  const lines = trace.lines.slice(0, at);
  throw failure(seed, [`the second run went another way: ${trace.lines[at]} | ${again.trace.lines[at]}`], lines);
}

function failure(seed: number, violations: readonly string[], lines: readonly string[]): Error {
  const commit = spawnSync("git", ["rev-parse", "--short", "HEAD"], { encoding: "utf8" }).stdout?.trim();
  const shown = violations.slice(0, VIOLATIONS).map((violation) => `- ${violation.slice(0, VIOLATION_CHARS)}`);
  const end = lines.slice(-TRACE_LINES).join("\n");
  return new Error(
    `SEED=${seed} COMMIT=${commit}: ${violations.length} violations\n${shown.join("\n")}\n\n${end}\n\nAgain: SIM_SEED=${seed} npx vitest run test/sim`,
  );
}
