/**
 * Mirrors of git branches and folders: in the background, on an interval and when asked, never while somebody reads config.
 * A commit is released set by set, each whole or not at all; a set that is not valid stays as it was, and says why. One
 * member mirrors a source; were there two, each release is a compare-and-swap, so the second finds it done.
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

/** Characters of a commit's message that its releases keep. */
const MESSAGE_CHARS_MAX = 1024;
/** Times that a commit is planned anew because somebody released meanwhile. */
const TRIES_MAX = 3;
/** Milliseconds until a member that does not count itself in yet looks again. */
const JOIN_MS = 500;

export interface SourcesOptions {
  readonly sources: readonly SourceSettings[];
  readonly member: Member;
}

interface Mirror {
  readonly settings: SourceSettings;
  readonly reader: Promise<SourceReader>;
  /** What the last look that ended well saw. */
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
  /** Ends with the process, and not with whoever asked for a look. */
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
      help: "Looks at a config source by this member, by what became of them: released, unchanged or failed.",
      labelNames: ["source", "result"],
    });
    this.#healthy = host.metrics.gauge({
      name: "posthouse_config_source_healthy",
      help: "Whether the last look at a config source by this member ended well: 1, or 0 while its last commit is not live.",
      labelNames: ["source"],
    });
  }

  /** Mirrors until the signal aborts. Give it to a TaskGroup. */
  async run(signal: AbortSignal): Promise<void> {
    this.#stop = signal;
    await Promise.all([...this.#mirrors.values()].map((mirror) => this.#follow(mirror, signal)));
  }

  /** Every source that is configured here, or that the store knows of. In order of name. */
  async list(): Promise<SourceStatus[]> {
    const records = await this.#book.all();
    const counts = new Map<string, number>();
    for (const { source } of (await this.#book.owners()).values()) counts.set(source, (counts.get(source) ?? 0) + 1);
    const names = [...new Set([...this.#mirrors.keys(), ...records.keys(), ...counts.keys()])].sort();
    return names.map((name) => this.#status(name, records.get(name) ?? {}, counts.get(name) ?? 0));
  }

  /**
   * Looks now, and releases whatever differs from it, also what somebody released past it.
   * @throws CONFIG_SOURCE_NOT_FOUND, CONFIG_SOURCE_DETACHED, CONFIG_SOURCE_UNREADABLE, CONFIG_SOURCE_UNSTABLE,
   *   CONFIG_SOURCE_INVALID (`extra.problems`)
   */
  async sync(name: string): Promise<SourceSync> {
    const mirror = this.#mirrors.get(name);
    if (!mirror) {
      const known = (await this.#book.all()).has(name);
      throw ConfigErrors.SOURCE_NOT_FOUND(
        known
          ? `Source "${name}" is not configured at this member, so it cannot be read here. Ask one that has it (setting configSources).`
          : `There is no source "${name}". They are in the setting configSources.`,
      );
    }
    requireAttached(await this.#book.read(name), name);
    return this.#round(mirror, { force: true });
  }

  /** Its sets are anybody's from then on, and it is not mirrored until it is attached. @throws CONFIG_SOURCE_NOT_FOUND */
  async detach(name: string, by: string): Promise<SourceStatus> {
    await this.#one(name);
    await this.#book.update(name, (record) => ({ ...record, detached: record.detached ?? { by, at: this.#now() } }));
    await this.#book.letGo(name);
    this.#host.log.warn({ source: name, by }, "a config source was detached");
    return this.#one(name);
  }

  /** It is mirrored again, and takes its sets back with the next look. @throws CONFIG_SOURCE_NOT_FOUND */
  async attach(name: string, by: string): Promise<SourceStatus> {
    await this.#one(name);
    // What was released is forgotten with it, so that the next look takes everything over anew.
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
    throw ConfigErrors.SOURCE_NOT_FOUND(`There is no source "${name}". They are in the setting configSources.`);
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
        // Told where people look: in the status, the metric and, once, the log. The next look is soon enough.
        this.#host.log.debug({ source: name, err: error }, `config source not mirrored: ${messageOf(error)}`);
      }
      await this.#host.clock.sleep(pauseMs, signal).catch(() => {});
    }
  }

  /** One look, after the one that runs. */
  #round(mirror: Mirror, how: { force: boolean }): Promise<SourceSync> {
    const round = mirror.last.then(() => this.#look(mirror, how));
    mirror.last = round.catch(() => {});
    return round;
  }

  async #look(mirror: Mirror, { force }: { force: boolean }): Promise<SourceSync> {
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
        const rewritten = !(await reader.standsOn(commit, record.released?.commit ?? commit));
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
    // A round that was cut by a detachment is no fault of the source.
    if (!(error instanceof AppError) || error.code === ConfigErrors.SOURCE_DETACHED.code) return;
    const at = this.#now();
    const { code, message: detail } = error;
    const problems = (error.extra["problems"] ?? []) as readonly FileProblem[];
    let isNew = false;
    const note = (record: SourceRecord): SourceRecord => {
      const before = record.error;
      isNew = before?.code !== code || before.detail !== detail;
      const told = isNew || !before ? { code, detail, problems, at } : before;
      const seen = commit === undefined || record.seen?.commit === commit ? record.seen : { commit, at };
      return { ...record, ...(seen ? { seen } : {}), error: told };
    };
    try {
      await this.#book.update(name, note);
    } catch (unsaved) {
      // A store that is away is often why it failed, and cannot be told of it.
      this.#host.log.debug({ source: name, err: unsaved }, "the status of a config source was not saved");
    }
    if (isNew) this.#host.log.warn({ source: name, code, commit }, `config source not released: ${detail}`);
  }

  /**
   * The sets of a snapshot, each whole or not at all: one that is not valid stays as it was, and the others are released.
   * @throws CONFIG_SOURCE_INVALID (`extra.problems`) after that, when any is not valid
   */
  async #release(settings: SourceSettings, snapshot: Snapshot): Promise<ImportedSet[]> {
    const { name, namespace } = settings;
    const tree = readTree(snapshot.files, { namespace, depth: depthOf(settings) });
    const bad = badSets(settings, [...snapshot.problems, ...tree.problems]);
    // What is wrong with no set in particular is wrong with all.
    if (bad.has(undefined)) throw invalid(name, snapshot.commit, [...bad.values()].flat(), []);
    const sound = tree.sets.filter((set) => !bad.has(setId(set.name)));
    if (sound.length === 0 && bad.size === 0) {
      const form = namespace === undefined ? "NAMESPACE/APP/PROFILE/KEY" : "APP/PROFILE/KEY";
      // Most likely a wrong path or a clone that is not done, and never a reason to empty what is live.
      throw invalid(name, snapshot.commit, [{ file: "", message: `it holds no file ${form}` }], []);
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
        // Another mirror or an emergency was first: what is live now is looked at, and what is done already is skipped.
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
        // Found valid a moment ago, it may stand on a set that is not released.
        if (!ConfigErrors.VALUE_INVALID.is(error)) throw error;
        problems.push(...inFiles(plan, error.extra["problems"] as readonly ReleaseProblem[]));
      }
    }
    return { sets: done, problems };
  }

  /** Whoever configured the source reviews there, so its releases count as approved by it, and say so. */
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

/** Settings that make other sets of the same commit. */
function mappingOf({ folder, namespace, prune }: SourceSettings): string {
  return canonicalJson({ folder: folder ?? "", namespace: namespace ?? "", prune });
}

/** Problems by the set in whose folder they are; undefined: in none. */
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
      ? "What was released from it before stays live."
      : `Its ${done.length} other sets are live as they are in it; of these what was released before stays.`;
  return ConfigErrors.SOURCE_INVALID(`Source "${source}" at ${commit.slice(0, 12)}: ${firstOf(problems)}. ${stays}`, {
    extra: { problems: problems.slice(0, TRANSFER_PROBLEMS_MAX), sets: done },
  });
}
