/**
 * The sign-ins of one token: browser sessions, and sign-in links that were not used yet. They are one record of the store, so that a link
 * becomes a session in one transaction, and the record is deleted together with its token. Pure.
 */

/** Milliseconds that a session lasts, however often it is used: a working day, so that a person signs in once a day. */
export const SESSION_MS = 12 * 3_600_000;
/** Milliseconds for which a link can be used: time enough to copy it into a browser, and too short to find it in an old terminal. */
export const LINK_MS = 600_000;
/** Sessions of one token: the browsers of a few people. More push out the oldest, so that sign-ins cannot fill the store. */
export const SESSIONS_PER_TOKEN_MAX = 20;
/** Unused links of one token. More push out the oldest, for the same reason. */
export const LINKS_PER_TOKEN_MAX = 5;

/** How a session began, for the list of sign-ins. */
export interface SignInFacts {
  readonly sinceMs?: number;
  readonly method?: "token" | "link" | "oidc";
  /** Where it was opened from. */
  readonly address?: string;
}

/** A session or a link. The store has only the hash of its secret. */
export interface SignIn extends SignInFacts {
  readonly sha256: string;
  readonly expiresAtMs: number;
}

export interface SignInList {
  /** Hash of the token's secret, so that sign-ins never belong to a later token with the same id. */
  readonly of: string;
  /** The oldest first. */
  readonly sessions: readonly SignIn[];
  readonly links: readonly SignIn[];
}

/** The parts of a token that decide about its sign-ins. */
export interface SignInToken {
  readonly sha256: string;
  readonly expiresAtMs?: number;
}

/** A session or a link of a token. It ends at the latest with its token. */
export function signInOf(
  token: SignInToken,
  { endMs, ...facts }: { readonly sha256: string; readonly endMs: number } & SignInFacts,
): SignIn {
  return { ...facts, expiresAtMs: Math.min(endMs, token.expiresAtMs ?? Infinity) };
}

/** The sign-ins of a token whose secret was replaced. They end at the latest with the secret that they began with. */
export function rotatedSignIns(list: SignInList, sha256: string, previousUntilMs: number): SignInList {
  const ending = (one: SignIn): SignIn => ({ ...one, expiresAtMs: Math.min(one.expiresAtMs, previousUntilMs) });
  return { of: sha256, sessions: list.sessions.map(ending), links: list.links.map(ending) };
}

/** The part of a session's hash that names it in the list of sign-ins. The secret itself cannot be found by it. */
export function sessionNameOf(tokenId: string, sha256: string): string {
  return `${tokenId}-${sha256.slice(0, 16)}`;
}

/** The sign-ins that are still valid. */
export function currentSignIns(stored: SignInList | undefined, token: SignInToken, nowMs: number): SignInList {
  if (stored?.of !== token.sha256) return { of: token.sha256, sessions: [], links: [] };
  const isValid = ({ expiresAtMs }: SignIn) => nowMs < expiresAtMs;
  return { of: stored.of, sessions: stored.sessions.filter(isValid), links: stored.links.filter(isValid) };
}

export function withSession(list: SignInList, session: SignIn): SignInList {
  return { ...list, sessions: [...list.sessions, session].slice(-SESSIONS_PER_TOKEN_MAX) };
}

export function withLink(list: SignInList, link: SignIn): SignInList {
  return { ...list, links: [...list.links, link].slice(-LINKS_PER_TOKEN_MAX) };
}

/** The link becomes a session. Undefined without such a link: it is unknown, has expired or was used. */
export function withRedeemedLink(list: SignInList, sha256: string, session: SignIn): SignInList | undefined {
  const links = list.links.filter((link) => link.sha256 !== sha256);
  return links.length === list.links.length ? undefined : withSession({ ...list, links }, session);
}

export function withoutSession(list: SignInList, sha256: string): SignInList {
  return { ...list, sessions: list.sessions.filter((session) => session.sha256 !== sha256) };
}

export function hasSignIns({ sessions, links }: SignInList): boolean {
  return sessions.length + links.length > 0;
}
