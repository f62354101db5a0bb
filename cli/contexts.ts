/**
 * Contexts: control planes by name, each with its URLs and a token, in a file that only its owner can read. The file is YAML; the package
 * that reads it is loaded only when there is a file.
 */
import { mkdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { messageOf, own } from "#base";
import { CliErrors } from "./errors.ts";
import { givenOnly } from "./options.ts";
import type { Terminal } from "./terminal.ts";

/** Only the user may read tokens. */
const MODE = { file: 0o600, folder: 0o700 } as const;
/** Permission bits of everybody except the owner. */
const OTHERS = 0o077;

export interface ContextEntry {
  readonly controlUrls?: readonly string[];
  readonly token?: string;
  /** File that has the token, such as a mounted secret. Read at each use. */
  readonly tokenFile?: string;
  /** Namespace of commands without `--namespace`. */
  readonly namespace?: string;
  /** PEM of the authorities that the control plane is verified by, and the fingerprint of one. */
  readonly ca?: string | undefined;
  readonly fingerprint?: string | undefined;
}
export interface ContextFile {
  readonly current?: string;
  readonly contexts: Readonly<Record<string, ContextEntry>>;
}

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;

export function requireContextName(name: string): string {
  if (NAME.test(name)) return name;
  throw CliErrors.ARGUMENT_INVALID(
    `"${name}" is not a valid name of a context. Use letters, digits, dot, underscore and dash; at most 64.`,
  );
}

/** The file of contexts; undefined where neither XDG_CONFIG_HOME nor HOME is set. */
export function contextsPath({ environment }: Pick<Terminal, "environment">): string | undefined {
  const { XDG_CONFIG_HOME: config, HOME: home } = environment;
  const base = config || (home ? join(home, ".config") : undefined);
  return base === undefined ? undefined : join(base, "posthouse", "contexts.yaml");
}

/** @throws CLI_CONTEXTS_INVALID, CLI_CONTEXTS_EXPOSED */
export async function readContexts(terminal: Pick<Terminal, "environment">): Promise<ContextFile> {
  const path = contextsPath(terminal);
  if (path === undefined) return { contexts: {} };
  let text: string;
  let mode: number;
  try {
    text = await readFile(path, "utf8");
    ({ mode } = await stat(path));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return { contexts: {} };
    throw CliErrors.CONTEXTS_INVALID(`${path} cannot be read: ${messageOf(error)}.`, { cause: error });
  }
  const { parse } = await import("yaml");
  let tree: unknown;
  try {
    tree = parse(text, { maxAliasCount: 0 });
  } catch (error) {
    throw CliErrors.CONTEXTS_INVALID(`${path} is not valid YAML: ${messageOf(error)}.`, { cause: error });
  }
  const file = checked(path, tree ?? {});
  const hasToken = Object.values(file.contexts).some(({ token }) => token !== undefined);
  if (hasToken && (mode & OTHERS) !== 0) {
    throw CliErrors.CONTEXTS_EXPOSED(
      `${path} has tokens and can be read by other users. Revoke those that may be known.`,
    );
  }
  return file;
}

function checked(path: string, tree: unknown): ContextFile {
  const refuse = (what: string) => CliErrors.CONTEXTS_INVALID(`${path}: ${what}`);
  if (!isRecord(tree)) throw refuse('it must have "current" and "contexts".');
  const { current, contexts = {}, ...rest } = tree;
  for (const name of Object.keys(rest)) throw refuse(`unknown field "${name}". Use "current" and "contexts".`);
  if (current !== undefined && typeof current !== "string") throw refuse('"current" must be the name of a context.');
  if (!isRecord(contexts)) throw refuse('"contexts" must have contexts by name.');
  const entries = Object.entries(contexts).map(([name, entry]) => {
    if (!isRecord(entry)) throw refuse(`context "${name}" must have fields.`);
    const {
      "control-urls": controlUrls,
      token,
      "token-file": tokenFile,
      namespace,
      ca,
      fingerprint,
      ...others
    } = entry;
    for (const field of Object.keys(others)) {
      throw refuse(
        `context "${name}" has the unknown field "${field}". Use "control-urls", "token", "token-file", "namespace", "ca" and "fingerprint".`,
      );
    }
    const isUrls = Array.isArray(controlUrls) && controlUrls.every((url) => typeof url === "string");
    if (controlUrls !== undefined && !isUrls)
      throw refuse(`"control-urls" of context "${name}" must be a list of URLs.`);
    for (const [field, value] of Object.entries({ token, "token-file": tokenFile, namespace, ca, fingerprint })) {
      if (value !== undefined && typeof value !== "string")
        throw refuse(`"${field}" of context "${name}" must be text.`);
    }
    return [name, { controlUrls, token, tokenFile, namespace, ca, fingerprint } as ContextEntry] as const;
  });
  return { ...(current === undefined ? {} : { current }), contexts: Object.fromEntries(entries) };
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Writes the whole file or nothing. */
export async function writeContexts(terminal: Pick<Terminal, "environment">, { current, contexts }: ContextFile) {
  const path = contextsPath(terminal);
  if (path === undefined) {
    throw CliErrors.CONTEXTS_INVALID("Contexts cannot be stored: neither XDG_CONFIG_HOME nor HOME is set.");
  }
  const { stringify } = await import("yaml");
  const entries = Object.entries(contexts).map(
    ([name, { controlUrls, token, tokenFile, namespace, fingerprint, ca }]) => [
      name,
      givenOnly({ "control-urls": controlUrls, token, "token-file": tokenFile, namespace, fingerprint, ca }),
    ],
  );
  await mkdir(dirname(path), { recursive: true, mode: MODE.folder });
  const fresh = `${path}.${process.pid}`;
  try {
    await writeFile(
      fresh,
      stringify({ ...(current === undefined ? {} : { current }), contexts: Object.fromEntries(entries) }),
      {
        mode: MODE.file,
      },
    );
    await rename(fresh, path);
  } finally {
    await rm(fresh, { force: true });
  }
}

/** The context that a command uses, and whether it was named by the flag. @throws CLI_CONTEXT_NOT_FOUND */
export async function chosenContext(
  terminal: Pick<Terminal, "environment">,
  flag: string | undefined,
): Promise<{ readonly name: string; readonly entry: ContextEntry; readonly byFlag: boolean } | undefined> {
  const named = flag ?? (terminal.environment["POSTHOUSE_CONTEXT"] || undefined);
  const { current, contexts } = await readContexts(terminal);
  const name = named ?? current;
  if (name === undefined) return undefined;
  const entry = own(contexts, name);
  if (entry) return { name, entry, byFlag: flag !== undefined };
  throw CliErrors.CONTEXT_NOT_FOUND(
    `Context "${name}" is not in ${contextsPath(terminal)}. Add one with: posthouse context set ${name} --control-urls URL`,
  );
}

/** The token of a context; undefined: it has none. @throws CLI_FILE_UNREADABLE */
export async function tokenOf({ token, tokenFile }: ContextEntry): Promise<string | undefined> {
  if (tokenFile === undefined) return token;
  try {
    return (await readFile(tokenFile, "utf8")).trim();
  } catch (cause) {
    throw CliErrors.FILE_UNREADABLE(`token-file ${tokenFile} cannot be read: ${messageOf(cause)}.`, { cause });
  }
}
