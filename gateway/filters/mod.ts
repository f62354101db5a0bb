/**
 * The filters that routes may use, by name: the built-in ones, and those of modules that the operator names in a
 * setting.
 */
import { pathToFileURL } from "node:url";
import { resolve } from "node:path";
import { messageOf } from "#base";
import { GatewayErrors } from "../api.ts";
import type { Filter, Filters } from "../core/request/filter.ts";
import { consumerAcl } from "./consumer-acl.ts";
import { ipRestriction } from "./ip-restriction.ts";
import { keyAuth } from "./key-auth.ts";
import { requestValidation } from "./request-validation.ts";

const BUILT_IN: readonly Filter[] = [ipRestriction, keyAuth, consumerAcl, requestValidation];

export const builtInFilters: Filters = new Map(BUILT_IN.map((filter) => [filter.name, filter]));

const PHASES = new Set(["connection", "authenticate", "authorise", "request"]);

/**
 * The built-in filters and those that modules export as `default`. A module runs with all rights of this process, so
 * that only its operator names one; no release can. @throws GATEWAY_FILTER_INVALID
 */
export async function loadFilters(modules: readonly string[]): Promise<Filters> {
  if (modules.length === 0) return builtInFilters;
  const filters = new Map(builtInFilters);
  for (const path of modules) {
    let filter: Partial<Filter>;
    try {
      filter = ((await import(pathToFileURL(resolve(path)).href)) as { default?: Partial<Filter> }).default ?? {};
    } catch (cause) {
      throw GatewayErrors.FILTER_INVALID(`${path} cannot be loaded: ${messageOf(cause)}.`, { cause });
    }
    const { name, phase, schema, build } = filter;
    if (typeof name !== "string" || !/^[a-z][a-z0-9-]{0,62}$/.test(name) || filters.has(name)) {
      throw GatewayErrors.FILTER_INVALID(
        `${path}: its default export needs a name of its own (a-z, 0-9, -), not ${JSON.stringify(name)}.`,
      );
    }
    if (!PHASES.has(String(phase)) || typeof schema !== "object" || typeof build !== "function") {
      throw GatewayErrors.FILTER_INVALID(
        `${path}: filter "${name}" needs a phase (${[...PHASES].join(", ")}), a schema and build().`,
      );
    }
    filters.set(name, filter as Filter);
  }
  return filters;
}
