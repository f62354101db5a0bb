/** Whether a caller may do an action on a resource, and which rule or limit decides: the answer behind `posthouse acl test`. */
import {
  ACTION_NAMES,
  actionRow,
  type Action,
  isAction,
  missingRule,
  type PolicyBook,
  type Resource,
  RESOURCE_FIELDS,
  type Rights,
  ruleText,
} from "#authorization";
import { type Limits, outsideLimit, type Principal } from "#http";
import { AccessErrors, type AclCheck, type AclCheckQuery } from "./api.ts";
import { didYouMean } from "./policy-lookup.ts";
import { tokenLimits } from "./token-record.ts";

/** The one whose rights are asked about. */
export interface AclSubject {
  /** For people, such as `token web-1`. */
  readonly text: string;
  readonly policies: readonly string[];
  readonly rights: Rights;
  readonly limits?: Limits | undefined;
}

/** @throws ACCESS_ACTION_UNKNOWN, ACCESS_FIELD_UNKNOWN */
export function checkAccess(subject: AclSubject, query: AclCheckQuery): AclCheck {
  const action = actionOf(query.action);
  const resource = resourceOf(action, query);
  const { allowed: isGranted, rule, why } = subject.rights.decide(action, resource);
  const limit = outsideLimit({ limits: subject.limits } as Principal, action, resource, "every");
  return {
    allowed: isGranted && limit === undefined,
    action,
    resource: { ...resource },
    subject: subject.text,
    policies: [...subject.policies],
    ...(subject.limits === undefined ? {} : { limits: tokenLimits(subject.limits) }),
    ...(rule === undefined ? {} : { rule }),
    ...(limit === undefined ? {} : { limit }),
    ...(isGranted || rule !== undefined ? {} : { missing: missingRule(action, resource) }),
    why: sentence({ subject, action, resource, limit, isGranted, why }),
  };
}

/** @throws ACCESS_ACTION_UNKNOWN */
function actionOf(text: string): Action {
  if (isAction(text)) return text;
  throw AccessErrors.ACTION_UNKNOWN(
    `Unknown action "${text}".${didYouMean(text, ACTION_NAMES)} Actions are ${ACTION_NAMES.join(", ")}.`,
    { extra: { field: "/action" } },
  );
}

/** The fields of the query that name a resource. @throws ACCESS_FIELD_UNKNOWN for one that the action does not have */
function resourceOf(action: Action, query: AclCheckQuery): Record<string, string> {
  const { fields } = actionRow(action);
  const given = RESOURCE_FIELDS.flatMap((field) =>
    query[field] === undefined ? [] : [[field, query[field]] as const],
  );
  const wrong = given.find(([field]) => !fields.includes(field));
  if (wrong === undefined) return Object.fromEntries(given);
  const has = fields.length === 0 ? "concerns everything and has no fields" : `has the fields ${fields.join(", ")}`;
  throw AccessErrors.FIELD_UNKNOWN(`The action ${action} ${has}; remove ${wrong[0]}.`, {
    extra: { field: `/${wrong[0]}` },
  });
}

function sentence({
  subject,
  action,
  resource,
  limit,
  isGranted,
  why,
}: {
  readonly subject: AclSubject;
  readonly action: Action;
  readonly resource: Resource;
  readonly limit: keyof Limits | undefined;
  readonly isGranted: boolean;
  readonly why: string;
}): string {
  const start = `${why.slice(0, 1).toUpperCase()}${why.slice(1)}`;
  if (!isGranted) {
    const some = subject.rights.allows(action, resource, "some") ? " It is allowed on some resources." : "";
    return `${start}.${some}`;
  }
  if (limit === undefined) return `${start}.`;
  return `${start}, but its ${limit} are limited to ${subject.limits?.[limit]?.join(", ") || "(none)"}.`;
}

/** The rules of policies as sentences. */
export function rightsText(names: readonly string[], book: PolicyBook): string[] {
  return names.flatMap((name) =>
    (book.policy(name)?.rules ?? []).map(({ effect, actions, on = {} }, index) => {
      const fields = Object.entries(on).map(([field, globs]) => `${field} ${globs.join(", ")}`);
      const rule = ruleText({ policy: name, index: index + 1, effect });
      return `${rule} ${actions.join(", ")} on ${fields.join("; ") || "everything"}`;
    }),
  );
}
