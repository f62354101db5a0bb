/**
 * The control plane of one command: which one it is and by which token, and the calls to it. A flag overrides the environment, the
 * environment a settings file, that file the context, and the context the defaults. A context that `--context` names is a flag, too.
 */
import { own } from "#base";
import type { Host, Log } from "#base";
import { libraryHost } from "#base/library";
import type { Client } from "#client";
import { type ControlCalls, controlCalls, type ControlTls, httpTransport } from "#client/light";
import { CONTROL_ROWS, envOf } from "#settings/control";
import { chosenContext, tokenOf } from "./contexts.ts";
import { type StatedTrust, trustOf } from "./control-trust.ts";
import { CliErrors } from "./errors.ts";
import { DEFAULT_NAMESPACE, NAMESPACE_VARIABLE } from "./namespace.ts";
import type { GivenOptions } from "./options.ts";
import type { Terminal } from "./terminal.ts";

/** Where a value comes from, for `posthouse context show` and `doctor`. */
type ControlSource = "flag" | "environment" | "settings file" | "context" | "default";
interface Sourced<T> {
  readonly value: T;
  readonly source: ControlSource;
}

export interface ControlSettings {
  readonly values: {
    readonly controlUrls: readonly string[];
    readonly token?: string | undefined;
    /** How an https URL is verified. Undefined: by the authorities of the system. */
    readonly tls?: ControlTls | undefined;
    /** The namespace of a command without `--namespace`. */
    readonly namespace: string;
  };
  readonly sources: Readonly<Record<"controlUrls" | "token" | "namespace", ControlSource>>;
  /** Name of the context in use. */
  readonly context: string | undefined;
}

/** The host of a command. Its warnings are lines on standard error. */
export function commandHost(): Host {
  const warn = (_fields: object, message: string) => void process.stderr.write(`posthouse: ${message}\n`);
  const nothing = (): void => {};
  const log: Log = { debug: nothing, info: nothing, warn, error: warn, child: () => log };
  return libraryHost(log);
}

/** @throws SETTINGS_INVALID, SETTINGS_UNKNOWN, CLI_CONTEXT_NOT_FOUND */
export async function controlSettings(options: GivenOptions, terminal: Terminal): Promise<ControlSettings> {
  const context = await chosenContext(terminal, options["context"] as string | undefined);
  const given = isPlain(options, terminal) ? plainSettings(options, terminal) : await loadedSettings(options, terminal);
  const fromContext = context?.entry.controlUrls;
  const isChosen = context?.byFlag === true;
  const urls = ((): Sourced<readonly string[]> => {
    const stated = given.controlUrls;
    if (stated.source === "flag" || !fromContext) return stated;
    return isChosen || stated.source === "default" ? { value: fromContext, source: "context" } : stated;
  })();
  // The token and the trust of a context are for the URLs of that context only.
  const isItsOwn = urls.source === "context" || sameUrls(urls.value, fromContext ?? CONTROL_ROWS.controlUrls.default);
  const token = await (async (): Promise<Sourced<string | undefined>> => {
    const stated = given.token;
    if (stated.source === "flag" || !context) return stated;
    if (!isChosen && stated.value !== undefined) return stated;
    return isItsOwn
      ? { value: await tokenOf(context.entry), source: "context" }
      : { value: undefined, source: "default" };
  })();
  const namespace = namespaceFor(terminal, context);
  const tls = await trustOf(given.trust, isItsOwn ? context?.entry : undefined);
  return {
    values: { controlUrls: urls.value, token: token.value, tls, namespace: namespace.value },
    sources: { controlUrls: urls.source, token: token.source, namespace: namespace.source },
    context: context?.name,
  };
}

function namespaceFor({ environment }: Terminal, context: Awaited<ReturnType<typeof chosenContext>>): Sourced<string> {
  const variable = environment[NAMESPACE_VARIABLE] || undefined;
  const stored = context?.entry.namespace;
  if (stored !== undefined && (context?.byFlag || variable === undefined)) return { value: stored, source: "context" };
  if (variable !== undefined) return { value: variable, source: "environment" };
  return { value: DEFAULT_NAMESPACE, source: "default" };
}

function sameUrls(a: readonly string[], b: readonly string[]): boolean {
  return a.join() === b.join();
}

interface GivenSettings {
  readonly trust: StatedTrust;
  readonly controlUrls: Sourced<readonly string[]>;
  readonly token: Sourced<string | undefined>;
}

const [URLS_ENV, TOKEN_ENV] = [envOf("controlUrls"), envOf("token")];
const [CA_ENV, FINGERPRINT_ENV] = [envOf("controlCaFile"), envOf("controlFingerprint")];
/** Variables that the short way reads. Any other with our prefix may be misspelled, which the complete way reports. */
const PLAIN_ENV = new Set([URLS_ENV, TOKEN_ENV, CA_ENV, FINGERPRINT_ENV, NAMESPACE_VARIABLE, "POSTHOUSE_CONTEXT"]);
const PLAIN_URL = /^https?:\/\/(?:[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:]+\])(?::[0-9]{1,5})?\/?$/i;

/** Whether the short way reads these settings as the complete way would. */
function isPlain(options: GivenOptions, { environment }: Terminal): boolean {
  if (options["settings"] !== undefined) return false;
  const names = Object.keys(environment).filter((name) => name.startsWith("POSTHOUSE_") && !PLAIN_ENV.has(name));
  return names.length === 0 && urlsOf(options, environment).every((url) => PLAIN_URL.test(url));
}

function urlsOf(options: GivenOptions, environment: Terminal["environment"]): string[] {
  const given = (options["controlUrls"] as string[] | undefined) ?? [own(environment, URLS_ENV) ?? ""];
  return given
    .flatMap((part) => part.split(","))
    .map((part) => part.trim())
    .filter((part, _at, all) => part !== "" || all.length > 1);
}

function plainSettings(options: GivenOptions, { environment }: Terminal): GivenSettings {
  const urls = urlsOf(options, environment);
  const flag = options["token"] as string | undefined;
  const variable = own(environment, TOKEN_ENV) || undefined;
  const { controlCaFile, controlFingerprint } = options as StatedTrust;
  return {
    trust: {
      controlCaFile: controlCaFile ?? (own(environment, CA_ENV) || undefined),
      controlFingerprint: controlFingerprint ?? (own(environment, FINGERPRINT_ENV) || undefined),
    },
    controlUrls:
      urls.length === 0
        ? { value: CONTROL_ROWS.controlUrls.default, source: "default" }
        : { value: urls, source: options["controlUrls"] === undefined ? "environment" : "flag" },
    token: { value: flag ?? variable, source: flag !== undefined ? "flag" : variable ? "environment" : "default" },
  };
}

async function loadedSettings(options: GivenOptions, terminal: Terminal): Promise<GivenSettings> {
  const { readSettings } = await import("./setting-options.ts");
  const { settings, controlUrls, token, controlCaFile, controlFingerprint } = options;
  const { values, sources } = readSettings(
    { settings, controlUrls, token, controlCaFile, controlFingerprint },
    terminal,
  );
  const named = (source: (typeof sources)["token"] = "default"): ControlSource =>
    source === "file" ? "settings file" : source;
  return {
    trust: values,
    controlUrls: { value: values.controlUrls, source: named(sources.controlUrls) },
    token: { value: values.token, source: named(sources.token) },
  };
}

/** The settings that a call needs. */
export interface ControlAccess {
  readonly values: Pick<ControlSettings["values"], "controlUrls" | "token" | "tls">;
}

/** @throws CLI_TOKEN_MISSING */
function tokenFrom({ values }: ControlAccess): string {
  if (values.token !== undefined) return values.token;
  throw CliErrors.TOKEN_MISSING(
    `A token for ${values.controlUrls.join(", ")} is required. Use export POSTHOUSE_TOKEN=ph_…, or store one in a context with ` +
      "posthouse login. An operator issues one with: posthouse token create NAME --policy POLICY.",
  );
}

/** Runs with the calls of the control plane, and closes its connections afterwards. @throws CLI_TOKEN_MISSING */
export async function withControlCalls<T>(
  settings: ControlAccess,
  run: (client: ControlCalls) => Promise<T>,
): Promise<T> {
  const token = tokenFrom(settings);
  await using transport = httpTransport({ urls: settings.values.controlUrls, tls: settings.values.tls });
  return await run(controlCalls(commandHost(), { transport, token }));
}

/** Runs with the calls that need no token. */
export async function withOpenCalls<T>(
  { values }: ControlAccess,
  run: (client: ControlCalls) => Promise<T>,
): Promise<T> {
  await using transport = httpTransport({ urls: values.controlUrls, tls: values.tls });
  return await run(controlCalls(commandHost(), { transport }));
}

/** Like `withControlCalls`, with the whole client: for commands that run long and hold sessions. */
export async function withControlClient<T>(settings: ControlAccess, run: (client: Client) => Promise<T>): Promise<T> {
  const token = tokenFrom(settings);
  const { Client, fetchTransport } = await import("#client");
  await using transport = fetchTransport({ urls: settings.values.controlUrls, tls: settings.values.tls });
  return await run(new Client(commandHost(), { transport, token }));
}
