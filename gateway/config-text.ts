/**
 * Parses a released text into a gateway config, or into problems with line and column. The config server checks a release
 * before it accepts it, and the gateway checks it again before it uses it.
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

/** Most aliases in one document: a few lines of YAML could expand to a billion nodes. */
export const ALIASES_MAX = 50;

export type ParsedConfig =
  | {
      readonly config: GatewayConfig;
      readonly problems: readonly [];
      /** Allowed, but most likely a mistake, such as routes that can never be used. */
      readonly warnings: readonly (Located & Pick<ConfigProblem, "shadowedBy">)[];
    }
  | { readonly config?: undefined; readonly problems: readonly Located[] };

/** Reads YAML 1.2, which includes JSON. `filters`: the filters that routes may use. */
export function parseGatewayConfig(text: string, filters: Filters = builtInFilters): ParsedConfig {
  const tree = readPlainJson(text);
  if (tree !== undefined) {
    const checked = checkWhole(tree, filters);
    // For the lines of problems, the YAML reader has to read the text.
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
 * For a new config: without any routes it would answer every request with 404, so it must ask for that by `routes: []`. A
 * text that is empty or has only comments is most likely a mistake. A gateway still uses such a config from an earlier
 * release.
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

/** For the config server: rejects a release of the gateway's app that gateways would not use. */
export function gatewayReleaseCheckWith(filters: Filters): ReleaseCheck {
  return (name, items) => {
    if (name.app !== GATEWAY_APP) return [];
    const item = items[GATEWAY_KEY];
    if (!item) return [];
    if (item.format !== "yaml" && item.format !== "json") {
      return [{ key: GATEWAY_KEY, pointer: "", message: `The format must be yaml or json, not ${item.format}.` }];
    }
    const { problems } = parseNewGatewayConfig(item.value, filters);
    return problems.map((problem): ReleaseProblem => ({ key: GATEWAY_KEY, ...problem }));
  };
}

/** The check with only the built-in filters. */
export const gatewayReleaseCheck: ReleaseCheck = gatewayReleaseCheckWith(builtInFilters);
