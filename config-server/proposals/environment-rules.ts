/** The rules of environments: the requirements for all of their releases. */
import { encodeJson, type Host } from "#base";
import { commit, type Store } from "#store";
import { ConfigErrors, type Rules } from "../api.ts";
import { rulesOf } from "../core/change.ts";
import { rulesKey } from "../core/keys.ts";

/** Rules, and the revision at which they were set; 0 when they never were. */
export interface RulesAt {
  readonly rules: Rules;
  readonly revision: number;
}

export class EnvironmentRules {
  readonly #host: Host;
  readonly #store: Store;

  constructor(host: Host, store: Store) {
    this.#host = host;
    this.#store = store;
  }

  async read(namespace: string): Promise<RulesAt> {
    const { entries } = await this.#store.range({ key: rulesKey(namespace) });
    return { rules: rulesOf(entries[0]), revision: entries[0]?.modRevision ?? 0 };
  }

  async requiresReview(namespace: string): Promise<boolean> {
    return (await this.read(namespace)).rules.review === "required";
  }

  /** @throws CONFIG_VERSION_CONFLICT when the rules were set at another revision than `ifRevision` */
  async set(
    namespace: string,
    rules: Rules,
    { by, ifRevision }: { by: string; ifRevision?: number | undefined },
  ): Promise<RulesAt> {
    const key = rulesKey(namespace);
    const { revision } = await commit(this.#store, [{ key }], (known) => {
      const setAt = known.get(key)?.modRevision ?? 0;
      if (ifRevision !== undefined && ifRevision !== setAt) {
        throw ConfigErrors.VERSION_CONFLICT(
          `The rules of "${namespace}" were set at revision ${setAt}, not ${ifRevision}. Read them, and set them again.`,
          { extra: { revision: setAt } },
        );
      }
      return { writes: [{ type: "put", key, value: encodeJson(rules) }], result: undefined };
    });
    this.#host.log.warn({ namespace, ...rules, by }, "the rules of an environment were changed");
    return { rules, revision };
  }
}
