/** The host of a server: the real clock, chance and log, metrics that are exposed, and a process that survives defects. */
import { readFileSync } from "node:fs";
import type { Host, LogLevel } from "./host.ts";
import { clockOf, defectLog, systemLog, systemRandom } from "./library.ts";
import type { LogFormat } from "./log.ts";
import { createMetrics } from "./prometheus.ts";
import { passThroughTracer } from "./trace.ts";

/** What a process logs, and how; `auto` is text on a terminal, else JSON. */
export interface LogSettings {
  readonly logLevel: LogLevel;
  readonly logFormat?: LogFormat | "auto";
}

/** Files and connections that this process may have open; undefined where the system does not say. */
function descriptorsMax(): number | undefined {
  try {
    const found = /^Max open files\s+(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8"));
    return found ? Number(found[1]) : undefined;
  } catch {
    return undefined;
  }
}

export function systemHost({ logLevel, logFormat = "auto" }: LogSettings): Host {
  const logs = systemLog({ level: logLevel, format: logFormat === "auto" ? undefined : logFormat });
  const metrics = createMetrics({ process: true });
  return {
    clock: clockOf(defectLog({ log: logs.log, metrics })("timer")),
    random: systemRandom,
    ...logs,
    descriptorsMax: descriptorsMax(),
    metrics,
    tracer: passThroughTracer(systemRandom),
  };
}

/**
 * Keeps the process alive when a listener throws or a promise is rejected that nobody awaits: other requests, and the
 * gateway above all, go on. Each is logged and counted. Disposing it restores Node's default, which ends the process.
 */
export function surviveDefects(host: Pick<Host, "log" | "metrics">): Disposable {
  const onDefect = defectLog(host);
  const listeners = { uncaughtException: onDefect("listener"), unhandledRejection: onDefect("promise") };
  process.on("uncaughtException", listeners.uncaughtException);
  process.on("unhandledRejection", listeners.unhandledRejection);
  return {
    [Symbol.dispose]() {
      process.off("uncaughtException", listeners.uncaughtException);
      process.off("unhandledRejection", listeners.unhandledRejection);
    },
  };
}
