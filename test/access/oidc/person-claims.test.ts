/** The user and the groups in the claims of an identity provider: what is used, and what is refused. */
import { expect, test } from "vitest";
import { hasAllClaims, personFrom } from "../../../kernel/access/core/person-claims.ts";

const names = { groups: "groups" };
const userOf = (claims: Record<string, unknown>, user?: string) => {
  const read = personFrom(claims, user === undefined ? names : { ...names, user });
  return "person" in read ? read.person.user : `refused: ${read.problem}`;
};
const groupsOf = (groups: unknown) => {
  const read = personFrom({ sub: "1", groups }, names);
  return "person" in read ? read.person.groups : `refused: ${read.problem}`;
};

test("the usual name is a verified email, else a name that looks like no email, else the subject", () => {
  const all = { sub: "42", email: "ann@example.com", email_verified: true, preferred_username: "ann" };
  expect(userOf(all)).toBe("ann@example.com");
  expect(userOf({ ...all, email_verified: false })).toBe("ann");
  expect(userOf({ ...all, email_verified: "true" })).toBe("ann");
  expect(userOf({ ...all, email_verified: undefined })).toBe("ann");
  // Otherwise mallory could take the name of ann.
  expect(userOf({ sub: "13", preferred_username: "ann@example.com" })).toBe("13");
  expect(userOf({ sub: "42" })).toBe("42");
  expect(userOf({ sub: "42", preferred_username: "张三" })).toBe("张三");
});

test("a named claim is the name, or nothing is", () => {
  expect(userOf({ sub: "42", upn: "ann" }, "upn")).toBe("ann");
  expect(userOf({ sub: "42" }, "upn")).toBe('refused: the claim "upn" is missing');
  expect(userOf({ sub: "42", upn: 7 }, "upn")).toMatch(/^refused: the claim "upn" is not a name/);
  expect(userOf({ sub: "42", email: "ann@example.com" }, "email")).toBe("ann@example.com");
  expect(userOf({ sub: "42", email: "ann@example.com", email_verified: false }, "email")).toMatch(/not verified/);
  expect(userOf({ sub: "42" }, "constructor")).toBe('refused: the claim "constructor" is missing');
});

test("names of control characters, of no characters and of too many are refused", () => {
  for (const sub of ["", "a\nb", "a\u0000", "x".repeat(257), null, ["a"]]) {
    expect(userOf({ sub }), JSON.stringify(sub)).toMatch(/^refused: /);
  }
});

test("groups are a list of names, one name, or none", () => {
  expect(groupsOf(["b", "a", "b"])).toEqual(["a", "b"]);
  expect(groupsOf("a")).toEqual(["a"]);
  expect(groupsOf(undefined)).toEqual([]);
  expect(groupsOf(null)).toEqual([]);
  expect(groupsOf([])).toEqual([]);
});

test("groups that cannot be read whole are refused, since the missing one could deny something", () => {
  expect(groupsOf(["a", 7])).toBe('refused: entry 2 of the claim "groups" is not a name of at most 256 characters');
  expect(groupsOf([["a"]])).toMatch(/^refused: /);
  expect(groupsOf({ a: true })).toMatch(/^refused: /);
  expect(groupsOf(true)).toMatch(/^refused: /);
  expect(groupsOf(Array.from({ length: 512 }, (_, at) => `g${at}`))).toHaveLength(512);
  expect(groupsOf(Array.from({ length: 513 }, (_, at) => `g${at}`))).toMatch(/has 513 groups, and 512 is the limit/);
});

test("the user info is asked for when the ID token lacks a claim", () => {
  expect(hasAllClaims({ email: "a", email_verified: true, groups: [] }, names)).toBe(true);
  expect(hasAllClaims({ email: "a", groups: [] }, names)).toBe(false);
  expect(hasAllClaims({ email: "a", email_verified: true }, names)).toBe(false);
  expect(hasAllClaims({ upn: "a", groups: [] }, { ...names, user: "upn" })).toBe(true);
});
