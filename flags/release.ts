/** The release check of flags: rejects a release with a flag set that cannot be evaluated, by line and column. */
import type { ReleaseCheck, ReleaseProblem } from "#config-server/api";
import { FLAGS_KEYS } from "./api.ts";
import { readFlags } from "./core/mod.ts";

/** Applies to every app: a flag set is recognized by its key. */
export const flagsReleaseCheck: ReleaseCheck = (_name, items) => {
  const keys = FLAGS_KEYS.filter((key) => Object.hasOwn(items, key));
  const [key, second] = keys;
  if (key === undefined) return [];
  if (second !== undefined) {
    return [
      {
        key: second,
        pointer: "",
        message: `A release must have only one flag set, and it already has ${key}. Remove one of the two keys.`,
      },
    ];
  }
  const item = items[key];
  if (!item) return [];
  if (item.format !== "yaml" && item.format !== "json") {
    return [{ key, pointer: "", message: `The format of a flag set must be yaml or json, not ${item.format}.` }];
  }
  return (readFlags(item.value).problems ?? []).map((problem): ReleaseProblem => ({ key, ...problem }));
};
