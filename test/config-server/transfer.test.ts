/** Config in and out as zips, over a real store: what comes out goes in again, and what is wrong is refused as a whole. */
import { randomBytes } from "node:crypto";
import { unzipSync, zipSync } from "fflate";
import { expect, test } from "vitest";
import { collect, releaseTexts, zipOf } from "./transfer-kit.ts";
import { openMemoryStore, type Store, type TxnRequest } from "#store";
import { testHost, type TestControl, withControl } from "#test/kit";
import {
  DRAFTS_MAX,
  IMPORTS_AT_ONCE_MAX,
  MANIFEST_FORMAT,
  MANIFEST_NAME,
  TRANSFER_FILE_BYTES_MAX,
  type ImportQuery,
} from "#config-server/api";

const ORDERS = { namespace: "default", app: "orders", profile: "default" };
const PROD = { ...ORDERS, profile: "prod" };

const load = (control: TestControl, files: Record<string, string>, query: ImportQuery = {}) =>
  control.client.config.importZip(zipOf(files), { mode: "release", ...query });

/** Text that barely compresses, so that its archive does not count as a zip bomb. */
const randomText = (length: number) => randomBytes(length).toString("base64");

const valuesOf = async (control: TestControl, set: typeof ORDERS, version: number) => {
  const { items } = await control.client.config.release(set, version);
  return Object.fromEntries(Object.entries(items).map(([key, { value }]) => [key, value]));
};

async function as(control: TestControl, role: string) {
  const { json } = await control.call("POST", "/v1/tokens", { name: role, policies: [role] });
  return { authorization: `Bearer ${String(json["token"])}`, "content-type": "application/zip" };
}

test("an export holds a file per key and a manifest, and equal releases are equal bytes", async () => {
  await using control = await withControl();
  await releaseTexts(control, ORDERS, { "a.txt": "one", "b.txt": "zwei ✓" });
  await releaseTexts(control, PROD, { "a.txt": "prod" });
  const zip = await collect(control.client.config.exportSets());
  const files = unzipSync(zip);
  expect(Object.keys(files)).toEqual([
    "_manifest.json",
    "default/orders/default/a.txt",
    "default/orders/default/b.txt",
    "default/orders/prod/a.txt",
  ]);
  expect(new TextDecoder().decode(files["default/orders/default/b.txt"])).toBe("zwei ✓");
  const manifest = JSON.parse(new TextDecoder().decode(files["_manifest.json"])) as object;
  expect(manifest).toMatchObject({
    format: "posthouse-config/1",
    sets: [
      {
        profile: "default",
        version: 1,
        author: "operator",
        reason: "by a test",
        keys: { "a.txt": "text", "b.txt": "text" },
      },
      { profile: "prod", version: 1 },
    ],
  });
  expect(Buffer.compare(zip, await collect(control.client.config.exportSets()))).toBe(0);
});

test("an export of one set is of the version asked for, and of the live one else", async () => {
  await using control = await withControl();
  await releaseTexts(control, ORDERS, { "a.txt": "one" });
  await releaseTexts(control, ORDERS, { "a.txt": "two" });
  const text = async (options: { version?: number }) =>
    new TextDecoder().decode(unzipSync(await collect(control.client.config.exportSet(ORDERS, options)))["a.txt"]);
  expect([await text({ version: 1 }), await text({})]).toEqual(["one", "two"]);
  await expect(collect(control.client.config.exportSet(ORDERS, { version: 3 }))).rejects.toMatchObject({
    code: "CONFIG_RELEASE_NOT_FOUND",
  });
  await expect(collect(control.client.config.exportSets({ app: "nope" }))).rejects.toMatchObject({
    code: "CONFIG_SET_NOT_FOUND",
  });
});

test("an export can be imported elsewhere with formats and reasons, and importing it again changes nothing", async () => {
  await using from = await withControl();
  await using to = await withControl();
  const items = {
    plain: { format: "yaml" as const, value: "a: 1\n" },
    "b.yaml": { format: "text" as const, value: "{" },
  };
  await from.client.config.publish(ORDERS, { items, reason: "the first" });
  await releaseTexts(from, { ...ORDERS, app: "shop" }, { "a.txt": "x" });
  const zip = await collect(from.client.config.exportSets());
  const first = await to.client.config.importZip(zip, { mode: "release" });
  expect(first.sets).toMatchObject([
    { app: "orders", outcome: "released", version: 1, added: ["b.yaml", "plain"] },
    { app: "shop", outcome: "released", version: 1 },
  ]);
  const release = await to.client.config.release(ORDERS, 1);
  expect(release).toMatchObject({ items, reason: "the first", author: "operator" });
  const again = await to.client.config.importZip(zip, { mode: "release" });
  expect(again.sets.map(({ outcome }) => outcome)).toEqual(["unchanged", "unchanged"]);
  await expect(to.client.config.release(ORDERS, 2)).rejects.toMatchObject({ code: "CONFIG_RELEASE_NOT_FOUND" });
});

test("an export of one set goes in where it came from, or where the query says", async () => {
  await using control = await withControl();
  await releaseTexts(control, ORDERS, { "a.txt": "one" });
  const zip = await collect(control.client.config.exportSet(ORDERS));
  expect((await control.client.config.importZip(zip, { mode: "release" })).sets).toMatchObject([
    { ...ORDERS, outcome: "unchanged" },
  ]);
  const copy = { namespace: "test", app: "copy", profile: "prod" };
  expect((await control.client.config.importZip(zip, { mode: "release", ...copy })).sets).toMatchObject([
    { ...copy, outcome: "released", added: ["a.txt"] },
  ]);
  await expect(load(control, { "orders/default/a.txt": "x" }, copy)).rejects.toMatchObject({
    code: "CONFIG_IMPORT_INVALID",
    extra: { problems: [{ message: expect.stringContaining("without folders") as string }] },
  });
});

test("a dry run is the default, says what would change line by line, and writes nothing", async () => {
  await using control = await withControl();
  await releaseTexts(control, ORDERS, { "a.txt": "one\ntwo", "b.txt": "same", "c.txt": "old" });
  const files = { "orders/default/a.txt": "one\n2", "orders/default/b.txt": "same", "orders/default/d.txt": "new" };
  const zip = zipOf(files);
  const { revision } = await control.store.status();
  const report = await control.client.config.importZip(zip, { namespace: "default" });
  expect(report).toEqual({
    mode: "dry-run",
    ignored: [],
    sets: [
      {
        ...ORDERS,
        fromVersion: 1,
        outcome: "planned",
        added: ["d.txt"],
        changed: ["a.txt"],
        removed: ["c.txt"],
        unchanged: 1,
        differences: [
          { key: "a.txt", kind: "changed", lines: [" one", "-two", "+2"] },
          { key: "c.txt", kind: "removed" },
          { key: "d.txt", kind: "added" },
        ],
      },
    ],
  });
  expect((await control.store.status()).revision).toBe(revision);
});

test("a set is replaced as a whole, unless keys that are not named are to stay", async () => {
  await using control = await withControl();
  await releaseTexts(control, ORDERS, { "a.txt": "one", "b.txt": "two" });
  await load(control, { "default/orders/default/a.txt": "uno" }, { keep: true });
  expect(await valuesOf(control, ORDERS, 2)).toEqual({ "a.txt": "uno", "b.txt": "two" });
  await load(control, { "default/orders/default/a.txt": "uno" });
  expect(await valuesOf(control, ORDERS, 3)).toEqual({ "a.txt": "uno" });
});

test("if one set is invalid no set is released, and every problem is reported with file, line and column", async () => {
  await using control = await withControl();
  const files = {
    "default/a/default/ok.txt": "fine",
    "default/b/default/app.yaml": "a: 1\nb: [",
    "default/c/default/app.json": '{\n  "a": 1,,\n}',
    "default/D/default/x.txt": "x",
    "default/d/default/x y.txt": "x",
    "default/d/default/sub/x.txt": "x",
  };
  await expect(load(control, files)).rejects.toMatchObject({
    code: "CONFIG_IMPORT_INVALID",
    extra: {
      problems: [
        { file: "default/D/default/x.txt", message: expect.stringContaining('"D" is not a valid app') as string },
        { file: "default/d/default/sub/x.txt", message: expect.stringContaining("too many folders") as string },
        {
          file: "default/d/default/x y.txt",
          message: expect.stringContaining('"x y.txt" is not a valid key') as string,
        },
      ],
    },
  });
  const { ["default/a/default/ok.txt"]: ok, ...others } = files;
  const values = Object.fromEntries(Object.entries(others).filter(([path]) => path.includes("app.")));
  await expect(load(control, { ...values, "default/a/default/ok.txt": ok })).rejects.toMatchObject({
    code: "CONFIG_IMPORT_INVALID",
    extra: {
      problems: [
        { file: "default/b/default/app.yaml", line: 2, column: 5 },
        { file: "default/c/default/app.json", line: 2, column: 10 },
      ],
    },
  });
  expect((await control.client.config.sets(undefined)).sets).toEqual([]);
});

test("values are held against a schema that comes in the same import", async () => {
  await using control = await withControl();
  const schema = '{"properties":{"pool":{"minimum":1}}}';
  const files = {
    "default/orders/default/app.yaml.schema.json": schema,
    "default/orders/prod/app.yaml": "mode: a\npool: 0\n",
  };
  await expect(load(control, files)).rejects.toMatchObject({
    code: "CONFIG_IMPORT_INVALID",
    extra: { problems: [{ file: "default/orders/prod/app.yaml", pointer: "/pool", line: 2 }] },
  });
  const good = { ...files, "default/orders/prod/app.yaml": "mode: a\npool: 2\n" };
  expect((await load(control, good)).sets.map(({ profile, outcome }) => `${profile} ${outcome}`)).toEqual([
    "default released",
    "prod released",
  ]);
  // And against one of the whole set, before anything is released.
  const whole = { properties: { "app.yaml": { required: ["mode"] } } };
  const next = {
    "default/orders/default/schema.json": JSON.stringify(whole),
    "default/orders/prod/app.yaml": "pool: 3\n",
  };
  await expect(load(control, next)).rejects.toMatchObject({ code: "CONFIG_IMPORT_INVALID" });
  expect((await control.client.config.releases({ ...ORDERS, profile: "default" }, {})).releases).toHaveLength(1);
});

test("a file that is not text becomes a binary value and comes out as it was; where text is required, it is refused", async () => {
  await using control = await withControl();
  const bytes = new Uint8Array([0x89, 0x50, 0xff, 0xfe, 0x00]);
  await control.client.config.importZip(zipSync({ "default/a/default/logo": bytes }), { mode: "release" });
  const { items } = await control.client.config.release({ ...ORDERS, app: "a" }, 1);
  expect(items).toEqual({ logo: { format: "binary", value: Buffer.from(bytes).toString("base64") } });
  const chunks: Uint8Array[] = [];
  for await (const chunk of control.client.config.exportSet({ ...ORDERS, app: "a" })) chunks.push(chunk);
  expect(unzipSync(Buffer.concat(chunks))["logo"]).toEqual(bytes);
  const zip = zipSync({ "default/a/default/app.yaml": bytes });
  await expect(control.client.config.importZip(zip, { mode: "release" })).rejects.toMatchObject({
    code: "CONFIG_IMPORT_INVALID",
    extra: {
      problems: [{ file: "default/a/default/app.yaml", message: expect.stringContaining("is not UTF-8") as string }],
    },
  });
});

test("where a review is required an import proposes, and an emergency that says why releases", async () => {
  await using control = await withControl();
  await control.call("PUT", "/v1/config/prod/rules", { review: "required" });
  const files = { "prod/orders/default/a.txt": "one", "test/orders/default/a.txt": "one" };
  const { sets } = await load(control, files, { reason: "moved" });
  expect(sets).toMatchObject([
    { namespace: "prod", outcome: "proposed", added: ["a.txt"] },
    { namespace: "test", outcome: "released" },
  ]);
  const path = `/v1/config/prod/orders/default/proposals/${String(sets[0]?.proposal)}`;
  expect((await control.call("GET", path)).json).toMatchObject({ state: "open", reason: "moved", author: "operator" });
  const again = await load(control, files, { reason: "moved" });
  expect(again.sets[0], "nothing is proposed twice").toMatchObject({
    outcome: "proposed",
    proposal: sets[0]?.proposal,
  });
  await expect(load(control, files, { emergency: true })).rejects.toMatchObject({ code: "CONFIG_EMERGENCY_REASON" });
  const done = await load(control, files, { emergency: true, reason: "the site is down" });
  expect(done.sets.map(({ outcome }) => outcome)).toEqual(["released", "unchanged"]);
  const { json } = await control.call("GET", "/v1/config/prod/orders/default/releases/1");
  expect(json).toMatchObject({ emergency: true, reason: "the site is down" });
});

test("an editor may import drafts and not releases, and drafts are of what changes only", async () => {
  await using control = await withControl();
  await releaseTexts(control, ORDERS, { "a.txt": "one", "b.txt": "two" });
  const headers = await as(control, "editor");
  const body = zipOf({ "default/orders/default/a.txt": "uno" });
  const post = async (mode: string) => {
    const { app } = control;
    const answer = await app.inject({
      method: "POST",
      url: `/v1/config-import?mode=${mode}`,
      headers,
      payload: Buffer.from(body),
    });
    return answer.json<{ code?: string; sets?: unknown }>();
  };
  expect(await post("release")).toMatchObject({ code: "HTTP_FORBIDDEN", action: "config:publish" });
  expect(await post("draft")).toMatchObject({ sets: [{ outcome: "drafted", changed: ["a.txt"], removed: ["b.txt"] }] });
  const { json } = await control.call("GET", "/v1/config/default/orders/default/drafts?author=editor");
  expect(json["drafts"]).toMatchObject([
    { key: "a.txt", item: { value: "uno" } },
    { key: "b.txt", item: null },
  ]);
});

test("an import that fails half-way says what was done, and the next one does the rest", async () => {
  await using control = await withControl();
  await control.call("PUT", "/v1/config/default/rules", { review: "optional" });
  const many = Object.fromEntries(
    Array.from({ length: DRAFTS_MAX + 1 }, (_, i) => [`default/b/default/k${i}.txt`, "x"]),
  );
  const files = { "default/a/default/a.txt": "one", ...many, "default/c/default/c.txt": "three" };
  const failed = await control.client.config
    .importZip(zipOf(files), { mode: "draft" })
    .catch((error: unknown) => error);
  expect(failed).toMatchObject({
    code: "CONFIG_IMPORT_INCOMPLETE",
    extra: {
      report: {
        sets: [
          { app: "a", outcome: "drafted" },
          { app: "b", outcome: "failed", error: { code: "CONFIG_DRAFTS_FULL" } },
          { app: "c", outcome: "not-tried" },
        ],
      },
    },
  });
  expect((await load(control, files)).sets.map(({ outcome }) => outcome)).toEqual(["released", "released", "released"]);
});

test("a set that was released between plan and release is not overwritten", async () => {
  const host = testHost();
  await using store = openMemoryStore(host);
  await using other = await withControl({ host: testHost({ seed: 2 }), store });
  const late = { ...ORDERS, app: "z" };
  await releaseTexts(other, late, { "a.txt": "one" });
  let overtaken = false;
  const slow = new Proxy(store, {
    get(store, name: keyof Store) {
      if (name !== "txn") return typeof store[name] === "function" ? store[name].bind(store) : store[name];
      return async (request: TxnRequest) => {
        const isRelease = (request.then ?? []).some((op) => "key" in op && op.key === "/config/live/default/a/default");
        if (isRelease && !overtaken) {
          overtaken = true;
          await releaseTexts(other, late, { "a.txt": "a person's" });
        }
        return store.txn(request);
      };
    },
  });
  await using control = await withControl({ host, store: slow });
  const files = { "default/a/default/a.txt": "imported", "default/z/default/a.txt": "imported" };
  await expect(load(control, files)).rejects.toMatchObject({
    code: "CONFIG_IMPORT_INCOMPLETE",
    extra: {
      report: {
        sets: [
          { app: "a", outcome: "released" },
          { app: "z", outcome: "failed", error: { code: "CONFIG_VERSION_CONFLICT" } },
        ],
      },
    },
  });
  expect(await valuesOf(control, late, 2)).toEqual({ "a.txt": "a person's" });
  expect((await load(control, files)).sets, "a second import finishes it").toMatchObject([
    { app: "a", outcome: "unchanged" },
    { app: "z", outcome: "released", version: 3 },
  ]);
});

test("a set that would be too large a release is found before anything is released", async () => {
  await using control = await withControl();
  const large = Object.fromEntries(
    Array.from({ length: 9 }, (_, i) => [`default/b/default/${i}.txt`, randomText(720_000)]),
  );
  await expect(load(control, { "default/a/default/a.txt": "one", ...large })).rejects.toMatchObject({
    code: "CONFIG_IMPORT_INVALID",
    extra: { problems: [{ file: "default/b/default", message: expect.stringContaining("Split") as string }] },
  });
  expect((await control.client.config.sets(undefined)).sets).toEqual([]);
});

test("a dry run compares lines up to a limit, and counts the rest", async () => {
  await using control = await withControl();
  const lines = (mark: string) =>
    Array.from({ length: 9_000 }, (_, i) => `${mark} ${i} ${"z".repeat(i % 7)}`).join("\n");
  for (const app of ["a", "b", "c"]) await releaseTexts(control, { ...ORDERS, app }, { "a.txt": lines("old") });
  const files = Object.fromEntries(["a", "b", "c"].map((app) => [`default/${app}/default/a.txt`, lines("new")]));
  const { sets } = await load(control, files, { mode: "dry-run" });
  expect(sets.map(({ changed }) => changed)).toEqual([["a.txt"], ["a.txt"], ["a.txt"]]);
  expect(sets.map(({ differences }) => differences?.[0]?.lines?.length)).toEqual([18_000, undefined, undefined]);
});

test("a manifest may be longer than a value", async () => {
  await using control = await withControl();
  const set = { ...ORDERS, version: 1, hash: "", author: "ann", reason: "r".repeat(1000), createdAt: "", keys: {} };
  const sets = Array.from({ length: 2_000 }, (_, i) => ({ ...set, app: `app-${i}` }));
  const manifest = JSON.stringify({ format: MANIFEST_FORMAT, sets: [...sets, { ...set, reason: "said there" }] });
  expect(manifest.length).toBeGreaterThan(TRANSFER_FILE_BYTES_MAX);
  await load(control, { [MANIFEST_NAME]: manifest, "default/orders/default/a.txt": randomText(50_000) });
  expect(await control.client.config.release(ORDERS, 1)).toMatchObject({ reason: "said there" });
  const broken = { [MANIFEST_NAME]: '{"format":"posthouse-config/2"}', "default/orders/default/a.txt": "x" };
  await expect(load(control, broken)).rejects.toMatchObject({
    code: "CONFIG_IMPORT_INVALID",
    extra: { problems: [{ file: MANIFEST_NAME }] },
  });
});

test("a member reads only so many imports at a time, and is free again afterwards", async () => {
  await using control = await withControl();
  const results = await Promise.allSettled(
    Array.from({ length: 6 }, () => load(control, { "default/a/default/a.txt": "one" }, { mode: "dry-run" })),
  );
  const codes = results.flatMap((result) =>
    result.status === "rejected" ? [(result.reason as { code: string }).code] : [],
  );
  expect(codes).toEqual(Array.from({ length: 6 - IMPORTS_AT_ONCE_MAX }, () => "CONFIG_IMPORT_BUSY"));
  expect((await load(control, { "default/a/default/a.txt": "one" })).sets).toMatchObject([{ outcome: "released" }]);
});

test("a thousand sets go in and out", async () => {
  await using control = await withControl();
  const value = "x".repeat(2_000);
  const files = Object.fromEntries(
    Array.from({ length: 1_000 }, (_, i) => [`default/app-${i}/default/a.txt`, `${i} ${value}`]),
  );
  const { sets } = await load(control, files);
  expect(sets.filter(({ outcome }) => outcome === "released")).toHaveLength(1_000);
  const zip = await collect(control.client.config.exportSets());
  expect(Object.keys(unzipSync(zip))).toHaveLength(1_001);
});
