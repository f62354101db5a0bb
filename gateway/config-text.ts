/**
 * A released text becomes a gateway config, or a list of what is wrong with it by line and column. The config server
 * asks before a release stands, the gateway asks again before it lives by one.
 */
import { readPlainJson } from "#base/plain-json";
import { type Located, readYaml } from "#base/yaml";
import type { ReleaseCheck, ReleaseProblem } from "#config-server/api";
import { GATEWAY_APP, GATEWAY_KEY, type ConfigProblem, type GatewayConfig } from "./api.ts";
import { checkGatewayConfig, type CheckedConfig } from "./core/check/config.ts";
import type { Filters } from "./core/request/filter.ts";
import { builtInFilters } from "./filters/mod.ts";
import { pemProblems } from "./sources/pem.ts";

export { loadFilters } from "./filter-modules.ts";

/** Aliases followed in one document: a few lines of YAML can name a billion nodes. */
const ALIASES_MAX = 50;

export type ParsedConfig =
  | {
      readonly config: GatewayConfig;
      readonly problems: readonly [];
      /** Routes that can never be used, and the like: allowed, and most likely not meant. */
      readonly warnings: readonly Located[];
    }
  | { readonly config?: undefined; readonly problems: readonly Located[] };

/** Reads YAML 1.2, of which JSON is a part. `filters`: those that routes may use. */
export function parseGatewayConfig(text: string, filters: Filters = builtInFilters): ParsedConfig {
  const tree = readPlainJson(text);
  if (tree !== undefined) {
    const checked = checkWhole(tree, filters);
    // Where something is wrong, the other reader says on which line.
    if (checked.config && checked.warnings.length === 0) return { ...checked, warnings: [] };
  }
  return yamlConfig(text, filters);
}

function checkWhole(tree: unknown, filters: Filters): CheckedConfig {
  const checked = checkGatewayConfig(tree, filters);
  const problems = checked.config ? pemProblems(checked.config) : [];
  return problems.length > 0 ? { problems } : checked;
}

function yamlConfig(text: string, filters: Filters): ParsedConfig {
  const read = readYaml(text, ALIASES_MAX);
  if (read.problems) return { problems: read.problems };
  const checked = checkWhole(read.tree, filters);
  const located = (problems: readonly ConfigProblem[]) =>
    problems.map((problem) => ({ ...problem, ...read.place(problem.pointer) }));
  if (checked.config) return { ...checked, warnings: located(checked.warnings) };
  return { problems: located(checked.problems) };
}

/**
 * For a config that is about to be used: one that answers every request with 404 must say so by `routes: []`. A text
 * that is empty, or all comments, is most likely a mistake. A gateway still takes what was released before.
 */
export function parseNewGatewayConfig(text: string, filters: Filters = builtInFilters): ParsedConfig {
  const parsed = parseGatewayConfig(text, filters);
  if (!parsed.config) return parsed;
  const { routes, hints = [] } = parsed.config;
  if (routes !== undefined || hints.length > 0) return parsed;
  const isEmpty = Object.keys(parsed.config).length === 0;
  const found = isEmpty ? "The config is empty" : "The config has no routes";
  const message = `${found}, so every request would be answered with 404. Add routes, or write "routes: []" to ask for that.`;
  return { problems: [{ pointer: "", message, line: 1, column: 1 }] };
}

/** For the config server: refuses a release of the gateway's app whose routes no gateway would take. */
export function gatewayReleaseCheckWith(filters: Filters): ReleaseCheck {
  return (name, items) => {
    if (name.app !== GATEWAY_APP) return [];
    const item = items[GATEWAY_KEY];
    if (!item) return [];
    if (item.format !== "yaml" && item.format !== "json") {
      return [{ key: GATEWAY_KEY, pointer: "", message: `The format is yaml or json, not ${item.format}.` }];
    }
    const { problems } = parseNewGatewayConfig(item.value, filters);
    return problems.map((problem): ReleaseProblem => ({ key: GATEWAY_KEY, ...problem }));
  };
}

/** With the built-in filters alone. */
export const gatewayReleaseCheck: ReleaseCheck = gatewayReleaseCheckWith(builtInFilters);
