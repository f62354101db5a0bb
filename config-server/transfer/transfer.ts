/**
 * Exports live releases as a zip, and imports a zip as releases. An import with an invalid set is rejected as a whole. Then
 * each changed set is one release, expecting the version that it was planned for. No transaction spans all sets: when a set
 * fails, the releases before it remain, and the next import of the same zip does the rest.
 */
import { AppError, canonicalJson, decodeJson, type Host, own } from "#base";
import type { Store } from "#store";
import {
  ConfigErrors,
  DRAFTS_MAX,
  isMasked,
  MANIFEST_BYTES_MAX,
  MANIFEST_FORMAT,
  MANIFEST_NAME,
  TRANSFER_BYTES_MAX,
  TRANSFER_FILES_MAX,
  TRANSFER_PROBLEMS_MAX,
  type FileProblem,
  type ImportedSet,
  type ImportQuery,
  type ImportReport,
  type Item,
  type Manifest,
  type Proposal,
  type Release,
  type SetName,
} from "../api.ts";
import type { ConfigServer } from "../releases/config-server.ts";
import { nothingReleased } from "../releases/stored-releases.ts";
import { seenItems, type SeesKey } from "../core/key-view.ts";
import { LIVE_PREFIX, parseLiveKey, setId } from "../core/keys.ts";
import { firstOf, reported, shown, type PlannedSet } from "../core/plan.ts";
import type { LiveRecord } from "../core/rollout.ts";
import { readTree, type TreeFile } from "../core/tree.ts";
import { entriesUnder } from "../releases/listing.ts";
import { Planner } from "./planner.ts";
import type { Author } from "../proposals/author.ts";
import type { KeyPermit } from "../releases/key-rights.ts";
import type { Proposals } from "../proposals/proposals.ts";
import { readZip, writeZip } from "./zip.ts";

/** The author of an import. Both functions throw HTTP_FORBIDDEN. */
export interface ImportAuthor extends Author {
  readonly permitSet: (name: SetName) => void;
  /** Of keys that would change, and whose differences a dry run shows. */
  readonly permitKeys: KeyPermit;
  readonly publishPermit: KeyPermit | undefined;
}

/** A release to export. */
interface Pinned {
  readonly name: SetName;
  readonly version: number;
}

export class Transfer {
  readonly planner: Planner;
  readonly #host: Host;
  readonly #store: Store;
  readonly #config: ConfigServer;
  readonly #proposals: Proposals;

  constructor(host: Host, store: Store, config: ConfigServer, proposals: Proposals) {
    this.#host = host;
    this.#store = store;
    this.#config = config;
    this.#proposals = proposals;
    this.planner = new Planner(host, store, config);
  }

  /**
   * One set, a file per key: the live release, or the given version.
   * @throws CONFIG_SET_NOT_FOUND, CONFIG_RELEASE_NOT_FOUND
   */
  async exportSet(name: SetName, version: number | undefined, sees: SeesKey): Promise<AsyncIterable<Uint8Array>> {
    const at = version ?? (await this.#config.releases.liveVersion(name));
    if (at === 0) throw nothingReleased(name);
    return this.#export([{ name, version: at }], { sees, pathOf: ({ key }) => key });
  }

  /**
   * The live releases of all sets that match, as they were at one revision: `NAMESPACE/APP/PROFILE/KEY`.
   * @throws CONFIG_EXPORT_TOO_LARGE, CONFIG_SET_NOT_FOUND
   */
  async exportSets(
    match: { namespace?: string | undefined; app?: string | undefined },
    { seesSet, sees }: { readonly seesSet: (name: SetName) => boolean; readonly sees: SeesKey },
  ) {
    const sets = (await this.#liveSets()).filter(
      ({ name }) =>
        (match.namespace === undefined || name.namespace === match.namespace) &&
        (match.app === undefined || name.app === match.app) &&
        seesSet(name),
    );
    if (sets.length === 0) {
      const which = [match.namespace ?? "any namespace", match.app ?? "any app"].join(", ");
      throw ConfigErrors.SET_NOT_FOUND(`Nothing is released for ${which}, so there is nothing to export.`);
    }
    return this.#export(sets, { sees, pathOf: ({ name, key }) => `${setId(name)}/${key}` });
  }

  /**
   * @throws CONFIG_ZIP_INVALID, CONFIG_ZIP_TOO_LARGE, CONFIG_IMPORT_INVALID (`extra.problems`): nothing was done;
   *   CONFIG_IMPORT_INCOMPLETE (`extra.report`): some was
   */
  async import(zip: Uint8Array, query: ImportQuery, author: ImportAuthor): Promise<ImportReport> {
    const { mode = "dry-run", keep = false, emergency = false, reason } = query;
    if (emergency && (reason ?? "").trim() === "") {
      throw ConfigErrors.EMERGENCY_REASON("An emergency import requires a reason, which is kept with each release.", {
        extra: { field: "/reason" },
      });
    }
    const { namespace, app, profile } = query;
    const tree = readTree(await readZip(zip), { namespace, app, profile });
    refuse(tree.problems);
    if (tree.sets.length === 0) {
      throw ConfigErrors.IMPORT_INVALID(
        "The zip contains no config file. Name files NAMESPACE/APP/PROFILE/KEY, APP/PROFILE/KEY with a namespace, or KEY with all three.",
      );
    }
    for (const { name } of tree.sets) author.permitSet(name);
    const { plans, problems } = await this.planner.plan(
      tree.sets,
      { emergency, reason: reason ?? "import", author: author.name, blind: author.blind },
      { keep },
    );
    refuse(problems);
    for (const plan of plans) author.permitKeys(plan.name, [...plan.added, ...plan.changed, ...plan.removed]);
    const ignored = [...tree.ignored];
    if (mode === "dry-run") return { mode, sets: shown(plans), ignored };
    const sets = await this.#each(plans, (plan) =>
      mode === "draft"
        ? this.#draft(plan, author.name)
        : this.#release(plan, { author, emergency, reason: reason ?? plan.wanted.reason ?? "import" }),
    );
    const report: ImportReport = { mode, sets, ignored };
    const failed = sets.find(({ outcome }) => outcome === "failed");
    if (!failed) return report;
    const done = sets.filter(({ outcome }) => outcome !== "failed" && outcome !== "not-tried");
    throw ConfigErrors.IMPORT_INCOMPLETE(
      `${done.length} of ${sets.length} sets were imported. "${setId(failed)}" failed: ${failed.error?.code}: ${failed.error?.detail} Import again to continue; sets that were imported are skipped.`,
      { extra: { report } },
    );
  }

  /** Applies plans in order. After a failure the rest is not tried. */
  async #each(plans: readonly PlannedSet[], apply: (plan: PlannedSet) => Promise<ImportedSet>): Promise<ImportedSet[]> {
    const sets: ImportedSet[] = [];
    let failed = false;
    for (const plan of plans) {
      if (!plan.isChanged) sets.push(reported(plan, "unchanged"));
      else if (failed) sets.push(reported(plan, "not-tried"));
      else {
        try {
          sets.push(await apply(plan));
        } catch (error) {
          if (!(error instanceof AppError)) throw error;
          failed = true;
          sets.push({ ...reported(plan, "failed"), error: { code: error.code, detail: error.message } });
        }
      }
    }
    return sets;
  }

  async #release(
    plan: PlannedSet,
    { author, reason, emergency }: { author: ImportAuthor; reason: string; emergency: boolean },
  ): Promise<ImportedSet> {
    const { name, items, fromVersion } = plan;
    if (!emergency && (await this.#proposals.rules.requiresReview(name.namespace))) {
      const changes = changesOf(plan);
      // A repeated import does not propose again what already waits for a review.
      const same = (await this.#proposals.list(name)).find(
        (open) => open.state === "open" && canonicalJson(open.changes) === canonicalJson(changes),
      );
      const given = { changes, baseVersion: fromVersion, reason };
      const { id } = same ?? (await this.#proposals.proposeChanges(name, given, author));
      return { ...reported(plan, "proposed"), proposal: id };
    }
    const change = { items, reason, expectedVersion: fromVersion, author: author.name, permit: author.publishPermit };
    const { version } = await this.#config.publisher.release(name, { ...change, ...(emergency ? { emergency } : {}) });
    return { ...reported(plan, "released"), version };
  }

  async #draft(plan: PlannedSet, author: string): Promise<ImportedSet> {
    const changes = Object.entries(changesOf(plan));
    const drafted = new Set((await this.#proposals.drafts.list(plan.name, author)).map(({ key }) => key));
    for (const [key] of changes) drafted.add(key);
    if (drafted.size > DRAFTS_MAX) {
      throw ConfigErrors.DRAFTS_FULL(
        `"${author}" would have ${drafted.size} drafts of "${setId(plan.name)}"; at most ${DRAFTS_MAX} are allowed. Import with mode=release, which makes a proposal where a review is required.`,
      );
    }
    for (const [key, item] of changes) {
      await this.#proposals.drafts.save(plan.name, key, item ? { ...item } : { remove: true }, author);
    }
    return reported(plan, "drafted");
  }

  /**
   * Reads releases twice: first for the manifest and the size limits, then for their content. Only names are kept in between,
   * so the memory of one release is enough. Releases never change, so both reads return the same.
   */
  async #export(
    pinned: readonly Pinned[],
    { sees, pathOf }: { sees: SeesKey; pathOf: (at: { name: SetName; key: string }) => string },
  ) {
    const read = async ({ name, version }: Pinned): Promise<Release> => {
      const release = await this.#config.releases.readMasked(name, version);
      return { ...release, items: seenItems(name, release.items, sees) };
    };
    const sets: Manifest["sets"] = [];
    let files = 1;
    let bytes = 0;
    for (const { name, version } of pinned) {
      const release = await read({ name, version });
      const items = Object.entries(release.items);
      files += items.length;
      for (const [, item] of items) bytes += bytesOf(item).length;
      requireImportable(files, bytes);
      sets.push(described(release));
    }
    const manifest: Manifest = { format: MANIFEST_FORMAT, sets };
    const encoder = new TextEncoder();
    const encoded = encoder.encode(`${JSON.stringify(manifest, null, 1)}\n`);
    requireImportable(files, bytes + encoded.length, encoded.length);
    async function* contents(): AsyncGenerator<TreeFile> {
      yield { path: MANIFEST_NAME, bytes: encoded };
      for (const at of pinned) {
        const { items } = await read(at);
        for (const key of Object.keys(items).sort()) {
          yield { path: pathOf({ name: at.name, key }), bytes: bytesOf(own(items, key) as Item) };
        }
      }
    }
    return writeZip(contents());
  }

  /** Reads the store at one revision, so that the list includes a release that was just answered. */
  async #liveSets(): Promise<Pinned[]> {
    const sets: Pinned[] = [];
    for await (const { key, value } of entriesUnder(this.#store, LIVE_PREFIX)) {
      const name = parseLiveKey(key);
      if (name) sets.push({ name, version: decodeJson<LiveRecord>(value).version });
    }
    return sets;
  }

  /** Logs the author and the result of an import. */
  note(report: ImportReport, author: string): void {
    const outcomes = Object.groupBy(report.sets, ({ outcome }) => outcome);
    const counts = Object.fromEntries(Object.entries(outcomes).map(([outcome, sets]) => [outcome, sets.length]));
    this.#host.log.info({ mode: report.mode, author, ...counts }, "config imported");
  }
}

/** An export must fit into an import. @throws CONFIG_EXPORT_TOO_LARGE */
function requireImportable(files: number, bytes: number, manifestBytes = 0): void {
  if (files <= TRANSFER_FILES_MAX && bytes <= TRANSFER_BYTES_MAX && manifestBytes <= MANIFEST_BYTES_MAX) return;
  throw ConfigErrors.EXPORT_TOO_LARGE(
    `The export has more than ${TRANSFER_FILES_MAX} files or ${TRANSFER_BYTES_MAX} bytes, the limits of an import. Export by namespace or by app.`,
  );
}

function described({ items, ...release }: Release): Manifest["sets"][number] {
  const { namespace, app, profile, version, hash, author, reason, createdAt } = release;
  const names = Object.keys(items).sort();
  const keys = Object.fromEntries(names.map((key) => [key, (own(items, key) as Item).format]));
  const expand = names.filter((key) => own(items, key)?.expand);
  const said = { namespace, app, profile, version, hash, author, reason, createdAt, keys };
  const secret = names.filter((key) => own(items, key)?.secret);
  return { ...said, ...(expand.length === 0 ? {} : { expand }), ...(secret.length === 0 ? {} : { secret }) };
}

/** The bytes of the file of a value. */
function bytesOf(item: Item): Uint8Array {
  const { format, value } = item;
  return format === "binary" && !isMasked(item) ? Buffer.from(value, "base64") : Buffer.from(value, "utf8");
}

function changesOf({ added, changed, removed, items }: PlannedSet): Proposal["changes"] {
  return Object.fromEntries([
    ...[...added, ...changed].map((key) => [key, own(items, key) as Item] as const),
    ...removed.map((key) => [key, null] as const),
  ]);
}

/** @throws CONFIG_IMPORT_INVALID (`extra.problems`) unless the list is empty */
function refuse(problems: readonly FileProblem[]): void {
  if (problems.length === 0) return;
  throw ConfigErrors.IMPORT_INVALID(`${firstOf(problems)}. Nothing was imported.`, {
    extra: { problems: problems.slice(0, TRANSFER_PROBLEMS_MAX) },
  });
}
