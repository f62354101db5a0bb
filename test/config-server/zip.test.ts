/** Zips that lie, burst or lead outside are refused by the entry's name before they cost anything. */
import { strToU8, zipSync, type Zippable } from "fflate";
import { expect, test } from "vitest";
import { TRANSFER_FILE_BYTES_MAX, TRANSFER_FILES_MAX, ZIP_BYTES_MAX } from "#config-server/api";
import { type TestControl, withControl } from "#test/kit";

const CENTRAL = 0x02014b50;
const LOCAL = 0x04034b50;

/** The control plane's refusal of a zip: its code, and the entry that it names. */
async function said(control: TestControl, zip: Uint8Array): Promise<[code: string, entry: unknown]> {
  const answer = await control.client.config.importZip(zip, { mode: "release" }).catch((error: unknown) => error);
  const { code = "imported", extra } = answer as { code?: string; extra?: { entry?: string } };
  return [code, extra?.entry];
}

/** Changes the record of the one entry of a zip, in its directory or where it lies. */
function patched(zip: Uint8Array, signature: number, change: (view: DataView, at: number) => void): Uint8Array {
  const copy = Uint8Array.from(zip);
  const view = new DataView(copy.buffer);
  for (let at = 0; at + 4 <= copy.length; at++) {
    if (view.getUint32(at, true) === signature) {
      change(view, at);
      return copy;
    }
  }
  throw new Error("no such record");
}

const KEY = "default/a/default/k.txt";
const plain = zipSync({ [KEY]: strToU8("value") }, { level: 0 });

test.each([
  ["a way out", "../../etc/passwd"],
  ["a way out inside", "default/../../x/k.txt"],
  ["an absolute name", "/default/a/default/k.txt"],
  ["a drive", "C:/default/a/default/k.txt"],
  ["a backslash", "default\\a\\default\\k.txt"],
  ["an empty part", "default//default/k.txt"],
  ["a dot part", "default/./default/k.txt"],
  ["a NUL", "default/a/default/k\0.txt"],
])("%s in a name is refused", async (_what, name) => {
  await using control = await withControl();
  expect(await said(control, zipSync({ [name]: strToU8("x") }))).toEqual(["CONFIG_ZIP_INVALID", name]);
});

test("a symbolic link is refused", async () => {
  await using control = await withControl();
  const link: Zippable = { [KEY]: [strToU8("/etc/passwd"), { os: 3, attrs: (0o120777 << 16) >>> 0 }] };
  expect(await said(control, zipSync(link))).toEqual(["CONFIG_ZIP_INVALID", KEY]);
});

test("a name that is there twice is refused", async () => {
  await using control = await withControl();
  const other = "default/a/default/j.txt";
  const zip = zipSync({ [KEY]: strToU8("one"), [other]: strToU8("two") });
  const text = Buffer.from(zip).toString("latin1").replaceAll("j.txt", "k.txt");
  expect(await said(control, Buffer.from(text, "latin1"))).toEqual(["CONFIG_ZIP_INVALID", KEY]);
});

test("an entry that says more than a file may be is refused before it is inflated", async () => {
  await using control = await withControl();
  const size = TRANSFER_FILE_BYTES_MAX + 1;
  expect(await said(control, zipSync({ [KEY]: new Uint8Array(size) }))).toEqual(["CONFIG_ZIP_TOO_LARGE", KEY]);
});

test("an entry that inflates to more than it says is refused when it has reached that", async () => {
  await using control = await withControl();
  const zip = zipSync({ [KEY]: new Uint8Array(1024 * 1024) });
  const liar = patched(zip, CENTRAL, (view, at) => view.setUint32(at + 24, 10, true));
  expect(await said(control, liar)).toEqual(["CONFIG_ZIP_INVALID", KEY]);
});

test("an entry that inflates to less than it says is refused", async () => {
  await using control = await withControl();
  const liar = patched(zipSync({ [KEY]: strToU8("aaaaaaaaaa") }), CENTRAL, (view, at) =>
    view.setUint32(at + 24, 500, true),
  );
  expect(await said(control, liar)).toEqual(["CONFIG_ZIP_INVALID", KEY]);
});

test("many entries that are each small enough and together a bomb are refused", async () => {
  await using control = await withControl();
  const zeros = new Uint8Array(TRANSFER_FILE_BYTES_MAX - 1);
  const few = Object.fromEntries(Array.from({ length: 4 }, (_, i) => [`default/a/default/k${i}.txt`, zeros]));
  const [code, entry] = await said(control, zipSync(few));
  expect([code, entry]).toEqual(["CONFIG_ZIP_INVALID", ""]);
  const many = Object.fromEntries(Array.from({ length: 90 }, (_, i) => [`default/a/default/k${i}.txt`, zeros]));
  expect((await said(control, zipSync(many)))[0]).toBe("CONFIG_ZIP_TOO_LARGE");
});

test("an entry that lies inside another is refused", async () => {
  await using control = await withControl();
  const inner = "default/b/default/k.txt";
  const alone = zipSync({ [inner]: strToU8("x") }, { level: 0 });
  const outer = zipSync({ [KEY]: alone, [inner]: strToU8("x") }, { level: 0 });
  const copy = Buffer.from(outer);
  // The last record of the directory is pointed at the copy of its entry that is the content of the first.
  const record = copy.lastIndexOf(Buffer.from([0x50, 0x4b, 1, 2]));
  copy.writeUInt32LE(30 + KEY.length, record + 42);
  expect(await said(control, copy)).toEqual(["CONFIG_ZIP_INVALID", inner]);
});

test("more entries than may be are refused without a look at them", async () => {
  await using control = await withControl();
  const nothing = new Uint8Array();
  const many = Object.fromEntries(Array.from({ length: TRANSFER_FILES_MAX + 1 }, (_, i) => [`k${i}`, nothing]));
  expect((await said(control, zipSync(many, { level: 0 })))[0]).toBe("CONFIG_ZIP_TOO_LARGE");
});

test.each([
  ["no zip at all", strToU8("hello")],
  ["nothing", new Uint8Array()],
  ["a zip that is cut off", plain.subarray(0, plain.length - 10)],
  ["a directory that is cut off", Buffer.concat([plain.subarray(plain.length - 22)])],
  ["an encrypted entry", patched(plain, CENTRAL, (view, at) => view.setUint16(at + 8, 1, true))],
  ["an unknown method", patched(plain, CENTRAL, (view, at) => view.setUint16(at + 10, 99, true))],
  ["another name where it lies", patched(plain, LOCAL, (view, at) => view.setUint8(at + 30, 0x44))],
  ["a wrong checksum", patched(plain, CENTRAL, (view, at) => view.setUint32(at + 16, 1, true))],
  ["a place beyond the end", patched(plain, CENTRAL, (view, at) => view.setUint32(at + 42, 1_000_000, true))],
])("%s is refused as a zip", async (_what, zip) => {
  await using control = await withControl();
  expect((await said(control, zip))[0]).toBe("CONFIG_ZIP_INVALID");
});

test("bytes at random in a good zip never do more than refuse or import it", async () => {
  await using control = await withControl();
  const zip = zipSync({ [KEY]: strToU8("value ".repeat(50)), "default/b/default/k.yaml": strToU8("a: 1") });
  const codes = new Set<string>();
  for (let at = 0; at < zip.length; at++) {
    const copy = Uint8Array.from(zip);
    copy[at] = (copy[at] as number) ^ 0xff;
    const answer = await control.client.config.importZip(copy, {}).catch((error: unknown) => error);
    codes.add((answer as { code?: string }).code ?? "imported");
  }
  expect([...codes].filter((code) => !/^(imported|CONFIG_(ZIP|IMPORT)_\w+)$/.test(code))).toEqual([]);
});

test("an upload that is too large is refused by its length, and another type of body by its type", async () => {
  await using control = await withControl();
  const headers = { authorization: `Bearer ${control.token}`, "content-type": "application/zip" };
  const large = await control.app.inject({
    method: "POST",
    url: "/v1/config-import",
    headers: { ...headers, "content-length": String(ZIP_BYTES_MAX + 1) },
    payload: Buffer.alloc(ZIP_BYTES_MAX + 1),
  });
  expect(large.json()).toMatchObject({ code: "HTTP_BODY_TOO_LARGE" });
  expect((await control.call("POST", "/v1/config-import", { a: 1 })).json).toMatchObject({ code: "HTTP_MEDIA_TYPE" });
});

test("folders as entries, and what a Mac or an editor left beside the files, are passed over", async () => {
  await using control = await withControl();
  const zip = zipSync({
    "default/": new Uint8Array(),
    "default/a/default/": new Uint8Array(),
    [KEY]: strToU8("value"),
    "README.md": strToU8("hello"),
    ".DS_Store": strToU8("x"),
    "__MACOSX/default/a/default/._k.txt": strToU8("x"),
  });
  const report = await control.client.config.importZip(zip, { mode: "release" });
  expect(report).toMatchObject({ sets: [{ app: "a", outcome: "released", added: ["k.txt"] }], ignored: ["README.md"] });
});
