/** The level of a line: from JSON, logfmt, syslog, klog, or the usual words of other formats. */
import { own } from "#base";

export type LogLevel = "debug" | "info" | "warn" | "error" | "unknown";

/** Names of levels in lower case, as loggers write them. */
const LEVEL_OF_WORD: Readonly<Record<string, LogLevel>> = {
  trace: "debug",
  debug: "debug",
  verbose: "debug",
  info: "info",
  information: "info",
  notice: "info",
  warn: "warn",
  warning: "warn",
  error: "error",
  err: "error",
  severe: "error",
  critical: "error",
  crit: "error",
  alert: "error",
  emerg: "error",
  fatal: "error",
  panic: "error",
};
/** Numbers of pino and bunyan: the lowest of each level, from the highest down. */
const LEVEL_FROM_NUMBER: readonly (readonly [from: number, level: LogLevel])[] = [
  [50, "error"],
  [40, "warn"],
  [30, "info"],
  [0, "debug"],
];
/** By the severity of syslog, 0 to 7. */
const LEVEL_OF_SEVERITY: readonly LogLevel[] = ["error", "error", "error", "error", "warn", "info", "info", "debug"];
const LEVEL_OF_KLOG: Readonly<Record<string, LogLevel>> = { I: "info", W: "warn", E: "error", F: "error" };
/** Fields of JSON that contain a level; the first that has one decides. */
const LEVEL_FIELDS = ["level", "severity", "lvl", "levelname", "log.level"] as const;

/** Characters at the start of a line in which a level is looked for. */
const HEAD_CHARACTERS = 256;
const SYSLOG = /^<(\d{1,3})>/;
const KLOG = /^([IWEF])\d{4} \d\d:\d\d:\d\d/;
const LOGFMT = /(?:^|\s)(?:level|lvl|severity)="?([A-Za-z]+)/;
const BRACKETED = /\[\s*([A-Za-z]+)\s*\]/g;
const UPPER_WORD = /(?<![\w.-])([A-Z]{3,11})(?![\w.-])/g;

export function levelOfLine(text: string): LogLevel {
  const fromJson = text.startsWith("{") ? levelOfJson(text) : undefined;
  if (fromJson !== undefined) return fromJson;
  const head = text.slice(0, HEAD_CHARACTERS);
  const severity = SYSLOG.exec(head)?.[1];
  if (severity !== undefined) return LEVEL_OF_SEVERITY[Number(severity) % 8] ?? "unknown";
  const klog = KLOG.exec(head)?.[1];
  if (klog !== undefined) return own(LEVEL_OF_KLOG, klog) ?? "unknown";
  return (
    levelOfWord(LOGFMT.exec(head)?.[1]) ?? firstLevel(head, BRACKETED) ?? firstLevel(head, UPPER_WORD) ?? "unknown"
  );
}

function levelOfJson(text: string): LogLevel | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  for (const field of LEVEL_FIELDS) {
    const level = own(value as Record<string, unknown>, field);
    const found = typeof level === "number" ? levelOfNumber(level) : levelOfWord(level);
    if (found !== undefined) return found;
  }
  return "unknown";
}

function levelOfNumber(level: number): LogLevel | undefined {
  return LEVEL_FROM_NUMBER.find(([from]) => level >= from)?.[1];
}

function levelOfWord(word: unknown): LogLevel | undefined {
  return typeof word === "string" ? own(LEVEL_OF_WORD, word.toLowerCase()) : undefined;
}

function firstLevel(head: string, words: RegExp): LogLevel | undefined {
  for (const [, word] of head.matchAll(words)) {
    const level = levelOfWord(word);
    if (level !== undefined) return level;
  }
  return undefined;
}
