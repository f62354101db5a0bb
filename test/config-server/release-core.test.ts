/** Releases and their secrets: what is stored, what a check sees, and what others are shown, without a server. */
import { expect, test } from "vitest";
import { AppError, decodeJson, encodeJson } from "#base";
import { MASK, RELEASE_BYTES_MAX, type EffectiveConfig, type ReleaseCheck } from "#config-server/api";
import { blinded } from "../../config-server/core/blind.ts";
import { contentUsedKey, liveKey, releaseKey, stagedKey, usedDataKeysKey } from "../../config-server/core/keys.ts";
import {
  contentOf,
  INLINE_BYTES_MAX,
  latestOf,
  PART_BYTES,
  publishRelease,
  type PublishCommand,
  type ReleasePlan,
} from "../../config-server/core/release.ts";
import {
  dataKeysOf,
  formatSealed,
  isSealed,
  parseSealed,
  parseWrapped,
  sealedOf,
  shownItems,
  type OpenItem,
  type StoredItems,
} from "../../config-server/core/sealed.ts";
import { checkWithoutSecrets, hasSecrets, maskedConfig, unfitForSecrets } from "../../config-server/core/secrecy.ts";

const SET = { namespace: "default", app: "orders", profile: "default" };
const text = (value: string, over: object = {}): OpenItem => ({ format: "text", value, ...over });
const secret = { secret: true };

const KEY_ID = "0123456789abcdef0123456789abcdef";
const SEALED = formatSealed({ dataKey: KEY_ID, nonce: "n".repeat(16), data: "data" });
const STORED: StoredItems = {
  a: { format: "text", value: "1" },
  s: { format: "text", secret: true, expand: true, sealed: SEALED },
};

test("a sealed value is read by its form alone, and shown as a mask", () => {
  expect(parseSealed(SEALED)).toEqual({ dataKey: KEY_ID, nonce: "n".repeat(16), data: "data" });
  for (const wrong of ["", "v2" + SEALED.slice(2), SEALED.slice(0, -5), SEALED.replace("0123", "012")]) {
    expect(parseSealed(wrong)).toBeUndefined();
  }
  expect([dataKeysOf(STORED), dataKeysOf({ s: { format: "text", secret: true, sealed: "broken" } })]).toEqual([
    [KEY_ID],
    [],
  ]);
  expect([Object.keys(sealedOf(STORED)), Object.values(STORED).map(isSealed)]).toEqual([["s"], [false, true]]);
  expect(shownItems(STORED)).toEqual({
    a: STORED["a"],
    s: { format: "text", value: MASK, expand: true, secret: true },
  });
  const wrapped = (value: unknown) => parseWrapped(encodeJson(value));
  const good = { v: 1, key: "k", wrapped: "w" };
  expect([
    wrapped(good),
    wrapped({ ...good, v: 2 }),
    wrapped({ ...good, key: 1 }),
    wrapped({ v: 1, key: "k" }),
  ]).toEqual([good, undefined, undefined, undefined]);
  expect(parseWrapped(Buffer.from("{"))).toBeUndefined();
});

test("a check sees no secret; one whose value it asks for may not be a secret", () => {
  const items = { a: text("1"), b: text("2", secret), c: text("3", secret) };
  const seen: unknown[] = [];
  const looks: ReleaseCheck = (_name, shown) => {
    seen.push(shown["a"]?.value, shown["b"]?.value, Object.keys(shown));
    return [{ key: "a", pointer: "", message: "wrong" }];
  };
  const found = checkWithoutSecrets(looks, SET, items);
  expect([seen, found.map(({ key }) => key)]).toEqual([["1", "", ["a", "b", "c"]], ["b"]]);
  const looksAway: ReleaseCheck = (_name, shown) => [{ key: shown["a"]?.value ?? "", pointer: "", message: "wrong" }];
  expect(checkWithoutSecrets(looksAway, SET, items)).toEqual([{ key: "1", pointer: "", message: "wrong" }]);
  const whole: ReleaseCheck = (_name, shown) =>
    shown === onlyPlain ? [] : [{ key: "copied", pointer: "", message: "" }];
  const onlyPlain = { a: text("1") };
  expect(checkWithoutSecrets(whole, SET, onlyPlain)).toEqual([]);
  expect(unfitForSecrets(items, (key) => key !== "c").map(({ key }) => key)).toEqual(["b"]);
  expect(blinded(items)).toEqual({
    a: text("1"),
    b: text("", { ...secret, opaque: true }),
    c: text("", { ...secret, opaque: true }),
  });
});

test("others are shown a config with its secrets masked, and one without secrets as it is", () => {
  const configOf = (items: object) => ({ ...SET, revision: 1, releaseKey: "k", items }) as EffectiveConfig;
  const config = configOf({ a: text("1"), s: text("x", secret) });
  expect([hasSecrets(config), maskedConfig(config).items["s"]?.value, maskedConfig(config).items["a"]?.value]).toEqual([
    true,
    MASK,
    "1",
  ]);
  const open = configOf({ a: text("1") });
  expect([hasSecrets(open), maskedConfig(open) === open]).toEqual([false, true]);
});

test("a content lies in its release up to a size, then beside it in parts, and has an end", () => {
  const parts = (bytes: number) => contentOf({ a: text("x".repeat(bytes - 34)) }, () => "h").parts;
  const around = contentOf({ a: text("") }, () => "h").bytes.length;
  expect(around).toBe(34);
  expect([parts(INLINE_BYTES_MAX), parts(INLINE_BYTES_MAX + 1), parts(PART_BYTES), parts(PART_BYTES + 1)]).toEqual([
    0, 1, 1, 2,
  ]);
  expect(parts(RELEASE_BYTES_MAX)).toBe(RELEASE_BYTES_MAX / PART_BYTES);
  expect(() => parts(RELEASE_BYTES_MAX + 1)).toThrow(AppError);
});

function published(live: object | undefined, over: Partial<PublishCommand> = {}, parts = 0) {
  const entry = live && { value: encodeJson(live), modRevision: 1 };
  const command = {
    name: SET,
    items: STORED,
    author: "ann",
    reason: "",
    nowMs: 0,
    expectedVersion: undefined,
    ...over,
  };
  try {
    return publishRelease(entry, command, { bytes: new Uint8Array(), hash: "h", parts });
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    return [error.code, error.extra];
  }
}

test("a release has the next number, moves the live pointer, and says what is used of data keys and parts", () => {
  const plan = published(undefined) as ReleasePlan;
  expect(plan.result).toMatchObject({ ...SET, version: 1, hash: "h", createdAt: "1970-01-01T00:00:00.000Z" });
  expect(plan.result).not.toHaveProperty("rollout");
  const written = plan.writes.map((write) => [write.key, write.type === "put" ? decodeJson(write.value) : write.type]);
  expect(Object.fromEntries(written)).toMatchObject({
    [releaseKey(SET, 1)]: { version: 1, items: STORED },
    [liveKey(SET)]: { version: 1, hash: "h", secrets: true },
    [usedDataKeysKey(SET, 1)]: [KEY_ID],
  });
  expect(written).toHaveLength(3);
  const large = published({ version: 4, hash: "g" }, { knownDataKeys: new Set([KEY_ID]) }, 2) as ReleasePlan;
  expect(large.writes.map(({ key, type }) => [key, type])).toEqual([
    [releaseKey(SET, 5), "put"],
    [liveKey(SET), "put"],
    [contentUsedKey(SET, "h"), "put"],
    [stagedKey(SET, "h"), "delete"],
  ]);
  const none = published(undefined, { items: { a: text("1") } }) as ReleasePlan;
  expect(none.writes).toHaveLength(2);
  expect(decodeJson((none.writes[1] as { value: Uint8Array }).value)).not.toHaveProperty("secrets");
  const origin = { rollbackOf: 1, promotedFrom: "default/orders/dev@3", proposal: "p1" };
  const source = { name: "git", commit: "c" } as never;
  expect((published(undefined, { ...origin, source }) as ReleasePlan).result).toMatchObject({ ...origin, source });
  for (const field of ["rollbackOf", "promotedFrom", "proposal", "source", "emergency"]) {
    expect(plan.result).not.toHaveProperty(field);
  }
  const approved = (approvedBy: string[]) => (published(undefined, { approvedBy }) as ReleasePlan).result;
  expect([approved(["ben"]).approvedBy, "approvedBy" in approved([])]).toEqual([["ben"], false]);
  expect([
    latestOf(undefined),
    latestOf({ version: 2, latest: 3 } as never),
    latestOf({ version: 2 } as never),
  ]).toEqual([0, 3, 2]);
});

test("a release on a condition, or beside one on its way, is refused; an emergency ends what is on its way", () => {
  expect(published({ version: 4, hash: "g" }, { expectedVersion: 3 })).toEqual([
    "CONFIG_VERSION_CONFLICT",
    { version: 4 },
  ]);
  expect(published(undefined, { expectedVersion: 1 })).toEqual(["CONFIG_VERSION_CONFLICT", { version: 0 }]);
  for (const [live, expectedVersion] of [
    [undefined, 0],
    [{ version: 4, hash: "g" }, 4],
  ] as const) {
    expect(published(live, { expectedVersion })).toMatchObject({ result: { version: (live?.version ?? 0) + 1 } });
  }
  const rollout = { plan: { stages: [{ percent: 10 }] } as never, critical: [] };
  expect(published(undefined, { rollout })).toEqual(["CONFIG_ROLLOUT_FIRST", { field: "/rollout" }]);
  const begun = published({ version: 4, hash: "g", at: "t", secrets: true }, { rollout }) as ReleasePlan;
  expect(begun.result).toMatchObject({ version: 5, rollout: "running" });
  const written = begun.writes.find(({ key }) => key === liveKey(SET)) as { value: Uint8Array } | undefined;
  const pointer = decodeJson<object>(written?.value ?? new Uint8Array());
  expect(pointer).toMatchObject({
    version: 4,
    hash: "g",
    at: "t",
    secrets: true,
    latest: 5,
    rollout: { version: 5, secrets: true },
  });
  expect(published(pointer)).toEqual(["CONFIG_ROLLOUT_ACTIVE", { version: 5 }]);
  expect(published(pointer, { emergency: true, reason: "fire" })).toMatchObject({
    result: { version: 6, emergency: true },
  });
});
