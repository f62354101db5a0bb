/** For the config server: refuses a release whose flags nobody could evaluate, by line and column. */
import type { ReleaseCheck, ReleaseProblem } from "#config-server/api";
import { FLAGS_KEYS } from "./api.ts";
import { readFlags } from "./core/mod.ts";

/** Holds for every app: the key is what makes it flags. */
export const flagsReleaseCheck: ReleaseCheck = (_name, items) => {
  const keys = FLAGS_KEYS.filter((key) => Object.hasOwn(items, key));
  const [key, second] = keys;
  if (key === undefined) return [];
  if (second !== undefined) {
    return [{ key: second, pointer: "", message: `One release holds its flags in one key, and there is ${key}, too.` }];
  }
  const item = items[key];
  if (!item) return [];
  if (item.format !== "yaml" && item.format !== "json") {
    return [{ key, pointer: "", message: `The format is yaml or json, not ${item.format}.` }];
  }
  return (readFlags(item.value).problems ?? []).map((problem): ReleaseProblem => ({ key, ...problem }));
};
