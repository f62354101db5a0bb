/** Keys of the config server in the store: what they order, and what they split back into. */
import { expect, test } from "vitest";
import {
  auditKey,
  dataKeyKey,
  liveKey,
  parseDataKeyKey,
  parseLiveKey,
  parseStagedKey,
  releaseKey,
  rolloutKey,
  setId,
  setOf,
  stagedKey,
  usedDataKeysKey,
} from "../../config-server/core/keys.ts";

const NAME = { namespace: "default", app: "orders", profile: "prod@blue" };

test("a key splits back into what it was made of", () => {
  expect([setId(NAME), setOf(setId(NAME))]).toEqual(["default/orders/prod@blue", NAME]);
  expect(parseLiveKey(liveKey(NAME))).toEqual(NAME);
  expect(parseStagedKey(stagedKey(NAME, "abc"))).toEqual({ name: NAME, hash: "abc" });
  expect(parseDataKeyKey(dataKeyKey(NAME, "k1"))).toEqual({ set: setId(NAME), dataKey: "k1" });
});

test("a live pointer of a later version is passed over", () => {
  for (const rest of ["", "a", "a/b", "a/b/", "/b/c", "a//c", "a/b/c/d"]) {
    expect([rest, parseLiveKey(`/config/live/${rest}`)]).toEqual([rest, undefined]);
  }
  expect(parseLiveKey("/config/rules/a/b/c")).toBeUndefined();
});

test("keys are in the order of versions, and those of the audit begin with the latest", () => {
  for (const key of [releaseKey, rolloutKey, usedDataKeysKey]) {
    const keys = [1, 9, 10, 999_999].map((version) => key(NAME, version));
    expect(keys.toSorted((a, b) => (a < b ? -1 : 1))).toEqual(keys);
  }
  const audit = [0, 1, Date.UTC(2026, 0, 1), Date.UTC(2026, 0, 2), 9_999_999_999_999].map((at) => auditKey(at, "x"));
  expect(audit.toSorted((a, b) => (a < b ? 1 : -1))).toEqual(audit);
  expect(audit.at(-1)).toBe("/config/audit/0000000000000-x");
});
