/**
 * A released text becomes a gateway config, or a list of what is wrong with it by line and column. The config server
 * asks before a release stands, the gateway asks again before it lives by one.
 */
import { type Located, readYaml } from "#base/yaml";
import type { ReleaseCheck, ReleaseProblem } from "#config-server/api";
import { GATEWAY_APP, GATEWAY_KEY, type GatewayConfig } from "./api.ts";
import { checkGatewayConfig } from "./core/check.ts";

/** Aliases followed in one document: a few lines of YAML can name a billion nodes. */
const ALIASES_MAX = 50;

export type ParsedConfig =
  | { readonly config: GatewayConfig; readonly problems: readonly [] }
  | { readonly config?: undefined; readonly problems: readonly Located[] };

/** Reads YAML 1.2, of which JSON is a part. */
export function parseGatewayConfig(text: string): ParsedConfig {
  const read = readYaml(text, ALIASES_MAX);
  if (read.problems) return { problems: read.problems };
  const checked = checkGatewayConfig(read.tree);
  if (checked.config) return checked;
  return { problems: checked.problems.map((problem) => ({ ...problem, ...read.place(problem.pointer) })) };
}

/** For the config server: refuses a release of the gateway's app whose routes no gateway would take. */
export const gatewayReleaseCheck: ReleaseCheck = (name, items) => {
  if (name.app !== GATEWAY_APP) return [];
  const item = items[GATEWAY_KEY];
  if (!item) return [];
  if (item.format !== "yaml" && item.format !== "json") {
    return [{ key: GATEWAY_KEY, pointer: "", message: `The format is yaml or json, not ${item.format}.` }];
  }
  return parseGatewayConfig(item.value).problems.map((problem): ReleaseProblem => ({ key: GATEWAY_KEY, ...problem }));
};
