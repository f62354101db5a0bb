/**
 * Log lines as text: JSON for programs, and aligned columns for a person at a terminal. An expected error (of posthouse, or of the
 * system, such as a port in use) is its code and its message. Only a defect has its stack. Every line of a process is made here, so
 * this is where secrets are removed and control characters are escaped.
 */
import { AppError } from "./errors.ts";
import type { LogLevel } from "./host.ts";
import { redactedMember, redactedText } from "./redact.ts";

export const LOG_FORMATS = ["json", "text"] as const;
export type LogFormat = (typeof LOG_FORMATS)[number];

export interface LogLine {
  /** Milliseconds since 1970. */
  readonly timeMs: number;
  readonly level: LogLevel;
  /** The part of the program that writes the line, such as `agent`. */
  readonly component: string | undefined;
  readonly fields: object;
  readonly message: string;
}

/** Causes of causes that are shown; a longer chain says nothing new. */
const CAUSES_MAX = 5;

/** An error in a log line. */
export interface LoggedError {
  readonly type: string;
  readonly message: string;
  readonly code?: string;
  readonly stack?: string;
  readonly cause?: LoggedError;
}

/** The message is enough for an error of posthouse, and for an error of the system with its own code. */
function isExpected(error: Error): boolean {
  return error instanceof AppError || typeof (error as { code?: unknown }).code === "string";
}

function loggedError(error: Error, depth = 0): LoggedError {
  const { code } = error as { code?: unknown };
  const { cause } = error;
  return {
    type: error.constructor.name,
    message: error.message,
    ...(typeof code === "string" ? { code } : {}),
    ...(isExpected(error) || error.stack === undefined ? {} : { stack: error.stack }),
    ...(cause instanceof Error && depth < CAUSES_MAX ? { cause: loggedError(cause, depth + 1) } : {}),
  };
}

function plain(name: string, value: unknown): unknown {
  if (value instanceof Error) return loggedError(value);
  const shown = redactedMember(name, value);
  return typeof shown === "bigint" ? String(shown) : shown;
}

/** The text for a value that JSON cannot represent: a function, or an object that refers to itself. */
const NOT_JSON = JSON.stringify("[not JSON]");

/** Text of a field's value. */
function jsonOf(field: string, value: unknown): string {
  try {
    return escaped(
      JSON.stringify(value, (name, inner: unknown) => plain(name === "" ? field : name, inner)) ?? NOT_JSON,
    );
  } catch {
    return NOT_JSON;
  }
}

/** One line of JSON: level, time, fields, and the message as `msg`. */
export function jsonLine({ timeMs, level, fields, message }: LogLine): string {
  const known = Object.entries(fields).filter(([, value]) => value !== undefined);
  const members = known.map(([name, value]) => `,${quoted(name)}:${jsonOf(name, value)}`).join("");
  const time = new Date(timeMs).toISOString();
  return `{"level":"${level}","time":"${time}"${members},"msg":${quoted(message)}}\n`;
}

const COLORS: Readonly<Record<LogLevel, number>> = { debug: 90, info: 32, warn: 33, error: 31 };
const DIM = 2;
/** Wide enough for every part's name, such as `config-server`. */
const COMPONENT_WIDTH = 13;

/** `10:15:30.123 INFO  agent          the agent listens  port=8501`. A stack follows on separate lines. */
export function textLine({ timeMs, level, component = "", fields, message }: LogLine, color: boolean): string {
  const paint = (code: number, text: string) => (color ? `\u001B[${code}m${text}\u001B[0m` : text);
  const time = new Date(timeMs);
  const clock = [time.getHours(), time.getMinutes(), time.getSeconds()].map((part) => String(part).padStart(2, "0"));
  const at = `${clock.join(":")}.${String(time.getMilliseconds()).padStart(3, "0")}`;
  const stacks: string[] = [];
  const shown = Object.entries(fields).flatMap(([name, value]) => {
    if (value === undefined || ((name === "role" || name === "server") && value === component)) return [];
    if (!(value instanceof Error)) return [`${word(redactedText(name))}=${fieldText(name, value)}`];
    const text = errorText(value, stacks);
    return text === message ? [] : [`${word(redactedText(name))}=${word(redactedText(text))}`];
  });
  const tail = shown.length === 0 ? "" : `  ${paint(DIM, shown.join(" "))}`;
  const head = `${paint(DIM, at)} ${paint(COLORS[level], level.toUpperCase().padEnd(5))} ${component.padEnd(COMPONENT_WIDTH)}`;
  const below = stacks.map((stack) => `${stackText(stack)}\n`).join("");
  return `${head} ${escaped(redactedText(message))}${tail}\n${below}`;
}

/** The messages of an error and of its causes; the stack of a defect is separate. */
function errorText(error: Error, stacks: string[]): string {
  const messages: string[] = [];
  for (let at: unknown = error; at instanceof Error && messages.length <= CAUSES_MAX; at = at.cause) {
    if (!messages.some((message) => message.includes(at.message))) messages.push(at.message);
    if (!isExpected(at) && at.stack !== undefined) stacks.push(at.stack);
  }
  return messages.join(": ");
}

/** A stack, indented. */
function stackText(stack: string): string {
  const lines = redactedText(stack).split("\n");
  return lines.map((line) => `    ${escaped(line)}`).join("\n");
}

function fieldText(name: string, value: unknown): string {
  const shown = typeof value === "string" ? redactedMember(name, value) : value;
  return typeof shown === "string" ? word(shown) : jsonOf(name, value);
}

/** A text for people: quoted only where a space or a sign would split it. */
function word(text: string): string {
  return /^(?:[\w.:/@+,*-]+|\[redacted\])$/.test(text) ? text : escaped(JSON.stringify(text));
}

function quoted(text: string): string {
  return escaped(JSON.stringify(redactedText(text)));
}

/** Characters that could move the cursor, hide a line, or change the order of what is read; JSON leaves some of them as they are. */
const HARMFUL = /[\p{Cc}\u2028\u2029\u202A-\u202E\u2066-\u2069]/gu;
/** Only printable characters of ASCII. */
const HARMLESS = /^[ -~]*$/;

/** Escapes harmful characters as JSON does. */
function escaped(text: string): string {
  if (HARMLESS.test(text)) return text;
  return text.replaceAll(HARMFUL, (sign) => {
    const inJson = JSON.stringify(sign).slice(1, -1);
    return inJson === sign ? `\\u${sign.charCodeAt(0).toString(16).padStart(4, "0")}` : inJson;
  });
}
