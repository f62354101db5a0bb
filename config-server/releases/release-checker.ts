/** Checks a release: its syntax, placeholders in all configs that depend on it, its schemas, and its meaning. */
import { own } from "#base";
import type { Host } from "#base";
import { ConfigErrors, type Item, type Items, type ReleaseCheck, type ReleaseProblem, type SetName } from "../api.ts";
import { checkSchemas, checkSyntaxOf } from "./check-thread.ts";
import { blinded } from "../core/blind.ts";
import type { LiveConfig, LiveSet } from "../core/live.ts";
import { contentOf } from "../core/release.ts";
import { BASE_PROFILE, IMPORTS_KEY, readImports } from "../core/resolve.ts";
import type { OpenItems } from "../core/sealed.ts";
import { checkWithoutSecrets, unfitForSecrets } from "../core/secrecy.ts";
import { isSchema, schemaTasks, type SchemaTask } from "./schema.ts";

/** The values that a check may use. */
export interface Sight {
  /** The author may not reveal secrets: no answer depends on the value of a secret. */
  readonly blind: boolean;
  /** The principal whose share of the checking threads this takes. */
  readonly author: string;
  /** Keys of secrets whose value came in the clear with this request. */
  readonly known: ReadonlySet<string>;
}

export class ReleaseChecker {
  readonly #host: Host;
  readonly #live: LiveConfig;
  readonly #checks: readonly ReleaseCheck[];

  /** `checks` judge a release's meaning; each decides by the set's name whether it applies. */
  constructor(host: Host, live: LiveConfig, checks: readonly ReleaseCheck[]) {
    this.#host = host;
    this.#live = live;
    this.#checks = checks;
  }

  /**
   * Syntax, then imports and placeholders (also of configs that depend on the set), then schemas, then meaning. The last two
   * check values with placeholders filled in. Returns the versions of other sets that the result relies on.
   * @throws CONFIG_RELEASE_TOO_LARGE, CONFIG_VALUE_INVALID (`extra.problems`), CONFIG_CHECK_TIMEOUT
   */
  async check(name: SetName, given: OpenItems, { blind, author, known }: Sight): Promise<ReadonlyMap<string, number>> {
    const items = blind ? blinded(given) : given;
    const release = { ...name, version: 0, hash: "", author: "", reason: "", createdAt: "", items };
    const candidate: LiveSet = { name, release, revision: 0, sealed: {} };
    contentOf(items, () => "");
    let problems: readonly ReleaseProblem[] = unfitForSecrets(items, isReadHere);
    if (problems.length === 0)
      problems = await checkSyntaxOf(this.#host, blind ? withoutUnknown(given, known) : items, author);
    if (problems.length === 0) problems = importProblems(items);
    if (problems.length === 0) problems = this.#live.problemsOf(candidate, blind);
    if (problems.length === 0) problems = await checkSchemas(this.#host, this.#schemaTasks(candidate, blind), author);
    if (problems.length === 0) {
      const told = this.#expanded(candidate, candidate, blind);
      problems = this.#checks.flatMap((check) => checkWithoutSecrets(check, name, told));
    }
    refuse(problems);
    return this.#live.restsOn(candidate);
  }

  /** Items of a set with placeholders filled in, as instances receive them. */
  #expanded(set: LiveSet, candidate: LiveSet, blind: boolean): Items {
    // A secret that cannot be read cannot be checked.
    const readable = Object.entries(set.release.items).filter(([, item]) => !item.unreadable);
    const items = Object.fromEntries(readable);
    if (!Object.values(items).some(({ expand }) => expand)) return items;
    const { config } = this.#live.resolvedWith(candidate, set.name, blind);
    return Object.fromEntries(
      Object.entries(items).map(([key, item]) => {
        const told = item.expand ? own(config.items, key) : undefined;
        return [key, told ? { ...item, value: told.value, ...(told.secret ? { secret: true } : {}) } : item];
      }),
    );
  }

  /**
   * Values and their schemas. A schema belongs to the base profile and applies to every profile, so a new schema also checks
   * the live values of the other profiles.
   */
  #schemaTasks(candidate: LiveSet, blind: boolean): SchemaTask[] {
    const { name } = candidate;
    const isBase = name.profile === BASE_PROFILE;
    const base = isBase ? candidate : this.#live.get({ ...name, profile: BASE_PROFILE });
    const schemas = base?.release.items ?? {};
    if (!Object.keys(schemas).some(isSchema)) return [];
    const sets: { items: Items; where: string }[] = [{ items: this.#expanded(candidate, candidate, blind), where: "" }];
    for (const live of isBase ? this.#live.all() : []) {
      const { namespace, app, profile } = live.name;
      if (namespace !== name.namespace || app !== name.app || profile === BASE_PROFILE) continue;
      sets.push({ items: this.#expanded(live, candidate, blind), where: `live in profile "${profile}": ` });
    }
    const tasks = schemaTasks(schemas, sets);
    return blind ? tasks.filter(({ item, items = {} }) => ![item, ...Object.values(items)].some(isSecret)) : tasks;
  }
}

const isSecret = (item: Item | undefined) => item?.secret === true;

/** Items whose values the caller knows: those that are not secret, and secrets that came with the request. */
function withoutUnknown(items: OpenItems, known: ReadonlySet<string>): OpenItems {
  return Object.fromEntries(Object.entries(items).filter(([key, item]) => !item.secret || known.has(key)));
}

/** @throws CONFIG_VALUE_INVALID unless the list is empty */
function refuse(problems: readonly ReleaseProblem[]): void {
  const [first] = problems;
  if (!first) return;
  const at =
    first.line === undefined
      ? ""
      : ` line ${first.line}${first.column === undefined ? "" : `, column ${first.column}`}`;
  throw ConfigErrors.VALUE_INVALID(
    `Key "${first.key}"${at}${first.pointer === "" ? "" : ` at ${first.pointer}`}: ${first.message.replace(/\.$/, "")}. Nothing was released.`,
    { extra: { field: `/items/${first.key}`, problems } },
  );
}

const isReadHere = (key: string) => key === IMPORTS_KEY || isSchema(key);

function importProblems(items: Items): ReleaseProblem[] {
  const item = own(items, IMPORTS_KEY);
  const problem = item && readImports(item).problem;
  return problem === undefined ? [] : [{ key: IMPORTS_KEY, pointer: "", message: problem }];
}
