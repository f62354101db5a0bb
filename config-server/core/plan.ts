/** The plan of an import or a source for one set, compared with the live release. Pure. */
import { invariant, own } from "#base";
import type { FileProblem, ImportedSet, Items, ReleaseProblem, SetName } from "../api.ts";
import { PLAN_LINES_MAX } from "../api.ts";
import { diffItems } from "./diff.ts";
import type { WantedSet } from "./tree.ts";

export interface PlannedSet {
  readonly wanted: WantedSet;
  readonly name: SetName;
  /** All items of the release. */
  readonly items: Items;
  readonly fromVersion: number;
  readonly added: readonly string[];
  readonly changed: readonly string[];
  readonly removed: readonly string[];
  readonly unchanged: number;
  readonly isChanged: boolean;
  readonly before: Items;
}

/** `keep`: live keys without a file stay. */
export function planSet(
  wanted: WantedSet,
  live: { readonly version: number; readonly items: Items },
  { keep }: { readonly keep: boolean },
): PlannedSet {
  const items = keep ? { ...live.items, ...wanted.items } : wanted.items;
  const kinds = { added: [] as string[], changed: [] as string[], removed: [] as string[] };
  for (const key of Object.keys(items).sort()) {
    if (!Object.hasOwn(live.items, key)) kinds.added.push(key);
    else {
      const [was, is] = [own(live.items, key), own(items, key)];
      if (was?.format !== is?.format || was?.value !== is?.value) kinds.changed.push(key);
    }
  }
  for (const key of Object.keys(live.items).sort()) if (!Object.hasOwn(items, key)) kinds.removed.push(key);
  const unchanged = Object.keys(items).length - kinds.added.length - kinds.changed.length;
  invariant(unchanged >= 0, "every key of a plan is added, changed or unchanged");
  return {
    wanted,
    name: wanted.name,
    items,
    fromVersion: live.version,
    ...kinds,
    unchanged,
    isChanged: live.version === 0 || kinds.added.length + kinds.changed.length + kinds.removed.length > 0,
    before: live.items,
  };
}

export function reported(plan: PlannedSet, outcome: ImportedSet["outcome"]): ImportedSet {
  const { name, fromVersion, added, changed, removed, unchanged } = plan;
  return {
    ...name,
    fromVersion,
    outcome,
    added: [...added],
    changed: [...changed],
    removed: [...removed],
    unchanged,
  };
}

/** Plans for a dry run: with lines, up to a limit over all sets. */
export function shown(plans: readonly PlannedSet[]): ImportedSet[] {
  let left = PLAN_LINES_MAX;
  return plans.map((plan) => {
    if (!plan.isChanged) return reported(plan, "unchanged");
    // Comparing lines takes time, too, so it stops at the limit.
    if (left === 0) return reported(plan, "planned");
    const differences = diffItems(plan.before, plan.items).map(({ key, kind, lines }) => {
      if (!lines) return { key, kind };
      const fits = lines.length <= left;
      left = fits ? left - lines.length : 0;
      return fits ? { key, kind, lines } : { key, kind };
    });
    return { ...reported(plan, "planned"), differences };
  });
}

/** Problems of a set, by the files of its keys. */
export function inFiles({ wanted: { files, name } }: PlannedSet, problems: readonly ReleaseProblem[]): FileProblem[] {
  return problems.map(({ key, pointer, message, line, column }) => ({
    file: own(files, key) ?? `${name.namespace}/${name.app}/${name.profile}/${key}`,
    message,
    ...(pointer === "" ? {} : { pointer }),
    ...(line === undefined ? {} : { line }),
    ...(column === undefined ? {} : { column }),
  }));
}

/** The first of several problems, as a sentence. */
export function firstOf(problems: readonly FileProblem[]): string {
  const [first] = problems;
  if (!first) return "";
  const at =
    first.line === undefined
      ? ""
      : ` line ${first.line}${first.column === undefined ? "" : `, column ${first.column}`}`;
  const pointer = first.pointer === undefined ? "" : ` at ${first.pointer}`;
  const more = problems.length > 1 ? ` (and ${problems.length - 1} more)` : "";
  const file = first.file === "" ? "" : `"${first.file}"${at}${pointer}: `;
  return `${file}${first.message.replace(/\.$/, "")}${more}`;
}
