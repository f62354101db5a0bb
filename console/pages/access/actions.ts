/** The actions of the control API, and the fields of their resources. A test compares them with the server's. Pure. */

const FIELDS_OF_INSTANCE = ["namespace", "service"] as const;
const FIELDS_OF_KEY = ["namespace", "app", "profile", "key"] as const;
const FIELDS_OF_LOCK = ["namespace", "lock"] as const;
const NONE = [] as const;

export const ACTION_FIELDS = {
  "registry:read": FIELDS_OF_INSTANCE,
  "registry:write": FIELDS_OF_INSTANCE,
  "registry:policies": FIELDS_OF_INSTANCE,
  "registry:override": FIELDS_OF_INSTANCE,
  "config:read": FIELDS_OF_KEY,
  "config:acknowledge": ["namespace", "app", "profile"],
  "config:draft": FIELDS_OF_KEY,
  "config:review": FIELDS_OF_KEY,
  "config:publish": FIELDS_OF_KEY,
  "config:rules": ["namespace"],
  "config:secrets": FIELDS_OF_KEY,
  "config:reveal": FIELDS_OF_KEY,
  "config:keys": NONE,
  "config:audit": ["namespace", "app"],
  "locks:read": FIELDS_OF_LOCK,
  "locks:write": FIELDS_OF_LOCK,
  "locks:break": FIELDS_OF_LOCK,
  "gateway:read": ["namespace", "route"],
  "quotas:lease": ["namespace"],
  "traffic:report": ["namespace"],
  "traffic:gateway": ["namespace"],
  "access:manage": NONE,
  "access:explain": NONE,
  "identity:read": NONE,
  "identity:issue": FIELDS_OF_INSTANCE,
  "identity:manage": NONE,
  "identity:delegate": NONE,
  "operations:read": NONE,
} as const satisfies Record<string, readonly string[]>;

export type ActionName = keyof typeof ACTION_FIELDS;
export const ACTION_NAMES = Object.keys(ACTION_FIELDS) as readonly ActionName[];
export const RESOURCE_FIELDS = ["namespace", "service", "app", "profile", "key", "lock", "route", "bus"] as const;
export type ResourceField = (typeof RESOURCE_FIELDS)[number];

/** The actions that a name or glob of a rule matches. */
export function actionsOf(glob: string): readonly ActionName[] {
  const pattern = new RegExp(`^${glob.split("*").map(escaped).join(".*")}$`);
  return ACTION_NAMES.filter((name) => pattern.test(name));
}

function escaped(text: string): string {
  return text.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`);
}
