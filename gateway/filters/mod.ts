/** The filters that a route can name without loading a module: one file and one row each. */
import type { Filter, Filters } from "../core/request/filter.ts";
import { consumerAcl } from "./consumer-acl.ts";
import { ipRestriction } from "./ip-restriction.ts";
import { keyAuth } from "./key-auth.ts";
import { requestValidation } from "./request-validation.ts";

const BUILT_IN: readonly Filter[] = [ipRestriction, keyAuth, consumerAcl, requestValidation];

export const builtInFilters: Filters = new Map(BUILT_IN.map((filter) => [filter.name, filter]));
