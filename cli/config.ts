/** What `posthouse config` does: calls of the control plane, and their answers in lines that people and scripts read. */
import { readFile } from "node:fs/promises";
import { buffer } from "node:stream/consumers";
import { AppError, messageOf, own } from "#base";
import type { FileProblem, ImportQuery, ImportReport, Rollback, SetName } from "#config-server/api";
import { ConfigErrors } from "#config-server/api";
import { type LoadedSettings, SettingsErrors } from "#settings";
import { readImport, writeFolder, writeZipFile } from "./config-files.ts";
import { withControlClient } from "./control-client.ts";

const print = (line: string) => void process.stdout.write(`${line}\n`);

export async function listSets(settings: LoadedSettings, namespace: string | undefined): Promise<void> {
  const { sets } = await withControlClient(settings, (client) => client.config.sets(namespace));
  for (const { version, hash, ...name } of sets) print(`${idOf(name)}\t${version}\t${hash}`);
}

export async function getKey(settings: LoadedSettings, name: SetName, key: string | undefined): Promise<void> {
  const { items } = await withControlClient(settings, (client) => client.config.effective(name));
  if (key === undefined) {
    for (const [key, { format, origin }] of Object.entries(items).sort(([a], [b]) => (a < b ? -1 : 1))) {
      print(`${key}\t${format}\t${origin.profile}@${origin.version}`);
    }
    return;
  }
  const item = own(items, key);
  if (!item) throw ConfigErrors.KEY_NOT_FOUND(`No release for "${idOf(name)}" has the key "${key}".`);
  process.stdout.write(item.value);
}

export async function putKey(
  settings: LoadedSettings,
  name: SetName,
  { key, file, reason }: { key: string; file: string | undefined; reason: string | undefined },
): Promise<void> {
  const bytes =
    file === undefined || file === "-"
      ? await buffer(process.stdin)
      : await readFile(file).catch((cause: unknown) => {
          throw SettingsErrors.FILE_UNREADABLE(`${file} cannot be read: ${messageOf(cause)}.`, { cause });
        });
  const { version } = await withControlClient(settings, (client) =>
    client.config.putKey(name, key, bytes, reason === undefined ? {} : { reason }),
  );
  print(`${idOf(name)}@${version} is released`);
}

export async function history(settings: LoadedSettings, name: SetName, limit: number): Promise<void> {
  const { releases } = await withControlClient(settings, (client) => client.config.releases(name, { limit }));
  for (const { version, createdAt, author, reason, source } of releases) {
    const from = source ? `\t${source.name}@${source.commit.slice(0, 12)}` : "";
    print(`${version}\t${createdAt}\t${author}\t${oneLine(reason)}${from}`);
  }
}

export async function diff(
  settings: LoadedSettings,
  name: SetName,
  states: { from: string; to: string; toNamespace?: string },
): Promise<void> {
  const { differences } = await withControlClient(settings, (client) => client.config.diff(name, states));
  for (const difference of differences) showDifference("", difference);
}

export async function rollback(settings: LoadedSettings, name: SetName, body: Rollback): Promise<void> {
  const { version } = await withControlClient(settings, (client) => client.config.rollback(name, body));
  print(`${idOf(name)}@${version} is released, with the content of ${body.toVersion}`);
}

export async function exportConfig(
  settings: LoadedSettings,
  {
    out,
    set,
    version,
    ...match
  }: {
    out: string;
    set: SetName | undefined;
    version: number | undefined;
    namespace: string | undefined;
    app: string | undefined;
  },
): Promise<void> {
  if (set === undefined && version !== undefined)
    throw SettingsErrors.INVALID("--at is of one set: export APP/PROFILE.");
  await withControlClient(settings, async ({ config }) => {
    const given = Object.fromEntries(Object.entries(match).filter(([, value]) => value !== undefined));
    const zip = set ? config.exportSet(set, version === undefined ? {} : { version }) : config.exportSets(given);
    if (out.endsWith(".zip")) await writeZipFile(out, zip);
    else print(`${await writeFolder(out, zip)} files are in ${out}`);
  });
}

/** @throws what the server says; problems and what was done are printed before */
export async function importConfig(settings: LoadedSettings, path: string, query: ImportQuery): Promise<void> {
  const zip = await readImport(path);
  try {
    showReport(await withControlClient(settings, (client) => client.config.importZip(zip, query)));
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    const { problems = [], report } = error.extra as { problems?: readonly FileProblem[]; report?: ImportReport };
    for (const problem of problems) showProblem(problem);
    if (report) showReport(report);
    throw error;
  }
}

export async function listSources(settings: LoadedSettings): Promise<void> {
  const { sources } = await withControlClient(settings, (client) => client.config.sources());
  for (const { name, type = "elsewhere", sets, released, detached, error } of sources) {
    const state = detached ? `detached by ${detached.by}` : error ? error.code : released ? "live" : "not read yet";
    print(`${name}\t${type}\t${sets} sets\t${released?.commit.slice(0, 12) ?? "-"}\t${state}`);
    if (error && !detached) process.stderr.write(`${name}: ${error.detail}\n`);
  }
}

export async function syncSource(settings: LoadedSettings, source: string): Promise<void> {
  try {
    const { commit, sets } = await withControlClient(settings, (client) => client.config.syncSource(source));
    showReport({ mode: "release", sets, ignored: [] });
    print(`${source} is live at ${commit.slice(0, 12)}`);
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    const { problems = [] } = error.extra as { problems?: readonly FileProblem[] };
    for (const problem of problems) showProblem(problem);
    throw error;
  }
}

export async function setAttached(settings: LoadedSettings, source: string, attached: boolean): Promise<void> {
  await withControlClient(settings, ({ config }) =>
    attached ? config.attachSource(source) : config.detachSource(source),
  );
  print(`${source} is ${attached ? "attached" : "detached"}`);
}

function showReport({ sets, ignored }: ImportReport): void {
  for (const set of sets) {
    const { outcome, added, changed, removed, version, proposal, error, differences = [] } = set;
    const became = version === undefined ? (proposal ?? "") : `@${version}`;
    print(
      `${idOf(set)}${became.startsWith("@") ? became : ""}\t${outcome}\t+${added.length} ~${changed.length} -${removed.length}`,
    );
    if (proposal !== undefined) print(`  proposal ${proposal}`);
    if (error) process.stderr.write(`${idOf(set)}: ${error.code}: ${error.detail}\n`);
    for (const difference of differences) showDifference("  ", difference);
  }
  for (const file of ignored) process.stderr.write(`${file}: belongs to no set, ignored\n`);
}

function showDifference(
  indent: string,
  { key, kind, lines = [] }: { key: string; kind: string; lines?: readonly string[] },
): void {
  print(`${indent}${kind} ${key}`);
  for (const line of lines) if (!line.startsWith(" ")) print(`${indent}  ${line}`);
}

function showProblem({ file, line, column, pointer, message }: FileProblem): void {
  const at = [file, line, line === undefined ? undefined : column].filter((part) => part !== undefined).join(":");
  process.stderr.write(`${at}: ${pointer === undefined ? "" : `${pointer} `}${message}\n`);
}

function idOf({ namespace, app, profile }: SetName): string {
  return `${namespace}/${app}/${profile}`;
}

function oneLine(text: string): string {
  return text.replaceAll(/\s+/g, " ");
}
