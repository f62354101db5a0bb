/**
 * The log levels of every process, changed at run time by config: key `log.yaml` of app `posthouse`, profile `default`, in namespace
 * `default`. `level: debug` applies to all components, `components: { gateway: debug }` to some. Without the key, the settings apply.
 */
import { Type, type Static } from "typebox";
import { Errors } from "typebox/value";
import { LineCounter, parseDocument } from "yaml";
import { LOG_LEVELS, messageOf, schemaProblems, type Host, type LogControl } from "#base";
import { offsetOf } from "#base/yaml";
import type { Client } from "#client";
import type { EffectiveConfig, ReleaseCheck, ReleaseProblem } from "#config-server/api";

const LOG_SET = { namespace: "default", app: "posthouse", profile: "default" } as const;
const LOG_KEY = "log.yaml";
/** The components of the program in its log lines. */
const COMPONENTS = ["registry", "config-server", "gateway", "agent", "api", "operations"] as const;

const Level = Type.Union(LOG_LEVELS.map((level) => Type.Literal(level)));
const LogLevels = Type.Object(
  {
    level: Type.Optional(Level),
    components: Type.Optional(
      Type.Object(Object.fromEntries(COMPONENTS.map((name) => [name, Type.Optional(Level)])), {
        additionalProperties: false,
      }),
    ),
  },
  { additionalProperties: false },
);
type LogLevels = Static<typeof LogLevels> & Parameters<LogControl["set"]>[0];

type Parsed = { readonly levels: LogLevels } | { readonly problem: Omit<ReleaseProblem, "key"> };

/** Reads YAML 1.2, which includes JSON. */
export function parseLogLevels(text: string): Parsed {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, uniqueKeys: true, schema: "core" });
  const place = (offset: number | undefined) => {
    if (offset === undefined) return {};
    const { line, col } = lines.linePos(offset);
    return { line, column: col };
  };
  const [syntax] = document.errors;
  if (syntax) return { problem: { pointer: "", message: syntax.message, ...place(syntax.pos[0]) } };
  let value: unknown;
  try {
    // A small document needs no alias.
    value = document.toJS({ maxAliasCount: 0 });
  } catch (error) {
    return { problem: { pointer: "", message: messageOf(error) } };
  }
  const [problem] = schemaProblems(Errors(LogLevels, value));
  if (!problem) return { levels: value as LogLevels };
  const { pointer, kind } = problem;
  const extra = kind === "unknown" ? pointer.split("/").at(-1) : undefined;
  const parts = pointer.startsWith("/components/") ? COMPONENTS : (["level", "components"] as const);
  const message =
    extra !== undefined
      ? `unknown field "${extra}"; use one of ${parts.join(", ")}`
      : /^\/(level|components\/[^/]+)$/.test(pointer)
        ? `a level must be one of ${LOG_LEVELS.join(", ")}`
        : problem.message;
  return { problem: { pointer, message, ...place(offsetOf(document, pointer)) } };
}

/** For the config server: rejects levels that every process would reject. */
export const logReleaseCheck: ReleaseCheck = ({ app }, items) => {
  const item = app === LOG_SET.app && Object.hasOwn(items, LOG_KEY) ? items[LOG_KEY] : undefined;
  if (!item) return [];
  if (item.format !== "yaml" && item.format !== "json") {
    return [{ key: LOG_KEY, pointer: "", message: `The format must be yaml or json, not ${item.format}.` }];
  }
  const parsed = parseLogLevels(item.value);
  return "problem" in parsed ? [{ key: LOG_KEY, ...parsed.problem }] : [];
};

/** Applies each change until the signal aborts. While the control plane is unavailable, the last levels remain. */
export async function followLogLevel(
  { log }: Pick<Host, "log">,
  { config, control, signal }: { config: Pick<Client["config"], "watch">; control: LogControl; signal: AbortSignal },
): Promise<void> {
  let last: string | undefined;
  for await (const frame of config.watch(LOG_SET, { signal })) {
    if (frame.event !== "snapshot" && frame.event !== "delta") continue;
    const text = (frame.data as EffectiveConfig).items[LOG_KEY]?.value;
    if (text === last) continue;
    last = text;
    const parsed: Parsed = text === undefined ? { levels: {} } : parseLogLevels(text);
    if ("problem" in parsed) {
      log.error(
        { ...LOG_SET, key: LOG_KEY },
        `invalid log levels ignored, the current ones remain: ${parsed.problem.message}`,
      );
      continue;
    }
    control.set(parsed.levels);
    log.info({ ...parsed.levels }, text === undefined ? "log levels reset to the settings" : "log levels changed");
  }
}
