/**
 * The user and the groups in the claims of an identity provider. Nothing is guessed: a name that another person could choose is not
 * used, and a list of groups that cannot be read whole is an error, because a missing group could hold the rule that denies. Pure.
 */
import { own } from "#base";
import type { SignedInPerson } from "./token-sign-in.ts";

/** Characters of a user's name and of a group's name, as bindings allow them. */
const PERSON_NAME_MAX = 256;
/** Groups of a person: more than large directories put into a token, and a bound on the work of each request. */
const PERSON_GROUPS_MAX = 512;

export interface ClaimNames {
  /** Absent: a verified email, else preferred_username, else sub. */
  readonly user?: string | undefined;
  readonly groups: string;
}

export type ProviderClaims = Readonly<Record<string, unknown>>;

export type ReadPerson =
  | { readonly person: SignedInPerson }
  /** Which claim is wrong, as the end of a sentence. */
  | { readonly problem: string };

const CONTROL = /\p{Cc}/u;
const isName = (value: unknown): value is string =>
  typeof value === "string" && value !== "" && value.length <= PERSON_NAME_MAX && !CONTROL.test(value);

/** Whether the claims have everything that the reading wants, so that no further request is needed. */
export function hasAllClaims(claims: ProviderClaims, names: ClaimNames): boolean {
  const wanted = [names.groups, ...(names.user === undefined ? ["email", "email_verified"] : [names.user])];
  return wanted.every((name) => own(claims, name) !== undefined);
}

export function personFrom(claims: ProviderClaims, names: ClaimNames): ReadPerson {
  const user = userFrom(claims, names.user);
  if ("problem" in user) return user;
  const groups = groupsFrom(own(claims, names.groups), names.groups);
  if ("problem" in groups) return groups;
  return { person: { user: user.name, groups: groups.names } };
}

function userFrom(
  claims: ProviderClaims,
  wanted: string | undefined,
): { readonly name: string } | { readonly problem: string } {
  const name = wanted === undefined ? usualName(claims) : own(claims, wanted);
  if (wanted === "email" && own(claims, "email_verified") === false) {
    return { problem: 'the email is not verified ("email_verified" is false)' };
  }
  if (isName(name)) return { name };
  const what = wanted ?? "sub";
  return {
    problem: `the claim "${what}" is ${name === undefined ? "missing" : `not a name of at most ${PERSON_NAME_MAX} characters`}`,
  };
}

/** An unverified email can be any address, and a user can choose a name that looks like the email of another user. */
function usualName(claims: ProviderClaims): unknown {
  const email = own(claims, "email");
  if (isName(email) && own(claims, "email_verified") === true) return email;
  const username = own(claims, "preferred_username");
  return isName(username) && !username.includes("@") ? username : own(claims, "sub");
}

function groupsFrom(
  value: unknown,
  name: string,
): { readonly names: readonly string[] } | { readonly problem: string } {
  if (value === undefined || value === null) return { names: [] };
  const list: readonly unknown[] = Array.isArray(value) ? value : [value];
  if (list.length > PERSON_GROUPS_MAX) {
    return { problem: `the claim "${name}" has ${list.length} groups, and ${PERSON_GROUPS_MAX} is the limit` };
  }
  const wrong = list.findIndex((one) => !isName(one));
  if (wrong >= 0) {
    return {
      problem: `entry ${wrong + 1} of the claim "${name}" is not a name of at most ${PERSON_NAME_MAX} characters`,
    };
  }
  return { names: [...new Set(list as readonly string[])].sort() };
}
