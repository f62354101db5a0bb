/** Access rules on the claims of a verified token. Pure. A missing claim meets no rule. */
import { ownMember } from "#base";
import type { AclEntry, ClaimRule } from "../../api.ts";

export type Claims = Readonly<Record<string, unknown>>;

/** Claims that hold several values in one string, separated by spaces. @see RFC 8693 §4.2, RFC 9068 §2.2.3 */
const SPACE_SEPARATED = new Set(["scope", "scp"]);

/**
 * The values of a claim as strings: the members of a list, the words of a scope, or the single value. Only scopes are
 * split, since the role "super admin" does not include the role "admin".
 */
export function claimValues(claims: Claims, name: string): readonly string[] {
  const value = name.startsWith("/") ? atPointer(claims, name) : ownMember(claims, name);
  if (typeof value === "string") {
    return SPACE_SEPARATED.has(name) ? value.split(" ").filter((word) => word !== "") : [value];
  }
  if (typeof value === "number" || typeof value === "boolean") return [String(value)];
  if (!Array.isArray(value)) return [];
  return value.flatMap((item: unknown) =>
    typeof item === "string" ? [item] : typeof item === "number" || typeof item === "boolean" ? [String(item)] : [],
  );
}

function atPointer(claims: Claims, pointer: string): unknown {
  let at: unknown = claims;
  for (const part of pointer.slice(1).split("/")) at = ownMember(at, part.replaceAll("~1", "/").replaceAll("~0", "~"));
  return at;
}

/** Any entry grants access; an entry with several rules requires all of them. */
export function allows(entries: readonly AclEntry[], claims: Claims): boolean {
  return entries.some((entry) =>
    entry.all
      ? entry.all.every((rule) => holds(rule, claims))
      : entry.claim !== undefined && holds({ ...entry, claim: entry.claim }, claims),
  );
}

function holds(rule: Pick<ClaimRule, "claim" | "contains" | "anyOf">, claims: Claims): boolean {
  const values = claimValues(claims, rule.claim);
  if (rule.contains !== undefined) return values.includes(rule.contains);
  return rule.anyOf !== undefined && rule.anyOf.some((wanted) => values.includes(wanted));
}

/** The operator's names of the entries, for the refusal. Never contains the caller's claims. */
export function entryNames(entries: readonly AclEntry[]): string {
  return entries.map((entry, index) => entry.name ?? `allow/${index}`).join(", ");
}
