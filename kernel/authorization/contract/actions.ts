/**
 * The actions of the control API, and the fields of the resources that each concerns. A policy grants actions; every route names the one
 * that it needs. People read the descriptions in the console, in the command line and in the guide.
 */

/** The fields that name a resource. A bus is a topic of messages between services. */
export const RESOURCE_FIELDS = ["namespace", "service", "app", "profile", "key", "lock", "route", "bus"] as const;
export type ResourceField = (typeof RESOURCE_FIELDS)[number];

/** The thing that an action concerns. An absent field: every value, or any one of them, as the question says. */
export type Resource = { readonly [Field in ResourceField]?: string | undefined };

export interface ActionRow {
  /** Continues "The caller may …". */
  readonly text: string;
  readonly fields: readonly ResourceField[];
}

const INSTANCE = ["namespace", "service"] as const;
const KEY = ["namespace", "app", "profile", "key"] as const;
const LOCK = ["namespace", "lock"] as const;
const NAMESPACE = ["namespace"] as const;
const ALL = [] as const;

export const ACTIONS = {
  "registry:read": { text: "see services, instances and their health", fields: INSTANCE },
  "registry:write": { text: "register instances, and change its own", fields: INSTANCE },
  "registry:policies": { text: "set how a service treats its unhealthy instances", fields: INSTANCE },
  "registry:override": { text: "change instances and sessions of other callers", fields: INSTANCE },
  "config:read": { text: "read configs, with secrets masked", fields: KEY },
  "config:acknowledge": { text: "report which release an instance runs", fields: ["namespace", "app", "profile"] },
  "config:draft": { text: "draft and propose changes of keys", fields: KEY },
  "config:review": { text: "approve or reject proposals of others", fields: KEY },
  "config:publish": { text: "release keys, roll them back, and control gradual releases", fields: KEY },
  "config:rules": { text: "change the rules of releases", fields: NAMESPACE },
  "config:secrets": { text: "receive secrets in the clear, of apps that it is bound to", fields: KEY },
  "config:reveal": { text: "reveal one secret, which is audited", fields: KEY },
  "config:keys": { text: "manage the keys that encrypt secrets", fields: ALL },
  "config:audit": { text: "read the audit of revealed secrets", fields: ["namespace", "app"] },
  "locks:read": { text: "see locks and their holders", fields: LOCK },
  "locks:write": { text: "acquire locks, and release its own", fields: LOCK },
  "locks:break": { text: "release locks of other callers", fields: LOCK },
  "gateway:read": { text: "see the routes of gateways, and explain requests", fields: ["namespace", "route"] },
  "quotas:lease": { text: "lease from rate limits that gateways share", fields: NAMESPACE },
  "traffic:report": { text: "report calls between its services", fields: NAMESPACE },
  "traffic:gateway": { text: "report calls as a gateway", fields: NAMESPACE },
  "access:manage": { text: "manage tokens, policies and bindings", fields: ALL },
  "access:explain": { text: "ask what other callers may do, and see refusals", fields: ALL },
  "identity:read": { text: "see certificates, nodes and the certificate authority", fields: ALL },
  "identity:issue": { text: "get certificates for names that it is bound to", fields: INSTANCE },
  "identity:manage": { text: "rotate, import and revoke certificates, and let nodes join", fields: ALL },
  "identity:delegate": { text: "issue short-lived tokens to services on its host", fields: ALL },
  "operations:read": { text: "see the state of the system and its metrics", fields: ALL },
} as const satisfies Record<string, ActionRow>;

export type Action = keyof typeof ACTIONS;

export const ACTION_NAMES = Object.keys(ACTIONS) as readonly Action[];

export function isAction(text: string): text is Action {
  return Object.hasOwn(ACTIONS, text);
}

export function actionRow(action: Action): ActionRow {
  return ACTIONS[action];
}
