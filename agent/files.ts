/**
 * Keeps files as released: whenever a config, the list of files or a file itself changes, what is wanted is held against what is on
 * disk, and only what differs is checked, written and reloaded. What fails is shown, told to the config server, and tried again.
 */
import { createHash } from "node:crypto";
import { AppError, canonicalJson, messageOf, TaskGroup, type CancelTimer, type Host } from "#base";
import type { SetName } from "#config-server/api";
import { AgentErrors, type EffectiveConfig, type LocalFile } from "./api.ts";
import { encodingOf, planFile } from "./core/plan.ts";
import { standingOf, type FileStanding, type SetStanding } from "./core/standing.ts";
import type { DefinedFile } from "./definitions.ts";
import type { FileChecker } from "./file-check.ts";
import { readText, type FileSink } from "./file-sink.ts";
import { groupOf, type Problem, type Reloader } from "./reloader.ts";

/** Milliseconds between looks at files that nothing was heard about: somebody may have changed or removed one. */
const LOOK_MS = 60_000;
/**
 * Milliseconds after the start in which a file that differs is left to what the server says: a killed agent may have written a
 * release that its snapshot does not have yet, and an older one must not come in between.
 */
const FIRST_WORD_MS = 3_000;
/** Begins a topic that is a group; a set's begins with a name. */
const GROUP = "group ";
/** Back-off after a failed write. Milliseconds. */
const RETRY = { baseMs: 500, capMs: 60_000 };

export interface WantedFile extends DefinedFile {
  readonly source: LocalFile["source"];
}

interface Entry {
  wanted: WantedFile;
  /** The sets it is made of, by id. */
  sets: ReadonlyMap<string, SetName>;
  /** The files that are reloaded with it. */
  group: string | undefined;
  state: LocalFile["state"];
  /** Of the config that the file was last found to be, or written, as. */
  releaseKey: string | undefined;
  /** Of each set, what the latest look was made with. */
  looked: ReadonlyMap<string, string>;
  /** What it is to hold is not known yet, since the server has not been heard. */
  undecided: boolean;
  /** Of what is on disk; empty when there is nothing, undefined before the first look. */
  digest: string | undefined;
  problem: Problem | undefined;
  attempt: number;
  cancelRetry: CancelTimer;
  /** A look is under way; another one is wanted after it. */
  busy: boolean;
  again: boolean;
}

export interface FileKeeperParts {
  readonly sink: FileSink;
  readonly check: FileChecker;
  readonly reloader: Reloader;
  readonly configOf: (name: SetName) => EffectiveConfig | undefined;
  /** Whether the server has said that it is so, now or since the start. */
  readonly isHeard: (name: SetName) => boolean;
  /** The files of a set stand otherwise than before, and none of them is being looked at. */
  readonly onSettled: (standing: SetStanding) => void;
}

export class FileKeeper implements AsyncDisposable {
  readonly #host: Host;
  readonly #parts: FileKeeperParts;
  readonly #tasks: TaskGroup;
  readonly #startMs: number;
  readonly #entries = new Map<string, Entry>();
  /** Looks under way, by set and by group: what they change together is told once. */
  readonly #underWay = new Map<string, number>();
  /** Groups with a file that was replaced since they were last told of. */
  readonly #replaced = new Set<string>();

  constructor(host: Host, parts: FileKeeperParts) {
    this.#host = host;
    this.#parts = parts;
    this.#startMs = host.clock.monotonic();
    this.#tasks = new TaskGroup(host.log);
    this.#tasks.run("look at files", async (signal) => {
      while (!signal.aborted) {
        await host.clock.sleep(LOOK_MS, signal);
        for (const entry of this.#entries.values()) this.#look(entry);
      }
    });
  }

  /** Sets the whole list. Files that are wanted no more stay as they are. */
  set(files: readonly WantedFile[]): void {
    const paths = new Set(files.map(({ path }) => path));
    for (const [path, entry] of this.#entries) {
      if (paths.has(path)) continue;
      entry.cancelRetry();
      this.#entries.delete(path);
    }
    this.#parts.reloader.set(files.flatMap(({ reload }) => reload ?? []));
    for (const wanted of files) {
      const facts = {
        wanted,
        sets: new Map(setsOf(wanted).map((set) => [idOf(set), set])),
        group: wanted.reload && groupOf(wanted.reload),
      };
      const entry = Object.assign(this.#entries.get(wanted.path) ?? unseen(facts), facts);
      this.#entries.set(wanted.path, entry);
      this.#look(entry);
    }
  }

  /** Looks at the files of one config again. */
  changed(config: SetName): void {
    const id = idOf(config);
    for (const entry of this.#entries.values()) if (entry.sets.has(id)) this.#look(entry);
  }

  list(): LocalFile[] {
    return [...this.#entries.values()].map((entry) => {
      const { path, namespace, app, profile, key, template, source } = entry.wanted;
      const { state, problem } = this.#standing(entry);
      return {
        path,
        namespace,
        app,
        profile,
        ...(key === undefined ? {} : { key }),
        ...(template === undefined ? {} : { template: template.source.path ?? template.source.key }),
        source,
        state,
        ...(entry.releaseKey === undefined ? {} : { releaseKey: entry.releaseKey }),
        ...(problem === undefined ? {} : { code: problem.code, error: problem.message }),
      };
    });
  }

  /** Says how every set stands, as after a reload. */
  tellAll(): void {
    for (const id of new Set([...this.#entries.values()].flatMap(({ sets }) => [...sets.keys()]))) this.#tellSet(id);
  }

  #tellSet(id: string): void {
    const entries = [...this.#entries.values()].filter(({ sets }) => sets.has(id));
    const name = entries[0]?.sets.get(id);
    if (!name) return;
    const files = entries.map((entry): FileStanding => {
      const { state, problem } = this.#standing(entry);
      const { path, key } = entry.wanted;
      return { path, key, state, looked: entry.busy ? undefined : entry.looked.get(id), error: problem?.message };
    });
    this.#parts.onSettled(standingOf(name, this.#parts.configOf(name), files));
  }

  /** A file that is as released stands once its group is reloaded. */
  #standing({ state, problem, group }: Entry): Pick<Entry, "state" | "problem"> {
    if (state !== "current" || group === undefined) return { state, problem };
    const reload = this.#parts.reloader.state(group);
    if (reload.state === "failed") return { state: "failed", problem: reload.error };
    return { state: reload.state === "due" ? "reloading" : "current", problem };
  }

  #look(entry: Entry): void {
    if (entry.busy) {
      entry.again = true;
      return;
    }
    entry.busy = true;
    entry.cancelRetry();
    const begun = topicsOf(entry);
    for (const topic of begun) this.#underWay.set(topic, (this.#underWay.get(topic) ?? 0) + 1);
    this.#tasks.run("write file", async (signal) => {
      do {
        entry.again = false;
        await this.#bringUpToDate(entry, signal);
      } while (entry.again && !signal.aborted);
      entry.busy = false;
      for (const topic of begun) this.#underWay.set(topic, (this.#underWay.get(topic) ?? 1) - 1);
      if (!signal.aborted) this.#tell(new Set([...begun, ...topicsOf(entry)]));
    });
  }

  /** Groups first, since a file whose reload is due does not stand yet. */
  #tell(topics: ReadonlySet<string>): void {
    const idle = [...topics].filter((topic) => (this.#underWay.get(topic) ?? 0) === 0);
    for (const topic of idle) this.#underWay.delete(topic);
    for (const topic of idle) if (topic.startsWith(GROUP)) this.#tellReloader(topic.slice(GROUP.length));
    for (const topic of idle) if (!topic.startsWith(GROUP)) this.#tellSet(topic);
  }

  async #bringUpToDate(entry: Entry, signal: AbortSignal): Promise<void> {
    const { wanted } = entry;
    const { path, template, check } = wanted;
    const source = template?.source.path;
    const text = source === undefined ? undefined : await readText(source);
    const encoding = encodingOf(wanted, this.#parts.configOf(wanted));
    const onDisk = await readText(path, encoding);
    if (this.#entries.get(path) !== entry || signal.aborted) return;
    // Taken together, after the last wait: whole releases of one moment.
    const config = this.#parts.configOf(wanted);
    if (encodingOf(wanted, config) !== encoding) {
      entry.again = true;
      return;
    }
    const sets = new Map([...(template?.sets ?? [])].map(([name, set]) => [name, this.#parts.configOf(set)]));
    const looked = new Map(
      [...entry.sets].flatMap(([id, set]) => {
        const key = this.#parts.configOf(set)?.releaseKey;
        return key === undefined ? [] : [[id, key] as const];
      }),
    );
    const before = entry.digest;
    entry.digest = digestOf(onDisk ?? "");
    const planned =
      source !== undefined && text === undefined
        ? ({
            state: "invalid",
            message: `the template ${source} cannot be read; it must be there, and below 4 MiB`,
          } as const)
        : planFile(wanted, { config, sets, template: text }, onDisk);
    entry.undecided = looked.size < entry.sets.size;
    const settle = (state: LocalFile["state"], problem?: Problem) => {
      entry.looked = looked;
      entry.state = state;
      entry.problem = problem;
    };
    switch (planned.state) {
      case "waiting":
      case "absent":
        settle(planned.state);
        entry.attempt = 0;
        break;
      case "masked": {
        const message = `"${wanted.key}" is a secret, which the agent's token may not read; ${path} stays. Give the agent a token of the role agent.`;
        settle("failed", this.#failed(entry, AgentErrors.FILE_NOT_WRITTEN(message)));
        break;
      }
      case "invalid": {
        const message = `${path} was not written: ${planned.message}. What it held before stands.`;
        settle("failed", this.#failed(entry, AgentErrors.TEMPLATE_INVALID(message)));
        break;
      }
      case "current":
        settle("current");
        entry.attempt = 0;
        entry.releaseKey = config?.releaseKey;
        break;
      case "write":
        if (onDisk !== undefined && this.#mayBeOld(entry)) {
          settle("waiting");
          entry.undecided = true;
          entry.cancelRetry = this.#host.clock.after(FIRST_WORD_MS, () => this.#look(entry));
          break;
        }
        if (before !== undefined && before !== entry.digest && before === digestOf(planned.value)) {
          this.#host.log.warn({ path }, "the file was changed or removed by somebody else; it is written again");
        }
        try {
          await this.#parts.sink.write(path, planned.value, {
            encoding,
            mode: wanted.mode,
            followLinks: wanted.source === "file",
            inPlace: wanted.write === "in-place",
            check: check && ((temp) => this.#parts.check(check, path, { temp, signal })),
          });
          entry.digest = digestOf(planned.value);
          settle("current");
          entry.attempt = 0;
          entry.releaseKey = config?.releaseKey;
          this.#host.log.info({ path, releaseKey: entry.releaseKey }, "file written");
          if (entry.group !== undefined) this.#replaced.add(entry.group);
        } catch (error) {
          if (!signal.aborted) settle("failed", this.#failed(entry, error));
        }
    }
  }

  #mayBeOld({ sets }: Entry): boolean {
    if (this.#host.clock.monotonic() - this.#startMs >= FIRST_WORD_MS) return false;
    return ![...sets.values()].every((set) => this.#parts.isHeard(set));
  }

  /** What all files of a group hold, once it is known of each what it is to hold. */
  #tellReloader(group: string): void {
    const files = [...this.#entries.values()].filter((entry) => entry.group === group);
    const known = files.every(({ digest, undecided }) => digest !== undefined && !undecided);
    const held = Object.fromEntries(files.map(({ wanted, digest }) => [wanted.path, digest]));
    this.#parts.reloader.holds(group, known ? digestOf(canonicalJson(held)) : undefined, this.#replaced.delete(group));
  }

  /** Shows what is wrong, and tries again later. */
  #failed(entry: Entry, error: unknown): Problem {
    const code = error instanceof AppError ? error.code : AgentErrors.FILE_NOT_WRITTEN.code;
    const message = messageOf(error);
    if (entry.problem?.message !== message) this.#host.log.error({ path: entry.wanted.path, code }, message);
    const waitMs = Math.min(RETRY.capMs, RETRY.baseMs * 2 ** Math.min(entry.attempt++, 20));
    const retryMs = waitMs * (0.5 + 0.5 * this.#host.random.float());
    entry.cancelRetry = this.#host.clock.after(retryMs, () => this.#look(entry));
    return { code, message };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const entry of this.#entries.values()) entry.cancelRetry();
    this.#entries.clear();
    await this.#tasks[Symbol.asyncDispose]();
  }
}

function unseen(facts: Pick<Entry, "wanted" | "sets" | "group">): Entry {
  return {
    ...facts,
    state: "waiting",
    releaseKey: undefined,
    looked: new Map(),
    undecided: true,
    digest: undefined,
    problem: undefined,
    attempt: 0,
    cancelRetry: () => {},
    busy: false,
    again: false,
  };
}

/** What a look at a file may change. */
function topicsOf({ sets, group }: Entry): string[] {
  return [...sets.keys(), ...(group === undefined ? [] : [`${GROUP}${group}`])];
}

/** The sets that a file is made of. */
export function setsOf({
  namespace,
  app,
  profile,
  template,
}: Pick<WantedFile, "namespace" | "app" | "profile" | "template">): SetName[] {
  return [{ namespace, app, profile }, ...(template?.sets.values() ?? [])];
}

function idOf({ namespace, app, profile }: SetName): string {
  return `${namespace}/${app}/${profile}`;
}

function digestOf(text: string): string {
  return createHash("sha256").update(text).digest("base64");
}
