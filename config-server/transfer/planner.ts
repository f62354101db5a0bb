/** Plans many sets at a time, for imports and sources: the release that each set would become, and all that is invalid. */
import { AppError, type Host } from "#base";
import type { Store } from "#store";
import { ConfigErrors, type FileProblem, type ReleaseProblem } from "../api.ts";
import { checkSchemas } from "../releases/check-thread.ts";
import type { ConfigServer } from "../releases/config-server.ts";
import { ownerKey, setId } from "../core/keys.ts";
import { requireOwner, type SetWriter } from "../core/owner.ts";
import { inFiles, planSet, type PlannedSet } from "../core/plan.ts";
import { BASE_PROFILE } from "../core/resolve.ts";
import { shownItems } from "../core/sealed.ts";
import type { WantedSet } from "../core/tree.ts";
import { schemaTasks } from "../releases/schema.ts";

/** The author of the releases that would follow. */
export interface PlanAuthor extends SetWriter {
  readonly author: string;
  /** The author may not reveal secrets, so no answer depends on one. */
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

  /** The plan of each set, and every problem of the sets that would change. */
  async plan(
    sets: readonly WantedSet[],
    writer: PlanAuthor,
    options: { readonly keep: boolean },
  ): Promise<{ plans: PlannedSet[]; problems: FileProblem[]; bySet: ReadonlyMap<string, readonly FileProblem[]> }> {
    const plans: PlannedSet[] = [];
    for (const wanted of sets) {
      const { version, items } = await this.#config.releases.liveItems(wanted.name);
      plans.push(planSet(wanted, { version, items: shownItems(items) }, options));
    }
    const bySet = new Map<string, FileProblem[]>();
    const add = ({ name }: PlannedSet, found: readonly FileProblem[]) => {
      if (found.length > 0) bySet.set(setId(name), [...(bySet.get(setId(name)) ?? []), ...found]);
    };
    const changed = plans.filter(({ isChanged }) => isChanged);
    // A source also becomes the owner of a set that does not change.
    for (const plan of writer.source ? plans : changed) add(plan, await this.#mayWrite(plan, writer));
    for (const plan of changed) add(plan, await this.#problemsOf(plan, writer));
    // Only sets that are valid alone are checked against the schemas that come with them.
    const sound = changed.filter(({ name }) => !bySet.has(setId(name)));
    for (const plan of sound) add(plan, await this.#againstNewSchemas(plan, sound, writer));
    return { plans, problems: [...bySet.values()].flat(), bySet };
  }

  async #mayWrite({ name }: PlannedSet, writer: PlanAuthor): Promise<FileProblem[]> {
    const { entries } = await this.#store.range({ key: ownerKey(name) });
    try {
      requireOwner(entries[0], name, writer);
      return [];
    } catch (error) {
      if (!ConfigErrors.SET_OWNED.is(error)) throw error;
      return [{ file: setId(name), message: error.message }];
    }
  }

  async #problemsOf(plan: PlannedSet, { blind, author }: PlanAuthor): Promise<FileProblem[]> {
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

  /** The check of a release uses live schemas. At that time, schemas of the same import will be live, too. */
  async #againstNewSchemas(
    plan: PlannedSet,
    plans: readonly PlannedSet[],
    { author }: PlanAuthor,
  ): Promise<FileProblem[]> {
    const { namespace, app, profile } = plan.name;
    if (profile === BASE_PROFILE) return [];
    const base = plans.find(
      ({ name, isChanged }) =>
        isChanged && name.namespace === namespace && name.app === app && name.profile === BASE_PROFILE,
    );
    // The value of a secret is masked here. Its release checks it against the schema.
    const tasks = schemaTasks(base?.items ?? {}, [{ items: plan.items, where: "" }]).filter(
      ({ item, items = {} }) => ![item, ...Object.values(items)].some((one) => one?.secret),
    );
    return inFiles(plan, await checkSchemas(this.#host, tasks, author));
  }
}
