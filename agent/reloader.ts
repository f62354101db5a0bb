/**
 * Tells services that their files changed: once for all files whose reload says the same, when it has been quiet, and again until it
 * worked. What was loaded is known by a digest of the files, also over a restart, so a kill between swap and reload loses no reload.
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

/** What is wrong, with its stable code. */
export interface Problem {
  readonly code: string;
  readonly message: string;
}

export type ReloadState = { readonly state: "current" | "due" } | { readonly state: "failed"; readonly error: Problem };

interface Group {
  readonly key: string;
  readonly reload: Reload;
  /** Of what its files hold now; undefined while some are not known yet. */
  wanted: string | undefined;
  loaded: string | undefined;
  error: Problem | undefined;
  /** Counts changes. */
  version: number;
  /** Of the first and the last change that are not loaded yet. */
  firstChangeMs: number;
  lastChangeMs: number;
  readonly news: Trigger;
  readonly stop: AbortController;
}

/** Files whose reload has the same key are one group. */
export function groupOf(reload: Reload): string {
  return canonicalJson(reload);
}

export class Reloader implements AsyncDisposable {
  readonly #host: Host;
  readonly #probe: Probe;
  readonly #onChange: () => void;
  readonly #tasks: TaskGroup;
  readonly #groups = new Map<string, Group>();
  readonly #loaded: Map<string, string>;
  readonly #reloads: Family<CounterChild>;

  /** `loaded`: what an earlier run had loaded, by group. `onChange`: a group stands otherwise than before. */
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
      help: "Reloads after files were replaced, by how they ended.",
      labelNames: ["result"],
    });
  }

  /** Sets which groups there are. */
  set(reloads: readonly Reload[]): void {
    const wanted = new Map(reloads.map((reload) => [groupOf(reload), reload]));
    for (const [key, group] of this.#groups) {
      if (wanted.has(key)) continue;
      group.stop.abort(new Error("no longer wanted"));
      this.#groups.delete(key);
      // Should it come back, nobody knows what was loaded meanwhile.
      this.#loaded.delete(key);
    }
    for (const [key, reload] of wanted) {
      if (this.#groups.has(key)) continue;
      const group: Group = {
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
   * What the files of a group hold now; undefined while some are not known yet. `replaced`: one of them was written just now, so it
   * is to be loaded whatever was loaded before.
   */
  holds(key: string, digest: string | undefined, replaced: boolean): void {
    const group = this.#groups.get(key);
    if (!group || (group.wanted === digest && !replaced)) return;
    const pending = group.wanted !== undefined && group.wanted !== group.loaded;
    group.wanted = digest;
    if (replaced) group.loaded = undefined;
    if (digest === undefined || digest === group.loaded) return;
    group.version++;
    // What failed was the reload of what the files held before.
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

  /** What is loaded, by group, to be kept over a restart. */
  loaded(): [string, string][] {
    return [...this.#groups.values()].flatMap(({ key, loaded }) =>
      loaded === undefined ? [] : [[key, loaded] as [string, string]],
    );
  }

  async #run(group: Group, signal: AbortSignal): Promise<void> {
    let attempt = 0;
    let tried = 0;
    while (!signal.aborted) {
      if (group.wanted === undefined || group.wanted === group.loaded) {
        await group.news.wait(signal);
        attempt = 0;
        continue;
      }
      // Tried before and nothing new: it had its quiet and its turn.
      if (tried !== group.version) await this.#quiet(group, signal);
      if (signal.aborted) return;
      const { wanted } = group;
      tried = group.version;
      const failure = await this.#perform(group.reload, signal);
      if (signal.aborted) return;
      this.#reloads.labels(failure === undefined ? "ok" : "failed").inc();
      if (failure === undefined) {
        // What was replaced meanwhile may have been read or not.
        if (group.version === tried) group.loaded = wanted;
        group.firstChangeMs = group.lastChangeMs;
        group.error = undefined;
        this.#host.log.info({ reload: group.reload.type }, "reloaded");
        this.#onChange();
        continue;
      }
      const message = `The files are replaced, but their reload failed: ${failure}. It is tried again.`;
      if (group.error?.message !== message) this.#host.log.error({ reload: group.reload.type }, message);
      group.error = { code: AgentErrors.RELOAD_FAILED.code, message };
      this.#onChange();
      const waitMs = RETRY.baseMs / 2 + fullJitter(this.#host.random, attempt++, RETRY);
      const cancel = this.#host.clock.after(waitMs, () => group.news.fire());
      await group.news.wait(signal);
      cancel();
    }
  }

  /** Until nothing has changed for a while, or for long enough; and then until it is this host's turn. */
  async #quiet(group: Group, signal: AbortSignal): Promise<void> {
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

  /** Undefined when it worked, or why not. */
  async #perform(reload: Reload, signal: AbortSignal): Promise<string | undefined> {
    const timeoutMs = (reload.timeoutSeconds ?? RELOAD_DEFAULTS.timeoutSeconds) * 1000;
    if (reload.type === "signal") {
      const { pidFile = "", signal: name = RELOAD_DEFAULTS.signal } = reload;
      // A process that began after its pid file was written is another one, and must not be signalled.
      const alive = await ask(this.#probe, { target: { type: "process", pidFile }, timeoutMs, signal });
      if (alive !== undefined) return alive;
      try {
        process.kill(await pidIn(pidFile), `SIG${name}`);
        return undefined;
      } catch (error) {
        return `the process of ${pidFile} could not be signalled: ${messageOf(error)}`;
      }
    }
    if (reload.type === "http") {
      const { url = "", method = RELOAD_DEFAULTS.method } = reload;
      return ask(this.#probe, { target: { type: "http", url, method }, timeoutMs, signal });
    }
    const [program = "", ...args] = reload.command ?? [];
    return ask(this.#probe, { target: { type: "exec", program, args }, timeoutMs, signal });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#tasks[Symbol.asyncDispose]();
  }
}

/** Programs run as checks do: allowed ones only, without a shell, ended with their group at their time. */
export function programProbe(host: Host, execAllow: readonly string[]): Probe {
  const alias = () => ({ result: undefined, output: "" });
  return createProbe(host, { reach: createReach(OWN_HOST_RULES), execAllow: new Set(execAllow), alias });
}

/** Undefined when it passed, or why not. */
export async function ask(
  probe: Probe,
  { target, timeoutMs, signal }: { target: ProbeCall["definition"]["target"]; timeoutMs: number; signal: AbortSignal },
): Promise<string | undefined> {
  const { result, output } = await probe({ key: "", definition: { target, timeoutMs }, signal, memory: {} });
  return result === "passing" ? undefined : output;
}
