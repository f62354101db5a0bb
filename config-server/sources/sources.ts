/**
 * Mirrors git branches and folders: in the background, on an interval and on request, never during a read of config. Each set
 * of a commit is released whole or not at all. An invalid set stays as it was, and the status has its problems. One member
 * mirrors a source. If there were two, the second would find the release done, since each release is a compare-and-swap.
 */
import { AppError, canonicalJson, messageOf, type Host, startOf } from "#base";
import type { Store } from "#store";
import {
  ConfigErrors,
  TRANSFER_PROBLEMS_MAX,
  type FileProblem,
  type ImportedSet,
  type Provenance,
  type ReleaseProblem,
  type SourceStatus,
  type SourceSync,
} from "../api.ts";
import type { ConfigServer } from "../releases/config-server.ts";
import { setId } from "../core/keys.ts";
import { firstOf, inFiles, reported, type PlannedSet } from "../core/plan.ts";
import { readTree, type WantedSet } from "../core/tree.ts";
import type { Planner } from "../transfer/planner.ts";
import { type Member, requireAttached, SourceBook, type SourceRecord } from "./book.ts";
import { FolderReader } from "./folder.ts";
import { depthOf, type Snapshot, type SourceReader, type SourceSettings, unreadable } from "./snapshot.ts";

/** Characters of a commit message that releases keep. */
const MESSAGE_CHARS_MAX = 1024;
/** Attempts to plan a commit when other releases come first. */
const TRIES_MAX = 3;
/** Milliseconds until a member without a lease tries again. */
const JOIN_MS = 500;

export interface SourcesOptions {
  readonly sources: readonly SourceSettings[];
  readonly member: Member;
}

interface Mirror {
  readonly settings: SourceSettings;
  readonly reader: Promise<SourceReader>;
  /** The result of `glance` of the last successful round. */
  glance: string | undefined;
  /** The round that runs; the next one waits for it. */
  last: Promise<unknown>;
}

export class Sources {
  readonly #host: Host;
  readonly #config: ConfigServer;
  readonly #planner: Planner;
  readonly #book: SourceBook;
  readonly #member: Member;
  readonly #mirrors = new Map<string, Mirror>();
  readonly #rounds;
  readonly #healthy;
  /** Aborts with the process, not with the request for a round. */
  #stop = new AbortController().signal;

  constructor(host: Host, store: Store, config: ConfigServer, planner: Planner, { sources, member }: SourcesOptions) {
    this.#host = host;
    this.#config = config;
    this.#planner = planner;
    this.#book = new SourceBook(store);
    this.#member = member;
    for (const settings of sources) {
      const reader = readerOf(settings, host);
      this.#mirrors.set(settings.name, { settings, reader, glance: undefined, last: Promise.resolve() });
    }
    this.#rounds = host.metrics.counter({
      name: "posthouse_config_source_rounds_total",
      help: "Rounds of a config source at this member, by result: released, unchanged or failed.",
      labelNames: ["source", "result"],
    });
    this.#healthy = host.metrics.gauge({
      name: "posthouse_config_source_healthy",
      help: "Whether the last round of a config source at this member succeeded: 1, or 0 while its last commit is not live.",
      labelNames: ["source"],
    });
  }

  /** Mirrors until the signal aborts. Give it to a TaskGroup. */
  async run(signal: AbortSignal): Promise<void> {
    this.#stop = signal;
    await Promise.all([...this.#mirrors.values()].map((mirror) => this.#follow(mirror, signal)));
  }

  /** Every source that is configured here or recorded in the store, in order of name. */
  async list(): Promise<SourceStatus[]> {
    const records = await this.#book.all();
    const counts = new Map<string, number>();
    for (const { source } of (await this.#book.owners()).values()) counts.set(source, (counts.get(source) ?? 0) + 1);
    const names = [...new Set([...this.#mirrors.keys(), ...records.keys(), ...counts.keys()])].sort();
    return names.map((name) => this.#status(name, records.get(name) ?? {}, counts.get(name) ?? 0));
  }

  /**
   * Reads the source now, and releases all differences, including sets that were changed by an emergency release.
   * @throws CONFIG_SOURCE_NOT_FOUND, CONFIG_SOURCE_DETACHED, CONFIG_SOURCE_UNREADABLE, CONFIG_SOURCE_UNSTABLE,
   *   CONFIG_SOURCE_INVALID (`extra.problems`)
   */
  async sync(name: string): Promise<SourceSync> {
    const mirror = this.#mirrors.get(name);
    if (!mirror) {
      const known = (await this.#book.all()).has(name);
      throw ConfigErrors.SOURCE_NOT_FOUND(
        known
          ? `Source "${name}" is not configured at this member, so it cannot be read here. Send the request to a member that has it (setting configSources).`
          : `Unknown source "${name}". The setting configSources lists all sources.`,
      );
    }
    requireAttached(await this.#book.read(name), name);
    return this.#round(mirror, { force: true });
  }

  /** Stops mirroring until the source is attached again. Its sets then accept any release. @throws CONFIG_SOURCE_NOT_FOUND */
  async detach(name: string, by: string): Promise<SourceStatus> {
    await this.#one(name);
    await this.#book.update(name, (record) => ({ ...record, detached: record.detached ?? { by, at: this.#now() } }));
    await this.#book.letGo(name);
    this.#host.log.warn({ source: name, by }, "a config source was detached");
    return this.#one(name);
  }

  /** Mirrors the source again. It owns its sets again after the next round. @throws CONFIG_SOURCE_NOT_FOUND */
  async attach(name: string, by: string): Promise<SourceStatus> {
    await this.#one(name);
    // Without the released commit, the next round claims every set again.
    await this.#book.update(name, (record) => {
      const { detached: _detached, released: _released, ...rest } = record;
      return record.detached ? rest : record;
    });
    this.#host.log.warn({ source: name, by }, "a config source was attached");
    return this.#one(name);
  }

  async #one(name: string): Promise<SourceStatus> {
    const found = (await this.list()).find((source) => source.name === name);
    if (found) return found;
    throw ConfigErrors.SOURCE_NOT_FOUND(`Unknown source "${name}". The setting configSources lists all sources.`);
  }

  async #follow(mirror: Mirror, signal: AbortSignal): Promise<void> {
    const { name, intervalSeconds } = mirror.settings;
    while (!signal.aborted) {
      let pauseMs = intervalSeconds * 1000;
      try {
        if (this.#member.lease === undefined) pauseMs = Math.min(pauseMs, JOIN_MS);
        else if (await this.#book.mirrors(name, this.#member)) await this.#round(mirror, { force: false });
      } catch (error) {
        if (signal.aborted) return;
        // The status, the metric and, once, the log report the error. The next round tries again.
        this.#host.log.debug({ source: name, err: error }, `config source not mirrored: ${messageOf(error)}`);
      }
      await this.#host.clock.sleep(pauseMs, signal).catch(() => {});
    }
  }

  /** One round, after the running one. */
  #round(mirror: Mirror, how: { force: boolean }): Promise<SourceSync> {
    const round = mirror.last.then(() => this.#runRound(mirror, how));
    mirror.last = round.catch(() => {});
    return round;
  }

  async #runRound(mirror: Mirror, { force }: { force: boolean }): Promise<SourceSync> {
    const { name } = mirror.settings;
    let commit: string | undefined;
    try {
      const record = await this.#book.read(name);
      const reader = await mirror.reader;
      if (!force && record.detached) return { commit: record.seen?.commit ?? "", sets: [] };
      const glance = await reader.glance();
      const mapping = mappingOf(mirror.settings);
      const done = record.released?.mapping === mapping && !record.error ? record.released.commit : undefined;
      if (!force && done !== undefined && (glance === done || glance === mirror.glance)) {
        return this.#ended(name, { commit: done, sets: [] });
      }
      const snapshot = await reader.read(this.#stop);
      commit = snapshot.commit;
      if (force || commit !== done) {
        const rewritten = !(await reader.isDescendant(commit, record.released?.commit ?? commit));
        const sets = await this.#release(mirror.settings, snapshot);
        await this.#book.update(name, (record) =>
          succeeded(record, snapshot.commit, { mapping, rewritten, at: this.#now() }),
        );
        mirror.glance = glance;
        return this.#ended(name, { commit, sets });
      }
      mirror.glance = glance;
      return this.#ended(name, { commit, sets: [] });
    } catch (error) {
      await this.#failed(name, commit, error);
      throw error;
    }
  }

  #ended(name: string, sync: SourceSync): SourceSync {
    const released = sync.sets.some(({ outcome }) => outcome === "released");
    this.#rounds.labels(name, released ? "released" : "unchanged").inc();
    this.#healthy.labels(name).set(1);
    return sync;
  }

  async #failed(name: string, commit: string | undefined, error: unknown): Promise<void> {
    if (this.#stop.aborted) return;
    this.#rounds.labels(name, "failed").inc();
    this.#healthy.labels(name).set(0);
    // A round that a detachment ended is not a failure of the source.
    if (!(error instanceof AppError) || error.code === ConfigErrors.SOURCE_DETACHED.code) return;
    const at = this.#now();
    const { code, message: detail } = error;
    const problems = (error.extra["problems"] ?? []) as readonly FileProblem[];
    let isNew = false;
    const note = (record: SourceRecord): SourceRecord => {
      const before = record.error;
      isNew = before?.code !== code || before.detail !== detail;
      const recorded = isNew || !before ? { code, detail, problems, at } : before;
      const seen = commit === undefined || record.seen?.commit === commit ? record.seen : { commit, at };
      return { ...record, ...(seen ? { seen } : {}), error: recorded };
    };
    try {
      await this.#book.update(name, note);
    } catch (unsaved) {
      // Often the store is the cause of the failure, and then cannot record it.
      this.#host.log.debug({ source: name, err: unsaved }, "the status of a config source was not saved");
    }
    if (isNew) this.#host.log.warn({ source: name, code, commit }, `config source not released: ${detail}`);
  }

  /**
   * Releases the sets of a snapshot, each whole or not at all. An invalid set stays as it was; the others are released.
   * @throws CONFIG_SOURCE_INVALID (`extra.problems`) after that, when any is not valid
   */
  async #release(settings: SourceSettings, snapshot: Snapshot): Promise<ImportedSet[]> {
    const { name, namespace } = settings;
    const tree = readTree(snapshot.files, { namespace, depth: depthOf(settings) });
    const bad = badSets(settings, [...snapshot.problems, ...tree.problems]);
    // A problem that belongs to no set affects all of them.
    if (bad.has(undefined)) throw invalid(name, snapshot.commit, [...bad.values()].flat(), []);
    const sound = tree.sets.filter((set) => !bad.has(setId(set.name)));
    if (sound.length === 0 && bad.size === 0) {
      const form = namespace === undefined ? "NAMESPACE/APP/PROFILE/KEY" : "APP/PROFILE/KEY";
      // Most likely a wrong path or an unfinished clone, and never a reason to empty live sets.
      throw invalid(name, snapshot.commit, [{ file: "", message: `it contains no file ${form}` }], []);
    }
    const wanted = new Set([...tree.sets.map((set) => setId(set.name)), ...(bad.keys() as Iterable<string>)]);
    const owners = await this.#book.owners();
    const gone: WantedSet[] = settings.prune
      ? [...owners]
          .filter(([id, { source }]) => source === name && !wanted.has(id))
          .map(([, { name }]) => ({ name, items: {}, files: {}, reason: undefined }))
      : [];
    for (let attempt = 1; ; attempt++) {
      try {
        const { sets, problems } = await this.#releaseAll(settings, snapshot, [...sound, ...gone], owners);
        await this.#book.letGo(name, wanted);
        const all = [...[...bad.values()].flat(), ...problems];
        if (all.length > 0) throw invalid(name, snapshot.commit, all, sets);
        return sets;
      } catch (error) {
        // Another mirror or an emergency was first. The next attempt plans from the live state and skips released sets.
        if (!ConfigErrors.VERSION_CONFLICT.is(error) || attempt === TRIES_MAX) throw error;
      }
    }
  }

  async #releaseAll(
    { name }: SourceSettings,
    snapshot: Snapshot,
    sets: readonly WantedSet[],
    owners: ReadonlyMap<string, { readonly source: string }>,
  ): Promise<{ sets: ImportedSet[]; problems: FileProblem[] }> {
    const source = provenanceOf(name, snapshot);
    const reason = source.message?.split("\n", 1)[0] ?? `folder ${name} changed`;
    const { plans, problems, bySet } = await this.#planner.plan(
      sets,
      { source, reason, author: principalOf(name), blind: true },
      { keep: false },
    );
    const done: ImportedSet[] = [];
    for (const plan of plans.filter(({ name }) => !bySet.has(setId(name)))) {
      this.#stop.throwIfAborted();
      if (!plan.isChanged) {
        if (owners.get(setId(plan.name))?.source !== name) await this.#book.claim(name, plan.name);
        done.push(reported(plan, "unchanged"));
        continue;
      }
      try {
        done.push(await this.#releaseOne(plan, source, reason));
      } catch (error) {
        // The set was valid in its plan, but it may depend on a set that could not be released.
        if (!ConfigErrors.VALUE_INVALID.is(error)) throw error;
        problems.push(...inFiles(plan, error.extra["problems"] as readonly ReleaseProblem[]));
      }
    }
    return { sets: done, problems };
  }

  /** Changes are reviewed in the source, so its releases count as approved by the source, which they record. */
  async #releaseOne(plan: PlannedSet, source: Provenance, reason: string): Promise<ImportedSet> {
    const principal = principalOf(source.name);
    const { version } = await this.#config.publisher.release(plan.name, {
      items: plan.items,
      reason,
      expectedVersion: plan.fromVersion,
      author: principal,
      approvedBy: [principal],
      source,
      also: this.#book.owning(source.name, plan.name),
    });
    return { ...reported(plan, "released"), version };
  }

  #status(name: string, { released, ...record }: SourceRecord, sets: number): SourceStatus {
    const mirror = this.#mirrors.get(name);
    const { type, branch, namespace } = mirror?.settings ?? {};
    return {
      name,
      configuredHere: mirror !== undefined,
      ...(type === undefined ? {} : { type }),
      ...(type === "git" && branch !== undefined ? { branch } : {}),
      ...(namespace === undefined ? {} : { namespace }),
      sets,
      ...record,
      ...(record.error ? { error: { ...record.error, problems: [...record.error.problems] } } : {}),
      ...(released ? { released: { commit: released.commit, at: released.at } } : {}),
    } as SourceStatus;
  }

  #now(): string {
    return new Date(this.#host.clock.now()).toISOString();
  }
}

async function readerOf(settings: SourceSettings, { clock }: Host): Promise<SourceReader> {
  if (settings.type === "folder") return new FolderReader(settings, clock);
  const { GitReader } = await import("./git.ts").catch((error: unknown) => {
    throw unreadable(settings, `git cannot be read: ${messageOf(error)}`, error);
  });
  return new GitReader(settings);
}

function succeeded(
  { detached, seen }: SourceRecord,
  commit: string,
  { mapping, rewritten, at }: { mapping: string; rewritten: boolean; at: string },
): SourceRecord {
  return {
    ...(detached ? { detached } : {}),
    seen: seen?.commit === commit ? seen : { commit, at },
    released: { commit, at, mapping },
    ...(rewritten ? { rewritten } : {}),
  };
}

const principalOf = (source: string) => `source:${source}`;

function provenanceOf(name: string, { commit, author, message }: Snapshot): Provenance {
  return {
    name,
    commit,
    ...(author === undefined ? {} : { author }),
    ...(message === undefined || message === "" ? {} : { message: startOf(message, MESSAGE_CHARS_MAX) }),
  };
}

/** Settings that change the sets of the same commit. */
function mappingOf({ folder, namespace, prune }: SourceSettings): string {
  return canonicalJson({ folder: folder ?? "", namespace: namespace ?? "", prune });
}

/** Problems by the set of their folder; undefined: outside all sets. */
function badSets(settings: SourceSettings, problems: readonly FileProblem[]): Map<string | undefined, FileProblem[]> {
  const found = new Map<string | undefined, FileProblem[]>();
  const depth = depthOf(settings);
  for (const problem of problems) {
    const folders = problem.file.split("/").slice(0, depth);
    const names = settings.namespace === undefined ? folders : [settings.namespace, ...folders];
    const id = problem.file === "" || folders.length < depth ? undefined : names.join("/");
    found.set(id, [...(found.get(id) ?? []), problem]);
  }
  return found;
}

function invalid(source: string, commit: string, problems: readonly FileProblem[], done: readonly ImportedSet[]) {
  const stays =
    done.length === 0
      ? "Earlier releases of the source stay live."
      : `Its ${done.length} other sets are live at this commit; invalid sets stay at their earlier release.`;
  return ConfigErrors.SOURCE_INVALID(`Source "${source}" at ${commit.slice(0, 12)}: ${firstOf(problems)}. ${stays}`, {
    extra: { problems: problems.slice(0, TRANSFER_PROBLEMS_MAX), sets: done },
  });
}
