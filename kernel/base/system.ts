/** The host of a server: the real clock, random numbers and log, exposed metrics, and a process that survives defects. */
import { readFileSync } from "node:fs";
import type { Host, LogLevel } from "./host.ts";
import { clockOf, defectLog, systemLog, systemRandom } from "./library.ts";
import type { LogFormat } from "./log.ts";
import { createMetrics } from "./prometheus.ts";
import { passThroughTracer } from "./trace.ts";

/** Level and format of a process's log; `auto` is text on a terminal, else JSON. */
export interface LogSettings {
  readonly logLevel: LogLevel;
  readonly logFormat?: LogFormat | "auto";
}

/** Files and connections that this process may have open; undefined where the system does not tell. */
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
 * Keeps the process alive when a listener throws, or when a rejected promise is not handled, because other requests, and above all the
 * gateway, must go on. Each defect is logged and counted. Disposing restores Node's default, which ends the process.
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
