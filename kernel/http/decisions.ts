/**
 * The actions of a principal: its policies grant actions on resources, and its limits narrow them. A handler uses these functions for
 * what its route does not show: items of a list, and resources that it has to read first.
 */
import {
  ACTION_NAMES,
  type Action,
  missingRule,
  type Resource,
  resourceText,
  type Extent,
  OWN_APP,
} from "#authorization";
import { EVERY_NAME, type Limits, within } from "./limits.ts";
import { HttpErrors } from "./problem.ts";
import type { Principal } from "./principal.ts";

/** Actions that change what a service is: a limit of services narrows these, and everybody sees services. */
const OF_OWN_SERVICES: ReadonlySet<Action> = new Set(["registry:write", "identity:issue"]);
/** Actions about the caller's own host, or about the process and not about a namespace. */
const WITHOUT_LIMITS: ReadonlySet<Action> = new Set(["operations:read", "identity:delegate"]);

const NO_LIMITS: readonly (keyof Limits)[] = [];

/** The limits that apply to an action: registering is limited by service, config by app, everything by namespace. */
export function limitsFor(action: Action): readonly (keyof Limits)[] {
  return LIMITS_FOR.get(action) ?? NO_LIMITS;
}

const LIMITS_FOR: ReadonlyMap<Action, readonly (keyof Limits)[]> = new Map(
  ACTION_NAMES.map((action) => [action, limitKindsOf(action)]),
);

/** Whether the principal may do the action on some resource. */
export function can(principal: Principal, action: Action): boolean {
  return principal.rights.allows(action, {}, "some");
}

/** The actions of a principal, without its limits. */
export function actionsOf({ rights }: Principal): readonly Action[] {
  return rights.actions();
}

/** Whether the principal may do the action on the resource. A field that the resource lacks is every value of it. */
export function isAllowed(principal: Principal, action: Action, resource: Resource): boolean {
  return principal.rights.allows(action, resource) && outsideLimit(principal, action, resource, "every") === undefined;
}

/** Whether an item of a list is visible. A field that the resource lacks is at least one value of it. */
export function maySee(principal: Principal, action: Action, resource: Resource): boolean {
  return (
    principal.rights.allows(action, resource, "some") && outsideLimit(principal, action, resource, "some") === undefined
  );
}

/** @throws HTTP_FORBIDDEN unless the principal may do the action on the resource */
export function requireAllowed(
  principal: Principal,
  action: Action,
  resource: Resource,
  extent: Extent = "every",
): void {
  if (!principal.rights.allows(action, resource, extent)) throw notAllowed(principal, action, resource, extent);
  const limit = outsideLimit(principal, action, resource, extent);
  if (limit !== undefined) throw outsideOf(principal, action, resource, limit);
}

/** @throws HTTP_FORBIDDEN unless the principal may do the action on some resource */
export function requireSome(principal: Principal, action: Action): void {
  if (!can(principal, action)) throw notAllowed(principal, action, {}, "some");
}

/** Whether a principal receives the secrets of an app in the clear. */
export function isToldSecrets(principal: Principal, { namespace, app, profile }: Resource): boolean {
  return (
    app !== undefined &&
    within(principal.secretApps ?? [], app) &&
    maySee(principal, "config:secrets", { namespace, app, profile })
  );
}

/** The first limit that the resource is outside of. */
export function outsideLimit(
  { limits }: Principal,
  action: Action,
  resource: Resource,
  extent: Extent,
): keyof Limits | undefined {
  if (limits === undefined) return undefined;
  return limitsFor(action).find((kind) => {
    const names = limits[kind];
    const name = resource[FIELD_OF[kind]];
    if (names === undefined || names.includes(EVERY_NAME)) return false;
    if (name === undefined) return extent === "every";
    return !names.includes(name) && !(kind === "apps" && action === "config:read" && name === OWN_APP);
  });
}

const FIELD_OF = { namespaces: "namespace", apps: "app", services: "service" } as const;

function limitKindsOf(action: Action): (keyof Limits)[] {
  if (WITHOUT_LIMITS.has(action)) return [];
  if (action.startsWith("config:")) return ["namespaces", "apps"];
  return OF_OWN_SERVICES.has(action) ? ["namespaces", "services"] : ["namespaces"];
}

function notAllowed(principal: Principal, action: Action, resource: Resource, extent: Extent): Error {
  const { name, rights } = principal;
  const { rule, why } = rights.decide(action, resource, extent);
  const remedy = rule
    ? "Change that rule, or use another token."
    : "Add such a rule to a policy of the caller, or use another token.";
  const what = `${action} on ${resourceText(action, resource)}`;
  return HttpErrors.FORBIDDEN(`"${name}" is not allowed ${what}: ${why}. ${remedy}`, {
    extra: { action, resource, rule: rule ?? missingRule(action, resource) },
  });
}

function outsideOf({ name, limits }: Principal, action: Action, resource: Resource, limit: keyof Limits): Error {
  const given = resource[FIELD_OF[limit]];
  const what = given === undefined ? "but the request concerns all of them" : `which do not include "${given}"`;
  return HttpErrors.FORBIDDEN(
    `"${name}" is limited to the ${limit} ${limits?.[limit]?.join(", ") || "(none)"}, ${what}, so ${action} on ` +
      `${resourceText(action, resource)} is not allowed. Use another token.`,
    { extra: { action, resource, limit } },
  );
}
