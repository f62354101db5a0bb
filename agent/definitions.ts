/**
 * Reads the folder of definition files: the services of this host, and the files that it wants of config values. All of them are
 * valid or none takes effect; an error names the file, the line, the field and the fix.
 */
import { readdir, readFile, stat } from "node:fs/promises";
import { join, resolve } from "node:path";
import type { TSchema } from "typebox";
import { Errors, Pointer } from "typebox/value";
import { LineCounter, parseDocument, type Document } from "yaml";
import { messageOf, schemaProblems } from "#base";
import { isLoopback } from "#http";
import type { SetName } from "#config-server/api";
import {
  addressProblem,
  AgentErrors,
  certificateProblem,
  CHECK_KINDS,
  checkProblem,
  DEFINITION_BYTES_MAX,
  DEFINITION_FILES_MAX,
  DefinitionFile,
  fileProblem,
  FILES_PER_AGENT_MAX,
  SERVICES_PER_AGENT_MAX,
  type CertificateFiles,
  type ClaimName,
  type FileCheck,
  type FileDefinition,
  type FileRequest,
  type FileWrite,
  type LocalRegistration,
  type Reload,
  type ServiceDefinition,
  sidecarProblem,
  type SidecarDefinition,
} from "./api.ts";
import type { LogSource } from "./contract/logs.ts";
import type { WantedTemplate } from "./core/plan.ts";

export interface DefinedService {
  readonly name: ClaimName;
  readonly registration: LocalRegistration;
  readonly certificate?: CertificateFiles | undefined;
  readonly sidecar?: SidecarDefinition | undefined;
  readonly logs?: readonly LogSource[] | undefined;
}

export interface DefinedFile {
  readonly path: string;
  readonly namespace: string;
  readonly app: string;
  readonly profile: string;
  /** The key whose text the file has; undefined: it is made from the template. */
  readonly key: string | undefined;
  readonly template?: (WantedTemplate & { readonly sets: ReadonlyMap<string, SetName> }) | undefined;
  /** Mode of a new file. */
  readonly mode: number | undefined;
  readonly write?: FileWrite | undefined;
  readonly check?: FileCheck | undefined;
  readonly reload?: Reload | undefined;
}

export interface Definitions {
  readonly services: readonly DefinedService[];
  readonly files: readonly DefinedFile[];
}

export interface DefinitionDefaults {
  readonly node: string;
  readonly address: string;
}

export const DEFAULT_NAMESPACE = "default";
const DEFAULT_PROFILE = "default";
const EXTENSIONS = /\.(yaml|yml|json)$/;

/**
 * Names and times of the definition files and their templates: while it stays equal, nothing must be read again. A missing folder
 * counts as empty.
 */
export async function fingerprint(folder: string, templates: readonly string[] = []): Promise<string> {
  const marks = [...(await listFiles(folder)), ...templates].map(async (path) => {
    const found = await stat(path).catch(() => undefined);
    return `${path} ${found?.mtimeMs} ${found?.size} ${found?.ino}`;
  });
  return (await Promise.all(marks)).join("\n");
}

/** @throws AGENT_DEFINITION_INVALID */
export async function readDefinitions(folder: string, defaults: DefinitionDefaults): Promise<Definitions> {
  const paths = await listFiles(folder);
  if (paths.length > DEFINITION_FILES_MAX) {
    throw AgentErrors.DEFINITION_INVALID(
      `${folder} contains ${paths.length} definition files; the maximum is ${DEFINITION_FILES_MAX}.`,
    );
  }
  const services = new Map<string, DefinedService>();
  const files = new Map<string, DefinedFile>();
  for (const path of paths) {
    const source = await readSource(path);
    for (const [field, service] of source.services) {
      const defined = serviceOf(service, defaults);
      const { id } = defined.name;
      if (services.has(id)) {
        throw source.invalid(
          field,
          `another service of this host already has the id "${id}"; give each service its own id`,
        );
      }
      checkService(source, field, service);
      services.set(id, defined);
    }
    for (const [field, file] of source.files) {
      const problem = fileProblem(file, isLoopback);
      if (problem) throw source.invalid(`${field}${problem.field}`, problem.message);
      const defined = fileOf(file, folder);
      if (files.has(defined.path)) {
        throw source.invalid(`${field}/path`, `another entry already writes ${defined.path}; remove one of the two`);
      }
      files.set(defined.path, defined);
    }
  }
  if (services.size > SERVICES_PER_AGENT_MAX || files.size > FILES_PER_AGENT_MAX) {
    throw AgentErrors.DEFINITION_INVALID(
      `${folder} defines ${services.size} services and ${files.size} files; the maximum is ${SERVICES_PER_AGENT_MAX} services and ${FILES_PER_AGENT_MAX} files.`,
    );
  }
  return { services: [...services.values()], files: [...files.values()] };
}

async function listFiles(folder: string): Promise<string[]> {
  let names: string[];
  try {
    names = await readdir(folder);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw AgentErrors.DEFINITION_INVALID(`The folder of definition files cannot be read: ${messageOf(cause)}.`, {
      cause,
    });
  }
  // A dot file belongs to an editor, or is still being written.
  return names
    .filter((name) => EXTENSIONS.test(name) && !name.startsWith("."))
    .sort()
    .map((name) => join(folder, name));
}

/** One file, parsed and checked, with each entry's field (a JSON pointer) for errors. */
interface DefinitionSource {
  readonly services: readonly (readonly [field: string, ServiceDefinition])[];
  readonly files: readonly (readonly [field: string, FileDefinition])[];
  invalid(field: string, message: string): Error;
}

async function readSource(path: string): Promise<DefinitionSource> {
  const text = await readFileText(path);
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const [syntax] = document.errors;
  if (syntax) {
    const { line, col } = lines.linePos(syntax.pos[0]);
    throw AgentErrors.DEFINITION_INVALID(`${path}:${line}:${col}: ${syntax.message}.`, { extra: { path, line } });
  }
  const invalid = (field: string, message: string) => {
    const line = lineOf(document, lines, field);
    return AgentErrors.DEFINITION_INVALID(`${path}:${line}: ${field === "" ? "the file" : field}: ${message}.`, {
      extra: { path, line, field },
    });
  };
  const content = contentOf(document, path);
  const problem = firstProblem(content);
  if (problem) throw invalid(problem.field, problem.message);
  const { service, services = [], file, files = [] } = content as DefinitionFile;
  return {
    services: [
      ...(service ? [["/service", service] as const] : []),
      ...services.map((one, i) => [`/services/${i}`, one] as const),
    ],
    files: [...(file ? [["/file", file] as const] : []), ...files.map((one, i) => [`/files/${i}`, one] as const)],
    invalid,
  };
}

async function readFileText(path: string): Promise<string> {
  try {
    const { size } = await stat(path);
    if (size > DEFINITION_BYTES_MAX) throw new Error(`it has ${size} bytes; the maximum is ${DEFINITION_BYTES_MAX}`);
    return await readFile(path, "utf8");
  } catch (cause) {
    throw AgentErrors.DEFINITION_INVALID(`${path} cannot be read: ${messageOf(cause)}.`, { cause, extra: { path } });
  }
}

function contentOf(document: Document, path: string): unknown {
  try {
    return document.toJS({ maxAliasCount: 100 }) ?? {};
  } catch (cause) {
    throw AgentErrors.DEFINITION_INVALID(`${path}: ${messageOf(cause)}.`, { cause, extra: { path } });
  }
}

interface FieldProblem {
  readonly field: string;
  readonly message: string;
}

function firstProblem(content: unknown): FieldProblem | undefined {
  const found = problemOf(DefinitionFile, content, "");
  const check = found && /^(.*\/checks\/\d+)(\/|$)/.exec(found.field)?.[1];
  if (check === undefined) return found;
  // A check has one of several shapes; its type tells which one the author meant.
  const value: unknown = Pointer.Get(content, check);
  const type = (value as { type?: unknown } | null)?.type;
  const kind = Object.entries(CHECK_KINDS).find(([name]) => name === type);
  if (kind) return problemOf(kind[1], value, check);
  return { field: `${check}/type`, message: `must be one of ${Object.keys(CHECK_KINDS).join(", ")}` };
}

function problemOf(schema: TSchema, value: unknown, at: string): FieldProblem | undefined {
  const [problem] = schemaProblems(Errors(schema, value));
  if (!problem) return undefined;
  const { pointer, kind, message } = problem;
  const field = at + pointer;
  if (kind !== "value") return { field, message: `"${pointer.slice(pointer.lastIndexOf("/") + 1)}" ${message}` };
  const shown = JSON.stringify(Pointer.Get(value, pointer))?.slice(0, 80);
  return { field, message: `${message}${shown === undefined ? "" : `, not ${shown}`}` };
}

function lineOf(document: Document, lines: LineCounter, field: string): number {
  const keys = field
    .split("/")
    .slice(1)
    .map((part) => part.replaceAll("~1", "/").replaceAll("~0", "~"));
  // A missing field has no line, so its parent's line is returned.
  for (; keys.length > 0; keys.pop()) {
    const node = document.getIn(keys, true) as { range?: [number, number, number] | null } | undefined;
    if (node?.range) return lines.linePos(node.range[0]).line;
  }
  return 1;
}

function checkService(
  source: DefinitionSource,
  field: string,
  { address, checks = [], sidecar = {}, certificate }: ServiceDefinition,
): void {
  const unfit =
    addressProblem(address) ?? sidecarProblem(sidecar) ?? (certificate && certificateProblem(certificate, isLoopback));
  if (unfit) throw source.invalid(`${field}${unfit.field}`, unfit.message);
  const seen = new Set<string>();
  for (const [i, check] of checks.entries()) {
    const { id } = check;
    if (seen.has(id))
      throw source.invalid(
        `${field}/checks/${i}/id`,
        `another check also has the id "${id}"; give each check its own id`,
      );
    seen.add(id);
    const problem = checkProblem(check, "agent");
    if (problem) throw source.invalid(`${field}/checks/${i}${problem.field}`, problem.message);
  }
}

/** A host name may be too long for an id that also has a name and a port, and may contain other characters. */
function idPart(node: string): string {
  return (
    node
      .replaceAll(/[^A-Za-z0-9._-]/g, "-")
      .replace(/^[^A-Za-z0-9]+/, "")
      .slice(0, 58) || "host"
  );
}

/** The service to claim, with the defaults of this host. */
export function serviceOf(definition: ServiceDefinition, { node, address }: DefinitionDefaults): DefinedService {
  const {
    name,
    namespace = DEFAULT_NAMESPACE,
    id = `${idPart(node)}-${name}-${definition.port}`,
    sidecar,
    certificate,
    logs,
    ...rest
  } = definition;
  return {
    name: { namespace, service: name, id },
    registration: { address, ...rest },
    ...(sidecar ? { sidecar } : {}),
    ...(certificate ? { certificate } : {}),
    ...(logs ? { logs } : {}),
  };
}

function fileOf(definition: FileDefinition, folder: string): DefinedFile {
  const { path, mode, write, check, reload, template, ...set } = definition;
  const source = template?.path === undefined ? template : { ...template, path: resolve(folder, template.path) };
  return {
    ...contentOfFile({ ...set, ...(source === undefined ? {} : { template: source }) }),
    path: resolve(folder, path),
    mode: mode === undefined ? undefined : Number.parseInt(mode, 8),
    write,
    check,
    reload,
  };
}

/** The content of a file entry, with the defaults filled in. */
export function contentOfFile({
  namespace = DEFAULT_NAMESPACE,
  app,
  profile = DEFAULT_PROFILE,
  key,
  template,
}: FileRequest | Pick<FileDefinition, keyof FileRequest>): Pick<DefinedFile, keyof FileRequest> {
  const set = { namespace, app, profile };
  if (!template) return { ...set, key };
  const { escape = "none", sets = {} } = template;
  const path = "path" in template ? template.path : undefined;
  const named = Object.entries(sets).map(
    ([name, one]) => [name, { namespace, profile: DEFAULT_PROFILE, ...one }] as const,
  );
  const source = path === undefined ? { key: template.key ?? "" } : { path };
  return { ...set, key: undefined, template: { source, escape, sets: new Map(named) } };
}
