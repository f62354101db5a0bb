/** The words of `posthouse config`: which commands there are, and what they take. */
import { type Command, InvalidArgumentError } from "commander";
import type { ImportQuery, SetName } from "#config-server/api";
import { type LoadedSettings, SettingsErrors } from "#settings";

export interface CommandParts {
  /** Adds the settings of a command that talks to a control plane. */
  readonly withSettings: (command: Command) => Command;
  readonly read: (options: Record<string, unknown>) => LoadedSettings;
}

const NAMESPACE = ["--namespace <name>", "namespace of the set", "default"] as const;
const EMERGENCY = ["--emergency", "past a required review and past a source; wants --reason"] as const;

export function configCommand(root: Command, { withSettings, read }: CommandParts): void {
  const config = root.command("config").description("Read and release config, one set or many at a time");
  const add = (words: string, description: string) => withSettings(config.command(words).description(description));
  const commands = () => import("./config.ts");

  add("releases", "List the live release of every set")
    .option("--namespace <name>", "only of this namespace")
    .action(async (options: Options) => (await commands()).listSets(read(options), options.namespace));
  add("get <set> [key]", "Print what an instance of APP or APP/PROFILE is told: its keys, or one value")
    .option(...NAMESPACE)
    .action(async (set: string, key: string | undefined, options: Options) =>
      (await commands()).getKey(read(options), nameOf(set, options), key),
    );
  add("put <set> <key> [file]", "Release a set with one key changed to a file, or to what comes in")
    .option(...NAMESPACE)
    .option("--reason <text>", "why, for the history")
    .action(async (set: string, key: string, file: string | undefined, options: Options) =>
      (await commands()).putKey(read(options), nameOf(set, options), { key, file, reason: options.reason }),
    );
  add("history <set>", "List the releases of a set, newest first")
    .option(...NAMESPACE)
    .option("--limit <count>", "at most so many", count, 20)
    .action(async (set: string, options: Options) =>
      (await commands()).history(read(options), nameOf(set, options), options.limit ?? 20),
    );
  add("diff <set>", "Compare two states of a set: a version, live, or drafts")
    .option(...NAMESPACE)
    .option("--from <state>", "a version, live or drafts", "live")
    .option("--to <state>", "a version, live or drafts", "live")
    .option("--to-namespace <name>", "namespace of the second state")
    .action(async (set: string, options: Options) => {
      const { from = "live", to = "live", toNamespace } = options;
      const states = { from, to, ...(toNamespace === undefined ? {} : { toNamespace }) };
      await (await commands()).diff(read(options), nameOf(set, options), states);
    });
  add("rollback <set>", "Release the content of an earlier version again")
    .argument("<version>", "the version", count)
    .option(...NAMESPACE)
    .option("--reason <text>", "why, for the history")
    .option(...EMERGENCY)
    .action(async (set: string, toVersion: number, options: Options) =>
      (await commands()).rollback(read(options), nameOf(set, options), { toVersion, ...why(options) }),
    );
  add("export [set]", "Write live releases to a zip or a folder: of one set, or of all that match")
    .requiredOption("--out <path>", "a file that ends in .zip, or a folder that is new, empty or an earlier export")
    .option("--namespace <name>", "only of this namespace; of one set: default")
    .option("--app <name>", "only of this app")
    .option("--at <version>", "of one set: this version instead of the live one", count)
    .action(async (set: string | undefined, options: Options) =>
      (await commands()).exportConfig(read(options), {
        out: options.out as string,
        set: set === undefined ? undefined : nameOf(set, options),
        namespace: options.namespace,
        app: options.app,
        version: options.at,
      }),
    );
  add("import <path>", "Release a zip or a folder: NAMESPACE/APP/PROFILE/KEY, or APP/PROFILE/KEY with --namespace")
    .option("--namespace <name>", "where all sets go")
    .option("--app <name>", "of files without folders: their app")
    .option("--profile <name>", "of files without folders: their profile")
    .option("--dry-run", "only say what would change")
    .option("--draft", "draft what changes instead of releasing it")
    .option("--keep", "let keys stay that are not among the files")
    .option("--reason <text>", "why, for the history")
    .option(...EMERGENCY)
    .action(async (path: string, options: Options) => {
      if (options.dryRun && options.draft) throw SettingsErrors.INVALID("--dry-run and --draft exclude each other.");
      const mode = options.dryRun ? "dry-run" : options.draft ? "draft" : "release";
      const { namespace, app, profile, keep } = options;
      const named = { namespace, app, profile, keep };
      const given = Object.fromEntries(Object.entries(named).filter(([, value]) => value !== undefined));
      const query: ImportQuery = { mode, ...given, ...why(options) };
      await (await commands()).importConfig(read(options), path, query);
    });
  add("sources", "List the git branches and folders that config is mirrored from").action(async (options: Options) =>
    (await commands()).listSources(read(options)),
  );
  add("sync <source>", "Look at a source now, and release what differs").action(
    async (source: string, options: Options) => (await commands()).syncSource(read(options), source),
  );
  add("detach <source>", "Mirror a source no more; its sets may be released by anybody").action(
    async (source: string, options: Options) => (await commands()).setAttached(read(options), source, false),
  );
  add("attach <source>", "Mirror a detached source again").action(async (source: string, options: Options) =>
    (await commands()).setAttached(read(options), source, true),
  );
}

type Options = Record<string, unknown> &
  Partial<Record<"namespace" | "app" | "profile" | "reason" | "out" | "from" | "to" | "toNamespace", string>> &
  Partial<Record<"dryRun" | "draft" | "keep" | "emergency", boolean>> &
  Partial<Record<"limit" | "at", number>>;

function nameOf(set: string, { namespace = "default" }: Options): SetName {
  const [, app, profile = "default"] = /^([a-z0-9-]+)(?:\/([a-z0-9-]+))?$/.exec(set) ?? [];
  if (app === undefined) throw SettingsErrors.INVALID(`"${set}" is neither APP nor APP/PROFILE.`);
  return { namespace, app, profile };
}

function why({ reason, emergency }: Options): { reason?: string; emergency?: true } {
  return { ...(reason === undefined ? {} : { reason }), ...(emergency ? { emergency: true } : {}) };
}

function count(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) throw new InvalidArgumentError("It is a whole number from 1.");
  return value;
}
