/** The sign-ins of one token, without a store: ends, order, limits, and links that are used once. */
import { expect, test } from "vitest";
import {
  currentSignIns,
  hasSignIns,
  LINK_MS,
  LINKS_PER_TOKEN_MAX,
  SESSION_MS,
  SESSIONS_PER_TOKEN_MAX,
  signInOf,
  type SignInList,
  withLink,
  withoutSession,
  withRedeemedLink,
  withSession,
} from "../../kernel/access/core/sign-in-list.ts";

const token = { sha256: "t" };
const one = (sha256: string, expiresAtMs = 10) => ({ sha256, expiresAtMs });
const list = (sessions: string[], links: string[] = []): SignInList => ({
  of: "t",
  sessions: sessions.map((name) => one(name)),
  links: links.map((name) => one(name)),
});

test("a session lasts twelve hours, a link ten minutes", () => {
  expect([SESSION_MS / 3_600_000, LINK_MS / 60_000]).toEqual([12, 10]);
});

test("a sign-in ends with its token at the latest", () => {
  expect(signInOf(token, { sha256: "a", endMs: 5 })).toEqual(one("a", 5));
  expect(signInOf({ ...token, expiresAtMs: 4 }, { sha256: "a", endMs: 5 })).toEqual(one("a", 4));
  expect(signInOf({ ...token, expiresAtMs: 6 }, { sha256: "a", endMs: 5 })).toEqual(one("a", 5));
});

test("those that have ended are left out, and all of them when they are another token's", () => {
  const stored = { of: "t", sessions: [one("a", 5), one("b", 6)], links: [one("c", 6), one("d", 5)] };
  expect(currentSignIns(stored, token, 4)).toEqual(stored);
  expect(currentSignIns(stored, token, 5)).toEqual({ of: "t", sessions: [one("b", 6)], links: [one("c", 6)] });
  expect(currentSignIns({ ...stored, of: "other" }, token, 4)).toEqual(list([]));
  expect(currentSignIns(undefined, token, 4)).toEqual(list([]));
});

test("more than the maximum push out the oldest", () => {
  const names = (max: number) => Array.from({ length: max }, (_, index) => String(index));
  const sessions = list(names(SESSIONS_PER_TOKEN_MAX), ["link"]);
  expect(withSession(sessions, one("new"))).toEqual(list([...names(SESSIONS_PER_TOKEN_MAX).slice(1), "new"], ["link"]));
  const links = list(["session"], names(LINKS_PER_TOKEN_MAX));
  expect(withLink(links, one("new"))).toEqual(list(["session"], [...names(LINKS_PER_TOKEN_MAX).slice(1), "new"]));
  expect([SESSIONS_PER_TOKEN_MAX, LINKS_PER_TOKEN_MAX]).toEqual([20, 5]);
});

test("a link becomes a session once, and another one none", () => {
  const used = withRedeemedLink(list(["a"], ["x", "y"]), "x", one("b"));
  expect(used).toEqual(list(["a", "b"], ["y"]));
  expect(withRedeemedLink(used ?? list([]), "x", one("c"))).toBeUndefined();
  // The hash of a session is not found among the links.
  expect(withRedeemedLink(list(["a"], ["x"]), "a", one("c"))).toBeUndefined();
});

test("signing out ends one session", () => {
  expect(withoutSession(list(["a", "b"], ["a"]), "a")).toEqual(list(["b"], ["a"]));
  expect([list([]), list(["a"]), list([], ["a"])].map(hasSignIns)).toEqual([false, true, true]);
});
