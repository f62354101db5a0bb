/** `posthouse bench registry|config|gateway`: latencies and rates of a running server, in a namespace of its own that is removed. */
import { type Command, Option } from "commander";
import { randomBytes } from "node:crypto";
import { BENCH_TARGETS, type BenchTarget } from "../bench-targets.ts";
import { own } from "#base";
import { confirm, withYes } from "../confirm.ts";
import { controlSettings, withControlClient } from "../control-client.ts";
import { CliErrors } from "../errors.ts";
import { type GivenOptions, secondsOption, countOption, withControl, withExamples } from "../options.ts";
import { startProgress } from "../progress.ts";
import { type Column, formatFor, formatRows, paintFor, withOutput } from "../table.ts";
import type { Terminal } from "../terminal.ts";
import type { VerbContext } from "../verb.ts";

/** Seconds and calls in flight of one run: enough to measure, and a bound on what a mistake costs. */
const SECONDS_MAX = 60;
const CONCURRENCY_MAX = 64;

interface Row {
  readonly operation: string;
  readonly calls: number;
  readonly errors: number;
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}
const COLUMNS: readonly Column<Row>[] = [
  ["OPERATION", ({ operation }) => operation],
  ["CALLS", ({ calls }) => calls],
  ["ERRORS", ({ errors }) => errors],
  ["PER SECOND", ({ perSecond }) => perSecond],
  ["P50 MS", ({ p50Ms }) => p50Ms],
  ["P99 MS", ({ p99Ms }) => p99Ms],
];

export function define(command: Command, { terminal, exit }: VerbContext): void {
  withYes(withControl(withOutput(command)))
    .option("--seconds <seconds>", "time of each operation", secondsOption(SECONDS_MAX), 5)
    .option("--concurrency <count>", `calls in flight, at most ${CONCURRENCY_MAX}`, countOption, 8)
    .addOption(new Option("--url <url>", "for gateway: the URL that is requested").default("http://127.0.0.1:8080/"));
  withExamples(command, [
    "posthouse bench registry --seconds 5",
    "posthouse bench gateway --url http://127.0.0.1:8080/orders/1",
  ]);
  command.action(async (name: string, options: GivenOptions) => {
    const target = own(BENCH_TARGETS, name);
    if (!target)
      throw CliErrors.ARGUMENT_INVALID(`"${name}" cannot be measured. Use ${Object.keys(BENCH_TARGETS).join(", ")}.`);
    const concurrency = options["concurrency"] as number;
    if (concurrency > CONCURRENCY_MAX) {
      throw CliErrors.ARGUMENT_INVALID(`--concurrency ${concurrency} is too large; the maximum is ${CONCURRENCY_MAX}.`);
    }
    const settings = await controlSettings(options, terminal);
    const url = String(options["url"]);
    const foreign = [...settings.values.controlUrls, ...(name === "gateway" ? [url] : [])].filter(
      (one) => !isLoopback(one),
    );
    if (foreign.length > 0)
      await confirm(terminal, options, `Put load on ${foreign.join(", ")}, which is not this machine?`);
    const rows = await withControlClient(settings, async (client) => {
      const namespace = `bench-${randomBytes(6).toString("hex")}`;
      await using bench = await target({ client, namespace, url });
      const found: Row[] = [];
      for (const [operation, call] of Object.entries(bench.operations)) {
        found.push(await measure(terminal, { operation, call, concurrency, seconds: options["seconds"] as number }));
      }
      return found;
    });
    terminal.out(await formatRows(formatFor(options, terminal), COLUMNS, rows, paintFor(terminal)));
    if (rows.some(({ calls, errors }) => errors > 0 || calls === 0)) exit(1);
  });
}

function isLoopback(url: string): boolean {
  const { hostname } = new URL(url);
  return hostname === "localhost" || hostname === "[::1]" || /^127(\.\d{1,3}){3}$/.test(hostname);
}

interface Measured {
  readonly operation: string;
  readonly call: Awaited<ReturnType<BenchTarget>>["operations"][string];
  readonly concurrency: number;
  readonly seconds: number;
}

/** A closed loop: each worker begins its next call when the one before has ended. */
async function measure(terminal: Terminal, { operation, call, concurrency, seconds }: Measured): Promise<Row> {
  using _progress = startProgress(terminal, `measuring ${operation} for ${seconds} s`);
  const times: number[] = [];
  let errors = 0;
  let turn = 0;
  const begun = performance.now();
  const worker = async (): Promise<void> => {
    while (performance.now() - begun < seconds * 1000) {
      const at = performance.now();
      await call(turn++).then(
        () => times.push(performance.now() - at),
        () => errors++,
      );
    }
  };
  await Promise.all(Array.from({ length: concurrency }, worker));
  const took = (performance.now() - begun) / 1000;
  times.sort((a, b) => a - b);
  const at = (share: number) => round(times[Math.min(times.length - 1, Math.floor(times.length * share))] ?? 0);
  return {
    operation,
    calls: times.length,
    errors,
    perSecond: Math.round(times.length / took),
    p50Ms: at(0.5),
    p99Ms: at(0.99),
  };
}

function round(ms: number): number {
  return Math.round(ms * 100) / 100;
}
