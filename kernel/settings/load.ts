/**
 * Merges defaults, a file, the environment and flags, each overriding the ones before. The result is one checked, frozen object with
 * the source of each value, and a copy without secrets for people and logs.
 */
import { Ajv } from "ajv";
import { parseDocument } from "yaml";
import { HOST_FORMATS, own, schemaProblems } from "#base";
import { envOf, flagOf, SettingsErrors, spellings } from "./control.ts";
import { type SettingName, Settings } from "./schema.ts";

export type SettingSource = "default" | "file" | "environment" | "flag";

export interface LoadedSettings {
  readonly values: Readonly<Settings>;
  readonly sources: Readonly<Record<SettingName, SettingSource>>;
  /** As `values`, with secrets masked. */
  readonly shown: Readonly<Record<string, unknown>>;
}

interface Row {
  readonly type?: string;
  readonly minimum?: number;
  readonly maximum?: number;
  /** For a list: the type of its items. */
  readonly items?: { readonly type?: string };
  /** The allowed words. */
  readonly anyOf?: readonly { readonly const: string }[];
  readonly default?: unknown;
  readonly secret?: boolean;
  readonly env?: string;
  readonly description: string;
}

const rows = Settings.properties as unknown as Record<SettingName, Row>;
export const settingNames = Object.keys(rows) as SettingName[];
export const settingRow = (name: SettingName): Row => rows[name];

export interface SettingInputs {
  /** Text of the settings file (YAML or JSON) and its name for errors. */
  readonly file?: { readonly path: string; readonly text: string } | undefined;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** By setting name: the text as typed, or a list for repeated flags. */
  readonly flags: Readonly<Partial<Record<SettingName, string | readonly string[]>>>;
}

/** @throws SETTINGS_INVALID, SETTINGS_UNKNOWN, SETTINGS_FILE_UNREADABLE; each names the setting and where it was set */
export function loadSettings({ file, environment, flags }: SettingInputs): LoadedSettings {
  const values: Record<string, unknown> = {};
  const sources: Record<string, SettingSource> = {};
  const wheres: Record<string, string> = {};
  const set = (name: SettingName, value: unknown, source: SettingSource, where: string) => {
    values[name] = value;
    sources[name] = source;
    wheres[name] = where;
  };
  for (const name of settingNames) {
    if (rows[name].default !== undefined) set(name, structuredClone(rows[name].default), "default", "its default");
  }
  if (file) {
    for (const [name, value] of Object.entries(parseFile(file))) {
      if (!Object.hasOwn(rows, name)) throw unknown(`"${name}" in ${file.path}`, name);
      set(name as SettingName, value, "file", file.path);
    }
  }
  for (const name of settingNames) {
    const alias = rows[name].env;
    const key = own(environment, envOf(name)) === undefined && alias !== undefined ? alias : envOf(name);
    const text = own(environment, key);
    if (text !== undefined && text !== "") set(name, read(rows[name], text), "environment", key);
  }
  const known = new Set(settingNames.map(envOf));
  for (const key of Object.keys(environment)) {
    if (key.startsWith("POSTHOUSE_") && !known.has(key) && !NOT_SETTINGS.has(key)) throw unknown(key, key);
  }
  for (const name of settingNames) {
    const flag = flags[name];
    if (flag !== undefined) set(name, read(rows[name], flag), "flag", flagOf(name));
  }
  check(values, wheres);
  usePortBase({ values, sources, wheres });
  const shown = Object.fromEntries(
    Object.entries(values).map(([name, value]) => [name, rows[name as SettingName].secret ? "***" : value]),
  );
  return Object.freeze({
    values: Object.freeze(values) as unknown as Settings,
    sources: Object.freeze(sources) as Record<SettingName, SettingSource>,
    shown: Object.freeze(shown),
  });
}

/** The ports that `portBase` gives, in its order. */
const PORTS_FROM_BASE = [
  "port",
  "agentPort",
  "operationsPort",
  "gatewayPort",
  "gatewayTlsPort",
  "dnsPort",
] as const satisfies SettingName[];

/** Ports that are not set explicitly follow one another from the base. The control plane's URL follows, too. */
function usePortBase({
  values,
  sources,
  wheres,
}: Record<"values" | "sources" | "wheres", Record<string, unknown>>): void {
  const { portBase } = values;
  if (typeof portBase !== "number") return;
  const take = (name: SettingName, value: unknown) => {
    if (sources[name] !== "default") return;
    values[name] = value;
    sources[name] = sources["portBase"];
    wheres[name] = wheres["portBase"];
  };
  for (const [at, name] of PORTS_FROM_BASE.entries()) take(name, portBase + at);
  take("controlUrls", [`http://127.0.0.1:${portBase}`]);
}

/** Variables with our prefix that are not settings: those of the command line, some of which the Node client reads, too. */
const NOT_SETTINGS = new Set(["POSTHOUSE_SETTINGS", "POSTHOUSE_CONTEXT", "POSTHOUSE_NAMESPACE"]);

function parseFile({ path, text }: { path: string; text: string }): Record<string, unknown> {
  const document = parseDocument(text, { prettyErrors: true });
  const [error] = document.errors;
  if (error) throw SettingsErrors.FILE_UNREADABLE(`${path}: ${error.message}`);
  const content: unknown = document.toJS({ maxAliasCount: 100 });
  if (content === null) return {};
  if (typeof content !== "object" || Array.isArray(content)) {
    throw SettingsErrors.FILE_UNREADABLE(`${path} must contain settings by name, such as "port: 8500".`);
  }
  return content as Record<string, unknown>;
}

/** Converts typed text to the row's type. Text that does not fit is returned unchanged, for the check to report. */
function read(row: Row, input: string | readonly string[]): unknown {
  if (row.type === "array" && row.items?.type === "object") {
    const texts = typeof input === "string" ? [input] : input;
    return texts.flatMap((text) => parseObjects(text));
  }
  if (row.type === "array") {
    return (typeof input === "string" ? [input] : input).flatMap((part) => part.split(",")).map((part) => part.trim());
  }
  const text = typeof input === "string" ? input : (input.at(-1) ?? "");
  if (row.type === "integer" || row.type === "number") return text.trim() === "" ? text : numberOf(text);
  if (row.type === "boolean") return text === "true" ? true : text === "false" ? false : text;
  return text;
}

/** One object or a list of objects. Text that is not JSON is returned unchanged, for the check to report. */
function parseObjects(text: string): unknown[] {
  try {
    const parsed: unknown = JSON.parse(text);
    return Array.isArray(parsed) ? parsed : [parsed];
  } catch {
    return [text];
  }
}

function numberOf(text: string): number | string {
  const number = Number(text);
  return Number.isNaN(number) ? text : number;
}

// Defaults of settings are already set. These are the defaults inside of lists.
const ajv = new Ajv({
  strict: false,
  allErrors: false,
  useDefaults: true,
  verbose: true,
  // Compiling the meta-schema would cost each start tens of milliseconds. A test checks the schema of the settings instead.
  validateSchema: false,
});
for (const [name, problem] of Object.entries(HOST_FORMATS)) {
  ajv.addFormat(name, (text: string) => problem(text) === undefined);
}
const validate = ajv.compile(Settings);

/** The problem with a value of each format. */
const SHAPES: ReadonlyMap<string, string> = new Map([
  ["host-address", "must be an IP address or a host name, without scheme, port or brackets"],
  ["http-url", "must be an http or https URL with an IP address or a host name"],
]);

function check(values: Record<string, unknown>, wheres: Record<string, string>): void {
  if (validate(values)) return;
  const errors = validate.errors ?? [];
  const [problem] = schemaProblems(errors);
  const [, name, ...inside] = (problem?.pointer ?? "").split("/") as ["", SettingName, ...string[]];
  const value = rows[name]?.secret ? "***" : JSON.stringify(values[name]);
  const shape = SHAPES.get((errors[0]?.params as { format?: string } | undefined)?.format ?? "");
  const must = shape ?? problem?.message ?? "is not valid";
  const place = inside.length === 0 ? "" : `: /${inside.join("/")}`;
  throw SettingsErrors.INVALID(
    `${name}${place} ${must}, but ${wheres[name] ?? "its source"} sets it to ${value}. Set it with ${spellings(name)}.`,
    { extra: { field: `/${name}` } },
  );
}

function unknown(what: string, name: string) {
  const close = settingNames.find(
    (known) => known.toLowerCase() === name.toLowerCase().replaceAll(/posthouse_|[_-]/g, ""),
  );
  return SettingsErrors.UNKNOWN(
    `Unknown setting ${what}. ${close ? `Did you mean ${close} (${spellings(close)})?` : "`posthouse up --help` lists all settings."}`,
  );
}
