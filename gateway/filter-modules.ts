/** Loads filters from modules that the operator names in a setting. */
import { pathToFileURL } from "node:url";
import { resolve } from "node:path";
import { messageOf } from "#base";
import { GatewayErrors } from "./api.ts";
import { FILTER_PHASES, type Filter, type Filters } from "./core/request/filter.ts";
import { builtInFilters } from "./filters/mod.ts";

/**
 * The built-in filters and the default exports of the modules. A module runs with all rights of this process, so only
 * the operator of the process can name one; a release cannot. @throws GATEWAY_FILTER_INVALID
 */
export async function loadFilters(modules: readonly string[]): Promise<Filters> {
  if (modules.length === 0) return builtInFilters;
  const filters = new Map(builtInFilters);
  for (const path of modules) {
    let filter: Partial<Filter>;
    try {
      filter = ((await import(pathToFileURL(resolve(path)).href)) as { default?: Partial<Filter> }).default ?? {};
    } catch (cause) {
      throw GatewayErrors.FILTER_INVALID(`The module ${path} cannot be loaded: ${messageOf(cause)}.`, { cause });
    }
    const { name, phase, schema, build } = filter;
    if (typeof name !== "string" || !/^[a-z][a-z0-9-]{0,62}$/.test(name) || filters.has(name)) {
      throw GatewayErrors.FILTER_INVALID(
        `${path}: ${JSON.stringify(name)} is not a valid or not a unique filter name. Use a-z, 0-9 and -, starting with a letter.`,
      );
    }
    if (!FILTER_PHASES.some((known) => known === phase) || typeof schema !== "object" || typeof build !== "function") {
      throw GatewayErrors.FILTER_INVALID(
        `${path}: filter "${name}" needs a phase (${FILTER_PHASES.join(", ")}), a schema and build().`,
      );
    }
    filters.set(name, filter as Filter);
  }
  return filters;
}
