/** Problems of a route's access policies, filters and traffic split. */
import { pointerPart } from "#base/shape";
import type { AclEntry, RouteConfig } from "../../api.ts";
import { originProblem } from "../rewriting/cors.ts";
import type { FilterPlace } from "../request/filter.ts";
import { isGatewayOwn } from "../decision/headers.ts";
import type { RouteContext, Problems } from "./problems.ts";

export function* policyProblems(route: RouteConfig, pointer: string, context: RouteContext): Problems {
  const { jwt, acl, cors } = route;
  const identifies = identifiesCallers(route, context);
  if (jwt && !context.providers.has(jwt.provider)) {
    yield {
      pointer: `${pointer}/jwt/provider`,
      message: `Unknown provider "${jwt.provider}". Add it to jwt, or use one of its names.`,
    };
  }
  if (acl && !jwt) {
    yield { pointer: `${pointer}/acl`, message: "Access rules read the claims of a token. Add jwt to the route." };
  }
  for (const name of ["rateLimit", "quota", "concurrency"] as const) {
    const by = route[name]?.by;
    if (typeof by === "object" && "claim" in by && !jwt) {
      yield { pointer: `${pointer}/${name}/by`, message: "A limit by claim needs a token. Add jwt to the route." };
    }
    if (by === "consumer" && !identifies) {
      yield {
        pointer: `${pointer}/${name}/by`,
        message: "This route does not identify consumers. Add jwt or key-auth.",
      };
    }
  }
  for (const [claim, header] of Object.entries(jwt?.forwardClaims ?? {})) {
    const name = header.toLowerCase();
    const own = isGatewayOwn(name) && !CLAIM_PREFIXES.some((prefix) => name.startsWith(prefix));
    if (own || NOT_FOR_CLAIMS.has(name)) {
      yield {
        pointer: `${pointer}/jwt/forwardClaims/${pointerPart(claim)}`,
        message: `A claim cannot be forwarded in the header "${header}". Use another header.`,
      };
    }
  }
  for (const [at, entry] of (acl?.allow ?? []).entries()) yield* entryProblems(entry, `${pointer}/acl/allow/${at}`);
  for (const [at, origin] of (cors?.origins ?? []).entries()) {
    const problem = originProblem(origin);
    if (problem !== undefined) yield { pointer: `${pointer}/cors/origins/${at}`, message: problem };
  }
  if (cors?.credentials && cors.exposeHeaders?.includes("*")) {
    yield {
      pointer: `${pointer}/cors/exposeHeaders`,
      message: "With credentials, browsers read * as the name of a header. List the headers that pages may read.",
    };
  }
  if (cors?.credentials && cors.origins.includes("*")) {
    yield {
      pointer: `${pointer}/cors/credentials`,
      message: "With the origin *, any page could use the credentials of its visitors. List the origins.",
    };
  }
  for (const [at, { name, config = {} }] of (route.filters ?? []).entries()) {
    yield* filterProblems(name, config, `${pointer}/filters/${at}`, { ...context, identifies });
  }
  yield* splitProblems(route, pointer, context);
}

/** Headers in which a claim must not be forwarded. */
const NOT_FOR_CLAIMS = new Set(["authorization"]);

/** Prefixes of `isGatewayOwn` that are allowed for claims, since the gateway sets these headers. */
const CLAIM_PREFIXES = ["x-jwt-", "x-consumer-", "x-posthouse-"];

/** Whether a route identifies consumers, by a token or by a filter such as key-auth. */
function identifiesCallers({ jwt, filters }: RouteConfig, context: RouteContext): boolean {
  return (
    jwt !== undefined || (filters?.some(({ name }) => context.filters.get(name)?.phase === "authenticate") ?? false)
  );
}

/** Parts of a split that can never receive a request, since the route does not identify their consumers. */
function* splitProblems(route: RouteConfig, pointer: string, context: RouteContext): Problems {
  const identifies = identifiesCallers(route, context);
  const message = "This route does not identify consumers. Add jwt or key-auth.";
  for (const [index, { when }] of (route.split ?? []).entries()) {
    const at = `${pointer}/split/${index}/when`;
    for (const name of ["consumers", "groups"] as const) {
      if (when?.[name] && !identifies) yield { pointer: `${at}/${name}`, message };
    }
    for (const [which, name] of (when?.consumers ?? []).entries()) {
      if (!context.consumers.has(name))
        yield {
          pointer: `${at}/consumers/${which}`,
          message: `Unknown consumer "${name}". Add it to consumers, or use one of its names.`,
        };
    }
  }
  if (route.splitBy?.by === "consumer" && !identifies) yield { pointer: `${pointer}/splitBy/by`, message };
}

function* filterProblems(
  name: string,
  config: object,
  pointer: string,
  context: RouteContext & Pick<FilterPlace, "identifies">,
): Problems {
  const filter = context.filters.get(name);
  if (!filter) {
    const known = [...context.filters.keys()].join(", ");
    yield {
      pointer: `${pointer}/name`,
      message: `Unknown filter "${name}". Available: ${known}. The setting gatewayFilters adds others.`,
    };
    return;
  }
  const problems = context.shape(filter.schema, config, `${pointer}/config`);
  yield* problems;
  if (problems.length > 0) return;
  for (const problem of filter.problems?.(config as never, context) ?? [])
    yield { pointer: `${pointer}/config${problem.pointer}`, message: problem.message };
  try {
    filter.build(config as never);
  } catch (error) {
    yield { pointer: `${pointer}/config`, message: error instanceof Error ? error.message : String(error) };
  }
}

function* entryProblems(entry: AclEntry, pointer: string): Problems {
  const single = entry.claim !== undefined || entry.contains !== undefined || entry.anyOf !== undefined;
  if (single === (entry.all !== undefined)) yield { pointer, message: "Give one rule, or `all` with a list of rules." };
  const rules = entry.all
    ? entry.all.map((rule, at) => ({ rule, at: `${pointer}/all/${at}` }))
    : [{ rule: entry, at: pointer }];
  for (const { rule, at } of single && entry.all ? [] : rules) {
    if (rule.claim === undefined) yield { pointer: at, message: "The rule needs a claim." };
    else if ((rule.contains === undefined) === (rule.anyOf === undefined)) {
      yield { pointer: at, message: "Give either contains or anyOf." };
    }
  }
}
