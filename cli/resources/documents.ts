/** Reads resources from files, folders and standard input: YAML or JSON, several documents per file. */
import { lstat, readdir, readFile } from "node:fs/promises";
import { dirname, extname, isAbsolute, join, normalize, relative } from "node:path";
import { Ajv, type ValidateFunction } from "ajv";
import { LineCounter, parseAllDocuments } from "yaml";
import { messageOf, own, schemaProblems } from "#base";
import { CliErrors } from "../errors.ts";
import { failUnreadable, readInput } from "../input.ts";
import type { Terminal } from "../terminal.ts";
import type { ConfigSetSpec } from "./config-set.ts";
import { KEY_KINDS, RESOURCE_KINDS } from "./kinds.ts";
import type { Metadata, ResourceInputs, ResourceKind } from "./kind.ts";
import { kindSchemas } from "./schema.ts";

/** Documents and bytes of one apply: more than a team keeps in one folder, and a bound on what is in memory. */
const DOCUMENTS_MAX = 5_000;
const FILE_BYTES_MAX = 16 * 1024 * 1024;
const EXTENSIONS = new Set([".yaml", ".yml", ".json"]);

/** A resource as its document describes it. */
export interface DesiredResource {
  readonly kind: ResourceKind;
  readonly id: string;
  readonly metadata: Metadata;
  readonly spec: unknown;
  /** `FILE:LINE`. */
  readonly place: string;
}

interface WrittenDocument {
  readonly tree: Readonly<Record<string, unknown>>;
  /** As written, without defaults. */
  readonly spec: unknown;
  readonly place: string;
  readonly folder: string;
}

/** @throws CLI_RESOURCE_INVALID with every problem, CLI_FILE_UNREADABLE */
export async function readResources(paths: readonly string[], terminal: Terminal): Promise<DesiredResource[]> {
  const written: WrittenDocument[] = [];
  for (const path of paths) {
    for (const file of await filesOf(path)) written.push(...(await documentsOf(file, terminal)));
  }
  if (written.length > DOCUMENTS_MAX) {
    throw CliErrors.RESOURCE_INVALID(
      `There are ${written.length} documents; the maximum is ${DOCUMENTS_MAX}. Apply one folder at a time.`,
    );
  }
  await check(written);
  return desiredOf(written, terminal);
}

async function filesOf(path: string): Promise<string[]> {
  if (path === "-") return ["-"];
  const kind = await lstat(path).catch(failUnreadable(path));
  if (!kind.isDirectory()) return [path];
  const entries = await readdir(path, { withFileTypes: true, recursive: true });
  return entries
    .filter(
      (entry) =>
        entry.isFile() &&
        EXTENSIONS.has(extname(entry.name)) &&
        !/(^|\/)\./.test(relative(path, join(entry.parentPath, entry.name))),
    )
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();
}

async function documentsOf(file: string, terminal: Terminal): Promise<WrittenDocument[]> {
  const bytes = await readInput(terminal, file);
  if (bytes.length > FILE_BYTES_MAX) {
    throw CliErrors.RESOURCE_INVALID(`${file} has ${bytes.length} bytes; the maximum is ${FILE_BYTES_MAX}.`);
  }
  const lineCounter = new LineCounter();
  const documents = parseAllDocuments(Buffer.from(bytes).toString("utf8"), { lineCounter, prettyErrors: false });
  if ("empty" in documents) return [];
  return documents.flatMap((document) => {
    const at = (offset: number) => `${file}:${lineCounter.linePos(offset).line}`;
    const [error] = document.errors;
    if (error) throw CliErrors.RESOURCE_INVALID(`${at(error.pos[0])}: ${error.message}`);
    if (document.contents === null) return [];
    const tree = document.toJS({ maxAliasCount: 100 }) as unknown;
    const place = at(document.contents.range?.[0] ?? 0);
    if (typeof tree !== "object" || tree === null || Array.isArray(tree)) {
      throw CliErrors.RESOURCE_INVALID(`${place}: a resource must have "kind", "metadata" and "spec".`);
    }
    const { spec } = structuredClone(tree) as { spec?: unknown };
    return [{ tree: tree as WrittenDocument["tree"], spec, place, folder: file === "-" ? "." : dirname(file) }];
  });
}

/** Checks every document against the schema of its kind, and fills in defaults. */
async function check(written: readonly WrittenDocument[]): Promise<void> {
  const ajv = new Ajv({
    strict: false,
    useDefaults: true,
    validateSchema: false,
    validateFormats: false,
    verbose: true,
  });
  const schemas = new Map((await kindSchemas()).map(({ kind, schema }) => [kind, schema]));
  const compiled = new Map<string, ValidateFunction>();
  const problems = written.flatMap(({ tree, place }) => {
    const kind = String(tree["kind"]);
    const schema = schemas.get(kind);
    if (!schema) return [`${place}: "${kind}" is not a kind. Use ${[...schemas.keys()].join(", ")}.`];
    const validate = compiled.get(kind) ?? ajv.compile(schema);
    compiled.set(kind, validate);
    if (validate(tree)) return [];
    const [problem] = schemaProblems(validate.errors ?? []);
    return [`${place}: ${problem?.pointer ?? ""} ${problem?.message ?? "is not valid"}.`];
  });
  if (problems.length > 0) throw CliErrors.RESOURCE_INVALID(problems.join("\n"));
}

/** Lowers kinds that are one key, merges the keys of each set, and resolves files and variables. */
async function desiredOf(written: readonly WrittenDocument[], terminal: Terminal): Promise<DesiredResource[]> {
  const found = new Map<string, DesiredResource>();
  for (const { tree, spec: asWritten, place, folder } of written) {
    const keyKind = KEY_KINDS.find(({ kind }) => kind === tree["kind"]);
    const given = { metadata: tree["metadata"] as Metadata, spec: tree["spec"] };
    const { metadata, spec } = keyKind ? keyKind.lower(given.metadata, asWritten) : given;
    const kind = RESOURCE_KINDS.find((one) => one.kind === (keyKind ? "ConfigSet" : tree["kind"])) as ResourceKind;
    const id = kind.idOf(metadata);
    const resolved = (await kind.resolve?.(spec, inputsOf(folder, place, terminal), metadata)) ?? spec;
    const key = `${kind.kind} ${id}`;
    const before = found.get(key);
    found.set(key, {
      kind,
      id,
      metadata,
      spec: before ? merged(before, resolved, place) : resolved,
      place: before?.place ?? place,
    });
  }
  return [...found.values()].toSorted((a, b) => RESOURCE_KINDS.indexOf(a.kind) - RESOURCE_KINDS.indexOf(b.kind));
}

/** Two documents may describe one set when they have different keys. */
function merged(before: DesiredResource, spec: unknown, place: string): unknown {
  const [a, b] = [before.spec, spec] as [ConfigSetSpec, ConfigSetSpec];
  const isSet = before.kind.parts !== undefined;
  const same = isSet ? Object.keys(b.keys).find((key) => own(a.keys, key) !== undefined) : undefined;
  if (!isSet || same !== undefined) {
    const what = same === undefined ? "" : `the key ${same} of `;
    throw CliErrors.RESOURCE_INVALID(
      `${place}: ${what}${before.kind.kind} ${before.id} is also in ${before.place}. Remove one of the two.`,
    );
  }
  return { keys: { ...a.keys, ...b.keys } };
}

function inputsOf(folder: string, place: string, terminal: Terminal): ResourceInputs {
  return {
    async file(path) {
      // A document from elsewhere must not read files of this host, such as keys.
      if (isAbsolute(path) || normalize(path).startsWith("..")) {
        throw CliErrors.RESOURCE_INVALID(`${place}: file "${path}" is not inside the folder of the document.`);
      }
      return readFile(join(folder, path)).catch((cause: unknown) => {
        throw CliErrors.RESOURCE_INVALID(`${place}: file "${path}" cannot be read: ${messageOf(cause)}.`, { cause });
      });
    },
    env(name) {
      const value = name.startsWith("POSTHOUSE_") ? undefined : own(terminal.environment, name);
      if (value !== undefined) return value;
      throw CliErrors.RESOURCE_INVALID(`${place}: the environment variable ${name} is not set.`);
    },
  };
}
