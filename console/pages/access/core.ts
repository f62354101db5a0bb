/** Tokens as their list shows them, and the request and command that issue one. Pure. */
import type { TokenRequest, TokenSummary } from "#access/api";

/** The built-in policies, as the dialog offers them: the one with the fewest rights first. */
export const TOKEN_POLICIES = ["viewer", "editor", "publisher", "service", "agent", "gateway", "operator"] as const;
export type TokenPolicy = (typeof TOKEN_POLICIES)[number];

/** The built-in policy of a token; undefined for several policies, or a stored one. */
export function tokenPolicy({ policies }: TokenSummary): TokenPolicy | undefined {
  return policies.length === 1 ? TOKEN_POLICIES.find((policy) => policy === policies[0]) : undefined;
}

export function isBuiltIn(name: string): name is TokenPolicy {
  return (TOKEN_POLICIES as readonly string[]).includes(name);
}

export const LIMIT_KINDS = ["namespaces", "apps", "services"] as const;
export type LimitKind = (typeof LIMIT_KINDS)[number];

const HOUR_SECONDS = 3_600;
const DAY_SECONDS = 24 * HOUR_SECONDS;
/** Seconds that a token may last, as the dialog offers them; `never`: until it is revoked. */
export const LIFETIMES = {
  hour: HOUR_SECONDS,
  day: DAY_SECONDS,
  month: 30 * DAY_SECONDS,
  year: 365 * DAY_SECONDS,
  never: 0,
};
export type Lifetime = keyof typeof LIFETIMES;

/** Milliseconds before its end at which a token is marked: time enough to replace it on every host. */
const SOON_MS = 7 * DAY_SECONDS * 1000;

export type ExpiryState = "never" | "later" | "soon" | "expired";

export function expiryState({ expiresAt }: TokenSummary, nowMs: number): ExpiryState {
  if (expiresAt === undefined) return "never";
  const left = Date.parse(expiresAt) - nowMs;
  return left <= 0 ? "expired" : left < SOON_MS ? "soon" : "later";
}

/** Whether a token is found by a filter: by its name, policies, id or limits. */
export function matchesToken(token: TokenSummary, filter: string): boolean {
  const wanted = filter.trim().toLowerCase();
  const names = LIMIT_KINDS.flatMap((kind) => token[kind] ?? []);
  return [token.name, ...token.policies, token.id, ...names].some((word) => word.toLowerCase().includes(wanted));
}

/** Whether no other token could issue tokens once this one is revoked. */
export function isLastOperator(token: TokenSummary, tokens: readonly TokenSummary[], nowMs: number): boolean {
  const isOperator = ({ policies }: TokenSummary) => policies.includes("operator");
  return (
    isOperator(token) &&
    !tokens.some((one) => one.id !== token.id && isOperator(one) && expiryState(one, nowMs) !== "expired")
  );
}

/** The limits that change what policies allow. An operator issues tokens, so limits would not hold it. */
export function limitsOf(policies: readonly string[]): readonly LimitKind[] {
  if (policies.includes("operator")) return [];
  const isReader = policies.every(isBuiltIn) && !readsOwnApps(policies);
  return isReader ? ["namespaces", "apps"] : LIMIT_KINDS;
}

/** Whether the holder reads only the apps that it is bound to, with their secrets. */
export function readsOwnApps(policies: readonly string[]): boolean {
  return policies.includes("agent") || policies.includes("service");
}

export interface TokenDraft {
  readonly name: string;
  readonly policies: readonly string[];
  readonly lifetime: Lifetime;
  /** Names as a person writes them, between commas or spaces. */
  readonly limits: Readonly<Record<LimitKind, string>>;
}

/** As the server has them in its contract. */
const TOKEN_NAME = /^[A-Za-z0-9][A-Za-z0-9 ._@-]{0,127}$/;
const LIMIT_NAME = /^(\*|[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)$/;

export function isTokenName(name: string): boolean {
  return TOKEN_NAME.test(name);
}

export function namesIn(text: string): readonly string[] {
  return [...new Set(text.split(/[\s,，、]+/).filter((name) => name !== ""))];
}

/** The first name of a limit that the server would reject. */
export function wrongName(text: string): string | undefined {
  return namesIn(text).find((name) => !LIMIT_NAME.test(name));
}

export function isReady(draft: TokenDraft): boolean {
  return (
    isTokenName(draft.name.trim()) &&
    draft.policies.length > 0 &&
    limitsOf(draft.policies).every((kind) => wrongName(draft.limits[kind]) === undefined)
  );
}

/** The limits of a request: those with names. */
export function givenLimits(
  kinds: readonly LimitKind[],
  limits: TokenDraft["limits"],
): Partial<Record<LimitKind, string[]>> {
  return Object.fromEntries(
    kinds.map((kind) => [kind, [...namesIn(limits[kind])]] as const).filter(([, names]) => names.length > 0),
  );
}

export function requestOf({ name, policies, lifetime, limits }: TokenDraft): TokenRequest {
  const ttlSeconds = LIFETIMES[lifetime];
  return {
    name: name.trim(),
    policies: [...policies],
    ...givenLimits(limitsOf(policies), limits),
    ...(ttlSeconds === 0 ? {} : { ttlSeconds }),
  };
}

/** The options of limits. */
export function limitWords(limits: Partial<Record<LimitKind, readonly string[]>>): readonly string[] {
  return LIMIT_KINDS.flatMap((kind) => (limits[kind] === undefined ? [] : [`--${kind}`, ...limits[kind]]));
}

/** The words of `posthouse token create`. */
export function createWords({ name, policies, ttlSeconds, ...limits }: TokenRequest): readonly string[] {
  const ttl = ttlSeconds === undefined ? [] : ["--ttl-seconds", String(ttlSeconds)];
  return ["token", "create", name, "--policy", ...policies, ...limitWords(limits), ...ttl];
}
