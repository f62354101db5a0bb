/** Tokens as the console lists them, and the request and command of a new one. */
import { describe, expect, test } from "vitest";
import type { TokenSummary } from "#access/api";
import {
  createWords,
  expiryState,
  isLastOperator,
  isReady,
  limitsOf,
  matchesToken,
  namesIn,
  requestOf,
  type TokenDraft,
  wrongName,
} from "../../../console/pages/access/core.ts";

const NOW_MS = Date.parse("2026-06-01T00:00:00Z");
const DAY_MS = 86_400_000;

function token(more: Partial<TokenSummary> = {}): TokenSummary {
  return { id: "0123456789abcdef", name: "ci", policies: ["editor"], createdAt: "2026-05-01T00:00:00Z", ...more };
}
const endsIn = (ms: number) => token({ expiresAt: new Date(NOW_MS + ms).toISOString() });
const DRAFT: TokenDraft = {
  name: "host-1",
  policies: ["agent"],
  lifetime: "day",
  limits: { namespaces: "", apps: "orders，payments", services: "orders, orders" },
};

describe("the end of a token", () => {
  test.each([
    ["never", token()],
    ["later", endsIn(7 * DAY_MS)],
    ["soon", endsIn(7 * DAY_MS - 1)],
    ["soon", endsIn(1)],
    ["expired", endsIn(0)],
  ])("%s", (state, one) => expect(expiryState(one, NOW_MS)).toBe(state));

  test("the last operator is the one without another that still works", () => {
    const mine = token({ policies: ["operator"] });
    const expired = token({ id: "b", policies: ["operator"], expiresAt: new Date(NOW_MS).toISOString() });
    expect(isLastOperator(mine, [mine, token({ id: "a" }), expired], NOW_MS)).toBe(true);
    expect(isLastOperator(mine, [mine, token({ id: "c", policies: ["operator"] })], NOW_MS)).toBe(false);
    expect(isLastOperator(token(), [], NOW_MS)).toBe(false);
  });
});

test("a filter finds names, roles, ids and limits in any case", () => {
  const one = token({ name: "Host-1", apps: ["orders"] });
  for (const filter of ["host", " EDIT ", "0123", "orders", ""]) expect(matchesToken(one, filter), filter).toBe(true);
  expect(matchesToken(one, "payments")).toBe(false);
});

describe("a draft", () => {
  test("becomes the request: names once, limits only where they count", () => {
    expect(requestOf(DRAFT)).toEqual({
      name: "host-1",
      policies: ["agent"],
      apps: ["orders", "payments"],
      services: ["orders"],
      ttlSeconds: 86_400,
    });
    expect(requestOf({ ...DRAFT, policies: ["operator"], lifetime: "never" })).toEqual({
      name: "host-1",
      policies: ["operator"],
    });
    expect(requestOf({ ...DRAFT, policies: ["viewer"] })).not.toHaveProperty("services");
  });

  test("becomes the command", () => {
    expect(createWords(requestOf(DRAFT)).join(" ")).toBe(
      "token create host-1 --policy agent --apps orders payments --services orders --ttl-seconds 86400",
    );
  });

  test("is ready with a valid name and valid limits", () => {
    expect(isReady(DRAFT)).toBe(true);
    expect(isReady({ ...DRAFT, name: " " })).toBe(false);
    expect(isReady({ ...DRAFT, name: "-x" })).toBe(false);
    const wrong = { ...DRAFT, limits: { ...DRAFT.limits, services: "Orders" } };
    expect(isReady(wrong)).toBe(false);
    // A reader registers nothing, so the field is not shown, and its text does not matter.
    expect(isReady({ ...wrong, policies: ["viewer"] })).toBe(true);
  });

  test("names are between commas, also Chinese ones, and spaces", () => {
    expect(namesIn(" a, b，c、d  e ")).toEqual(["a", "b", "c", "d", "e"]);
    expect(wrongName("a, B_c, d")).toBe("B_c");
    expect(wrongName("*, a-1")).toBeUndefined();
  });

  test("needs a policy", () => expect(isReady({ ...DRAFT, policies: [] })).toBe(false));

  test("an operator has no limits, and one's own policies have all of them", () => {
    expect(limitsOf(["viewer", "operator"])).toEqual([]);
    expect(limitsOf(["viewer"])).toEqual(["namespaces", "apps"]);
    expect(limitsOf(["viewer", "orders-team"])).toEqual(["namespaces", "apps", "services"]);
  });
});
