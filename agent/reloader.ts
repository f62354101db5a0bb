/**
 * Notifies services that their files changed: once for all files with the same reload, after a quiet period, and again until it
 * succeeds. A digest of the files records what is loaded, also over a restart, so a kill between writing and reloading loses no reload.
 */
import {
  canonicalJson,
  fullJitter,
  messageOf,
  TaskGroup,
  Trigger,
  type CounterChild,
  type Family,
  type Host,
} from "#base";
import { createProbe, createReach, OWN_HOST_RULES, pidIn, type Probe, type ProbeCall } from "#health";
import { AgentErrors, RELOAD_DEFAULTS, type Reload } from "./api.ts";

/** Back-off after a failed reload. Milliseconds. */
const RETRY = { baseMs: 1_000, capMs: 60_000 };

/** A problem with its stable code. */
export interface CodedProblem {
  readonly code: string;
  readonly message: string;
}

export type ReloadState =
  | { readonly state: "current" | "due" }
  | { readonly state: "failed"; readonly error: CodedProblem };

interface ReloadGroup {
  readonly key: string;
  readonly reload: Reload;
  /** Digest of the content of its files; undefined while some are not known yet. */
  wanted: string | undefined;
  loaded: string | undefined;
  error: CodedProblem | undefined;
  /** Counts changes. */
  version: number;
  /** Times of the first and the last change that are not loaded yet. */
  firstChangeMs: number;
  lastChangeMs: number;
  readonly news: Trigger;
  readonly stop: AbortController;
}

/** The group of a reload: files with equal reloads are one group. */
export function reloadGroupOf(reload: Reload): string {
  return canonicalJson(reload);
}

export class Reloader implements AsyncDisposable {
  readonly #host: Host;
  readonly #probe: Probe;
  readonly #onChange: () => void;
  readonly #tasks: TaskGroup;
  readonly #groups = new Map<string, ReloadGroup>();
  readonly #loaded: Map<string, string>;
  readonly #reloads: Family<CounterChild>;

  /** `loaded`: digests that an earlier run had loaded, by group. `onChange` is called when the state of a group changes. */
  constructor(
    host: Host,
    options: { execAllow: readonly string[]; loaded: ReadonlyMap<string, string>; onChange: () => void },
  ) {
    this.#host = host;
    this.#probe = programProbe(host, options.execAllow);
    this.#onChange = options.onChange;
    this.#loaded = new Map(options.loaded);
    this.#tasks = new TaskGroup(host.log);
    this.#reloads = host.metrics.counter({
      name: "posthouse_agent_reloads_total",
      help: "Reloads after files were replaced, by result.",
      labelNames: ["result"],
    });
  }

  /** Sets the groups. */
  set(reloads: readonly Reload[]): void {
    const wanted = new Map(reloads.map((reload) => [reloadGroupOf(reload), reload]));
    for (const [key, group] of this.#groups) {
      if (wanted.has(key)) continue;
      group.stop.abort(new Error("no longer wanted"));
      this.#groups.delete(key);
      // If the group comes back, its service may have loaded other content meanwhile.
      this.#loaded.delete(key);
    }
    for (const [key, reload] of wanted) {
      if (this.#groups.has(key)) continue;
      const group: ReloadGroup = {
        key,
        reload,
        wanted: undefined,
        loaded: this.#loaded.get(key),
        error: undefined,
        version: 0,
        firstChangeMs: 0,
        lastChangeMs: 0,
        news: new Trigger(),
        stop: new AbortController(),
      };
      this.#groups.set(key, group);
      this.#tasks.run("reload", (signal) => this.#run(group, AbortSignal.any([signal, group.stop.signal])));
    }
  }

  /**
   * Sets the digest of a group's files; undefined while some are not known yet. `replaced`: one of them was just written, so the
   * group is reloaded whatever was loaded before.
   */
  filesHave(key: string, digest: string | undefined, replaced: boolean): void {
    const group = this.#groups.get(key);
    if (!group || (group.wanted === digest && !replaced)) return;
    const pending = group.wanted !== undefined && group.wanted !== group.loaded;
    group.wanted = digest;
    if (replaced) group.loaded = undefined;
    if (digest === undefined || digest === group.loaded) return;
    group.version++;
    // The error is that of a reload of earlier content.
    group.error = undefined;
    group.lastChangeMs = this.#host.clock.monotonic();
    if (!pending) group.firstChangeMs = group.lastChangeMs;
    group.news.fire();
  }

  state(key: string): ReloadState {
    const group = this.#groups.get(key);
    if (!group || (group.wanted !== undefined && group.wanted === group.loaded)) return { state: "current" };
    return group.error ? { state: "failed", error: group.error } : { state: "due" };
  }

  /** The loaded digests by group, to be kept over a restart. */
  loaded(): [string, string][] {
    return [...this.#groups.values()].flatMap(({ key, loaded }) =>
      loaded === undefined ? [] : [[key, loaded] as [string, string]],
    );
  }

  async #run(group: ReloadGroup, signal: AbortSignal): Promise<void> {
    let attempt = 0;
    let tried = 0;
    while (!signal.aborted) {
      if (group.wanted === undefined || group.wanted === group.loaded) {
        await group.news.wait(signal);
        attempt = 0;
        continue;
      }
      // A retry without a new change has already waited for quiet and for its splay.
      if (tried !== group.version) await this.#quiet(group, signal);
      if (signal.aborted) return;
      const { wanted } = group;
      tried = group.version;
      const failure = await this.#perform(group.reload, signal);
      if (signal.aborted) return;
      this.#reloads.labels(failure === undefined ? "ok" : "failed").inc();
      if (failure === undefined) {
        // The service may or may not have read a file that was replaced meanwhile.
        if (group.version === tried) group.loaded = wanted;
        group.firstChangeMs = group.lastChangeMs;
        group.error = undefined;
        this.#host.log.info({ reload: group.reload.type }, "reloaded");
        this.#onChange();
        continue;
      }
      const message = `The files are replaced, but their reload failed: ${failure}. The agent retries it.`;
      if (group.error?.message !== message) this.#host.log.error({ reload: group.reload.type }, message);
      group.error = { code: AgentErrors.RELOAD_FAILED.code, message };
      this.#onChange();
      const waitMs = RETRY.baseMs / 2 + fullJitter(this.#host.random, attempt++, RETRY);
      const cancel = this.#host.clock.after(waitMs, () => group.news.fire());
      await group.news.wait(signal);
      cancel();
    }
  }

  /** Waits for a quiet period, up to its maximum, and then for this host's part of the splay. */
  async #quiet(group: ReloadGroup, signal: AbortSignal): Promise<void> {
    const { quietSeconds, quietSecondsMax, splaySeconds } = { ...RELOAD_DEFAULTS, ...group.reload };
    const { clock, random } = this.#host;
    try {
      for (;;) {
        const now = clock.monotonic();
        const quietLeftMs = quietSeconds * 1000 - (now - group.lastChangeMs);
        const leftMs = Math.min(quietLeftMs, quietSecondsMax * 1000 - (now - group.firstChangeMs));
        if (leftMs <= 0) break;
        await clock.sleep(leftMs, signal);
      }
      await clock.sleep(random.float() * splaySeconds * 1000, signal);
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }

  /** Undefined on success, otherwise the reason of the failure. */
  async #perform(reload: Reload, signal: AbortSignal): Promise<string | undefined> {
    const timeoutMs = (reload.timeoutSeconds ?? RELOAD_DEFAULTS.timeoutSeconds) * 1000;
    if (reload.type === "signal") {
      const { pidFile = "", signal: name = RELOAD_DEFAULTS.signal } = reload;
      // A process that began after its pid file was written is a different one, which must not receive the signal.
      const alive = await failureOf(this.#probe, { target: { type: "process", pidFile }, timeoutMs, signal });
      if (alive !== undefined) return alive;
      try {
        process.kill(await pidIn(pidFile), `SIG${name}`);
        return undefined;
      } catch (error) {
        return `the process of ${pidFile} could not be signaled: ${messageOf(error)}`;
      }
    }
    if (reload.type === "http") {
      const { url = "", method = RELOAD_DEFAULTS.method } = reload;
      return failureOf(this.#probe, { target: { type: "http", url, method }, timeoutMs, signal });
    }
    const [program = "", ...args] = reload.command ?? [];
    return failureOf(this.#probe, { target: { type: "exec", program, args }, timeoutMs, signal });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#tasks[Symbol.asyncDispose]();
  }
}

/** Runs programs as checks do: only allowed ones, without a shell, killed with their process group at the timeout. */
export function programProbe(host: Host, execAllow: readonly string[]): Probe {
  const alias = () => ({ result: undefined, output: "" });
  return createProbe(host, { reach: createReach(OWN_HOST_RULES), execAllow: new Set(execAllow), alias });
}

/** Runs one probe. Undefined when it passed, otherwise its output. */
export async function failureOf(
  probe: Probe,
  { target, timeoutMs, signal }: { target: ProbeCall["definition"]["target"]; timeoutMs: number; signal: AbortSignal },
): Promise<string | undefined> {
  const { result, output } = await probe({ key: "", definition: { target, timeoutMs }, signal, memory: {} });
  return result === "passing" ? undefined : output;
}
