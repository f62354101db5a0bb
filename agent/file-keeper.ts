/**
 * Keeps files as released. Whenever a config, the list of files or a file itself changes, it compares the wanted content with the disk,
 * and checks, writes and reloads only what differs. A failure is shown, acknowledged to the config server, and retried.
 */
import { createHash } from "node:crypto";
import { AppError, canonicalJson, fullJitter, messageOf, TaskGroup, type Host } from "#base";
import type { SetName } from "#config-server/api";
import { AgentErrors, type EffectiveConfig, type LocalFile } from "./api.ts";
import { encodingOf, planFile, type Encoding, type PlannedFile } from "./core/plan.ts";
import { standingOf, type FileStanding, type SetStanding } from "./core/standing.ts";
import type { FileChecker } from "./file-check.ts";
import { readText, type FileSink } from "./file-sink.ts";
import {
  definedPartsOf,
  groupOfTopic,
  newKeptFile,
  setIdOf,
  topicsOf,
  type KeptFile,
  type WantedFile,
} from "./kept-file.ts";
import type { Reloader } from "./reloader.ts";

/** Milliseconds between looks at all files, since another program may have changed or removed one. */
const LOOK_MS = 60_000;
/**
 * Milliseconds after the start in which a file that differs waits for the server's answer. A killed agent may have written a release
 * that its snapshot does not have yet, and an older release must not replace it.
 */
const FIRST_ANSWER_MS = 3_000;
/** Back-off after a failed write. Milliseconds. */
const RETRY = { baseMs: 500, capMs: 60_000 };

export interface FileKeeperParts {
  readonly sink: FileSink;
  readonly check: FileChecker;
  readonly reloader: Reloader;
  readonly configOf: (name: SetName) => EffectiveConfig | undefined;
  /** Whether the server has confirmed the config, now or since the start. */
  readonly isHeard: (name: SetName) => boolean;
  /** Called when the state of a set's files may have changed, and no look at one of them is under way. */
  readonly onSettled: (standing: SetStanding) => void;
}

export class FileKeeper implements AsyncDisposable {
  readonly #host: Host;
  readonly #parts: FileKeeperParts;
  readonly #tasks: TaskGroup;
  readonly #startMs: number;
  readonly #files = new Map<string, KeptFile>();
  /** Looks under way, by topic. Changes that looks make together are reported once. */
  readonly #underWay = new Map<string, number>();
  /** Groups with a file that was replaced since their last report. */
  readonly #replaced = new Set<string>();

  constructor(host: Host, parts: FileKeeperParts) {
    this.#host = host;
    this.#parts = parts;
    this.#startMs = host.clock.monotonic();
    this.#tasks = new TaskGroup(host.log);
    this.#tasks.run("look at files", async (signal) => {
      while (!signal.aborted) {
        await host.clock.sleep(LOOK_MS, signal);
        for (const file of this.#files.values()) this.#look(file);
      }
    });
  }

  /** Sets the whole list. A file that is no longer wanted stays as it is. */
  set(files: readonly WantedFile[]): void {
    const paths = new Set(files.map(({ path }) => path));
    for (const [path, file] of this.#files) {
      if (paths.has(path)) continue;
      file.cancelRetry();
      this.#files.delete(path);
    }
    this.#parts.reloader.set(files.flatMap(({ reload }) => reload ?? []));
    for (const wanted of files) {
      const known = this.#files.get(wanted.path);
      const file = known ? Object.assign(known, definedPartsOf(wanted)) : newKeptFile(wanted);
      this.#files.set(wanted.path, file);
      this.#look(file);
    }
  }

  /** Looks at the files of one config again. */
  changed(config: SetName): void {
    const id = setIdOf(config);
    for (const file of this.#files.values()) if (file.sets.has(id)) this.#look(file);
  }

  list(): LocalFile[] {
    return [...this.#files.values()].map((file) => {
      const { path, namespace, app, profile, key, template, source } = file.wanted;
      const { state, problem } = this.#shownState(file);
      return {
        path,
        namespace,
        app,
        profile,
        ...(key === undefined ? {} : { key }),
        ...(template === undefined ? {} : { template: template.source.path ?? template.source.key }),
        source,
        state,
        ...(file.releaseKey === undefined ? {} : { releaseKey: file.releaseKey }),
        ...(problem === undefined ? {} : { code: problem.code, error: problem.message }),
      };
    });
  }

  /** Reports the state of every set, as after a reload. */
  reportAll(): void {
    for (const id of new Set([...this.#files.values()].flatMap(({ sets }) => [...sets.keys()]))) this.#reportSet(id);
  }

  #reportSet(id: string): void {
    const files = [...this.#files.values()].filter(({ sets }) => sets.has(id));
    const name = files[0]?.sets.get(id);
    if (!name) return;
    const standings = files.map((file): FileStanding => {
      const { state, problem } = this.#shownState(file);
      const { path, key } = file.wanted;
      return { path, key, state, looked: file.busy ? undefined : file.looked.get(id), error: problem?.message };
    });
    this.#parts.onSettled(standingOf(name, this.#parts.configOf(name), standings));
  }

  /** A written file is current only once its group is reloaded. */
  #shownState({ state, problem, group }: KeptFile): Pick<KeptFile, "state" | "problem"> {
    if (state !== "current" || group === undefined) return { state, problem };
    const reload = this.#parts.reloader.state(group);
    if (reload.state === "failed") return { state: "failed", problem: reload.error };
    return { state: reload.state === "due" ? "reloading" : "current", problem };
  }

  #look(file: KeptFile): void {
    if (file.busy) {
      file.again = true;
      return;
    }
    file.busy = true;
    file.cancelRetry();
    const topics = topicsOf(file);
    for (const topic of topics) this.#underWay.set(topic, (this.#underWay.get(topic) ?? 0) + 1);
    this.#tasks.run("write file", async (signal) => {
      do {
        file.again = false;
        await this.#bringUpToDate(file, signal);
      } while (file.again && !signal.aborted);
      file.busy = false;
      for (const topic of topics) this.#underWay.set(topic, (this.#underWay.get(topic) ?? 1) - 1);
      if (!signal.aborted) this.#report(new Set([...topics, ...topicsOf(file)]));
    });
  }

  /** Groups come first, since a file with a pending reload is not current yet. */
  #report(topics: ReadonlySet<string>): void {
    const idle = [...topics].filter((topic) => (this.#underWay.get(topic) ?? 0) === 0);
    for (const topic of idle) this.#underWay.delete(topic);
    for (const topic of idle) {
      const group = groupOfTopic(topic);
      if (group !== undefined) this.#reportGroup(group);
    }
    for (const topic of idle) if (groupOfTopic(topic) === undefined) this.#reportSet(topic);
  }

  async #bringUpToDate(file: KeptFile, signal: AbortSignal): Promise<void> {
    const { wanted } = file;
    const { configOf } = this.#parts;
    const source = wanted.template?.source.path;
    const template = source === undefined ? undefined : await readText(source);
    const encoding = encodingOf(wanted, configOf(wanted));
    const onDisk = await readText(wanted.path, encoding);
    if (this.#files.get(wanted.path) !== file || signal.aborted) return;
    // All configs are read together after the last await, so that they are whole releases of one moment.
    const config = configOf(wanted);
    if (encodingOf(wanted, config) !== encoding) {
      file.again = true;
      return;
    }
    const sets = new Map([...(wanted.template?.sets ?? [])].map(([name, set]) => [name, configOf(set)]));
    file.looked = new Map(
      [...file.sets].flatMap(([id, set]) => {
        const key = configOf(set)?.releaseKey;
        return key === undefined ? [] : [[id, key] as const];
      }),
    );
    file.undecided = file.looked.size < file.sets.size;
    const before = file.digest;
    file.digest = digestOf(onDisk ?? "");
    const planned: PlannedFile =
      source !== undefined && template === undefined
        ? {
            state: "invalid",
            message: `the template ${source} cannot be read; it must exist and be smaller than 4 MiB`,
          }
        : planFile(wanted, { config, sets, template }, onDisk);
    if (planned.state !== "write") return this.#settle(file, planned, config);
    if (onDisk !== undefined && this.#mayBeOld(file)) {
      setState(file, "waiting");
      file.undecided = true;
      file.cancelRetry = this.#host.clock.after(FIRST_ANSWER_MS, () => this.#look(file));
      return;
    }
    if (before !== undefined && before !== file.digest && before === digestOf(planned.value)) {
      this.#host.log.warn({ path: wanted.path }, "another program changed or removed the file; it is written again");
    }
    await this.#write(file, { content: planned.value, encoding, releaseKey: config?.releaseKey, signal });
  }

  /** Records the state of a file that is not written now. */
  #settle(
    file: KeptFile,
    planned: Exclude<PlannedFile, { readonly state: "write" }>,
    config: EffectiveConfig | undefined,
  ): void {
    const { path, key } = file.wanted;
    switch (planned.state) {
      case "masked":
        return this.#fail(
          file,
          AgentErrors.FILE_NOT_WRITTEN(
            `"${key}" is a secret, which the agent's token may not read; ${path} stays as it is. Give the agent a token with the policy agent.`,
          ),
        );
      case "invalid":
        return this.#fail(
          file,
          AgentErrors.TEMPLATE_INVALID(`${path} was not written: ${planned.message}. Its old content remains.`),
        );
      case "current":
        setState(file, "current");
        file.releaseKey = config?.releaseKey;
        return;
      case "waiting":
      case "absent":
        setState(file, planned.state);
    }
  }

  async #write(
    file: KeptFile,
    {
      content,
      encoding,
      releaseKey,
      signal,
    }: { content: string; encoding: Encoding; releaseKey: string | undefined; signal: AbortSignal },
  ): Promise<void> {
    const { path, mode, source, write, check } = file.wanted;
    try {
      await this.#parts.sink.write(path, content, {
        encoding,
        mode,
        followLinks: source === "file",
        inPlace: write === "in-place",
        check: check && ((temp) => this.#parts.check(check, path, { temp, signal })),
      });
      file.digest = digestOf(content);
      setState(file, "current");
      file.releaseKey = releaseKey;
      this.#host.log.info({ path, releaseKey }, "file written");
      if (file.group !== undefined) this.#replaced.add(file.group);
    } catch (error) {
      if (!signal.aborted) this.#fail(file, error);
    }
  }

  #mayBeOld({ sets }: KeptFile): boolean {
    if (this.#host.clock.monotonic() - this.#startMs >= FIRST_ANSWER_MS) return false;
    return ![...sets.values()].every((set) => this.#parts.isHeard(set));
  }

  /** Reports what the files of a group contain, once the wanted content of each is known. */
  #reportGroup(group: string): void {
    const files = [...this.#files.values()].filter((file) => file.group === group);
    const isKnown = files.every(({ digest, undecided }) => digest !== undefined && !undecided);
    const digests = Object.fromEntries(files.map(({ wanted, digest }) => [wanted.path, digest]));
    const digest = isKnown ? digestOf(canonicalJson(digests)) : undefined;
    this.#parts.reloader.filesHave(group, digest, this.#replaced.delete(group));
  }

  /** Shows the problem, and retries later. */
  #fail(file: KeptFile, error: unknown): void {
    const code = error instanceof AppError ? error.code : AgentErrors.FILE_NOT_WRITTEN.code;
    const message = messageOf(error);
    if (file.problem?.message !== message) this.#host.log.error({ path: file.wanted.path, code }, message);
    const retryMs = RETRY.baseMs / 2 + fullJitter(this.#host.random, file.attempt++, RETRY);
    file.cancelRetry = this.#host.clock.after(retryMs, () => this.#look(file));
    file.state = "failed";
    file.problem = { code, message };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const file of this.#files.values()) file.cancelRetry();
    this.#files.clear();
    await this.#tasks[Symbol.asyncDispose]();
  }
}

/** Sets a state without a problem. */
function setState(file: KeptFile, state: LocalFile["state"]): void {
  file.state = state;
  file.problem = undefined;
  file.attempt = 0;
}

function digestOf(text: string): string {
  return createHash("sha256").update(text).digest("base64");
}
