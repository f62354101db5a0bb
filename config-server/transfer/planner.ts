/**
 * Many sets at a time, from files to releases: what each would become, whether all of them are valid, and then one release
 * each. Imports and sources both do it so.
 */
import { AppError, type Host } from "#base";
import type { Store } from "#store";
import { ConfigErrors, type FileProblem, type Items, type ReleaseProblem, type SetName } from "../api.ts";
import { checkSchemas } from "../releases/check-thread.ts";
import type { ConfigServer } from "../releases/config-server.ts";
import { ownerKey, setId } from "../core/keys.ts";
import { requireOwner } from "../core/owner.ts";
import { inFiles, planSet, type PlannedSet } from "../core/plan.ts";
import { BASE_PROFILE } from "../core/resolve.ts";
import type { WantedSet } from "../core/tree.ts";
import { schemaTasks } from "../releases/schema.ts";

/** Who would write, for sets that follow a source. */
export interface Writer {
  readonly source?: { readonly name: string } | undefined;
  readonly emergency?: boolean | undefined;
  readonly reason: string;
  readonly author: string;
  /** May not reveal secrets, so no answer depends on one. */
  readonly blind: boolean;
}

export class Planner {
  readonly #host: Host;
  readonly #store: Store;
  readonly #config: ConfigServer;

  constructor(host: Host, store: Store, config: ConfigServer) {
    this.#host = host;
    this.#store = store;
    this.#config = config;
  }

  /** What each set would become, and all that is wrong with those that would change. */
  async plan(
    sets: readonly WantedSet[],
    writer: Writer,
    options: { readonly keep: boolean },
  ): Promise<{ plans: PlannedSet[]; problems: FileProblem[]; bySet: ReadonlyMap<string, readonly FileProblem[]> }> {
    const plans: PlannedSet[] = [];
    for (const wanted of sets) plans.push(planSet(wanted, await this.live(wanted.name), options));
    const bySet = new Map<string, FileProblem[]>();
    const add = ({ name }: PlannedSet, found: readonly FileProblem[]) => {
      if (found.length > 0) bySet.set(setId(name), [...(bySet.get(setId(name)) ?? []), ...found]);
    };
    const changed = plans.filter(({ isChanged }) => isChanged);
    // A source also takes over what is already as it wants it.
    for (const plan of writer.source ? plans : changed) add(plan, await this.#mayWrite(plan, writer));
    for (const plan of changed) add(plan, await this.#problemsOf(plan, writer));
    // Only what is right by itself is held against schemas that come with it.
    const sound = changed.filter(({ name }) => !bySet.has(setId(name)));
    for (const plan of sound) add(plan, await this.#againstNewSchemas(plan, sound, writer));
    return { plans, problems: [...bySet.values()].flat(), bySet };
  }

  async live(name: SetName): Promise<{ version: number; items: Items }> {
    const version = await this.#config.releases.liveVersion(name);
    return { version, items: version === 0 ? {} : (await this.#config.releases.readMasked(name, version)).items };
  }

  async #mayWrite({ name }: PlannedSet, writer: Writer): Promise<FileProblem[]> {
    const { entries } = await this.#store.range({ key: ownerKey(name) });
    try {
      requireOwner(entries[0], name, writer);
      return [];
    } catch (error) {
      if (!ConfigErrors.SET_OWNED.is(error)) throw error;
      return [{ file: setId(name), message: error.message }];
    }
  }

  async #problemsOf(plan: PlannedSet, { blind, author }: Writer): Promise<FileProblem[]> {
    try {
      await this.#config.publisher.check(plan.name, plan.items, { blind, author });
      return [];
    } catch (error) {
      if (ConfigErrors.VALUE_INVALID.is(error)) {
        return inFiles(plan, error.extra["problems"] as readonly ReleaseProblem[]);
      }
      if (error instanceof AppError && error.status < 500) return [{ file: setId(plan.name), message: error.message }];
      throw error;
    }
  }

  /** The check of a release knows the schemas that are live; those of the same import will be by then. */
  async #againstNewSchemas(plan: PlannedSet, plans: readonly PlannedSet[], { author }: Writer): Promise<FileProblem[]> {
    const { namespace, app, profile } = plan.name;
    if (profile === BASE_PROFILE) return [];
    const base = plans.find(
      ({ name, isChanged }) =>
        isChanged && name.namespace === namespace && name.app === app && name.profile === BASE_PROFILE,
    );
    // Of a secret there is a mask here at the most; its release holds it against the schema.
    const tasks = schemaTasks(base?.items ?? {}, [{ items: plan.items, where: "" }]).filter(
      ({ item, items = {} }) => ![item, ...Object.values(items)].some((one) => one?.secret),
    );
    return inFiles(plan, await checkSchemas(this.#host, tasks, author));
  }
}
