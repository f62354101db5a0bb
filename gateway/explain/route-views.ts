/** The routes of a table as people read them: in the order in which they are compared, with their places in the text. */
import { readYaml } from "#base/yaml";
import type { ConfigProblem, GatewayConfig, PlacedProblem, RouteConfig, RouteTarget, RouteView } from "../api.ts";
import { ALIASES_MAX } from "../config-text.ts";
import type { CompiledRoute } from "../core/routing/route.ts";
import { buildIndex } from "../core/routing/route-index.ts";
import type { RouteTable } from "../core/routing/table.ts";

export interface ListedConfig {
  readonly text: string;
  /** As in the text, without the contents of named files. */
  readonly config: GatewayConfig;
  readonly warnings: readonly (PlacedProblem & Pick<ConfigProblem, "shadowedBy">)[];
  readonly hinted: readonly RouteConfig[];
}

export function routeViews(table: RouteTable, { text, config, warnings, hinted }: ListedConfig): RouteView[] {
  const read = readYaml(text, ALIASES_MAX);
  const configs = [...(config.routes ?? []), ...hinted];
  const indexes = new Map(configs.map(({ name }, index) => [name, index]));
  const shadows = new Map(
    warnings.flatMap(({ pointer, shadowedBy }) => (shadowedBy === undefined ? [] : [[pointer, shadowedBy]])),
  );
  // One route may have several hosts, and so several places in the order: the first one counts.
  const routes = new Set(buildIndex(table.routes).entries.map(({ route }) => route));
  return [...routes].map((route): RouteView => {
    const index = indexes.get(route.name) ?? 0;
    const pointer = `/routes/${index}`;
    const shadowedBy = route.hinted ? undefined : shadows.get(`${pointer}/match`);
    const lastLine = route.hinted || read.problems ? undefined : read.lastLine(pointer);
    return {
      name: route.name,
      hinted: route.hinted,
      config: { ...configs[index] },
      targets: targetsOf(route),
      ...(route.hinted || read.problems ? {} : read.place(pointer)),
      ...(lastLine === undefined ? {} : { lastLine }),
      ...(shadowedBy === undefined ? {} : { shadowedBy }),
    };
  });
}

function targetsOf({ backends }: CompiledRoute): RouteTarget[] {
  return backends.map(({ weight, route: { cluster } }) => ({
    cluster: cluster.key,
    ...(cluster.instances ? {} : { service: cluster.service, namespace: cluster.namespace }),
    weight,
  }));
}
