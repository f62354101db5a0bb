/** Files that are read at a start: a damaged one ends it with a code, its name and the way out, and is left as it is. */
import { mkdir, readFile, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { readStickyKey } from "#gateway";
import { ownTls, readTls as readTlsFiles } from "../../server/certificates.ts";
import { tempFolder, testHost } from "#test/kit";

const NAMES = ["localhost", "127.0.0.1"];
const DAMAGES: readonly (readonly [string, (path: string) => Promise<void>])[] = [
  ["empty", (path) => truncate(path, 0)],
  ["cut in half", async (path) => truncate(path, Math.floor((await readFile(path)).length / 2))],
  ["zeros", async (path) => writeFile(path, Buffer.alloc((await readFile(path)).length))],
  ["garbage", (path) => writeFile(path, "\u0000garbage\n")],
];

test.each(DAMAGES)("a sticky key that is %s", async (_name, damage) => {
  await using folder = await tempFolder();
  const path = join(folder.path, "sticky.key");
  const key = await readStickyKey(testHost(), path);
  expect(await readStickyKey(testHost(), path)).toEqual(key);
  await damage(path);
  const left = await readFile(path);
  await expect(readStickyKey(testHost(), path)).rejects.toMatchObject({
    code: "STATE_FILE_DAMAGED",
    message: expect.stringMatching(`${path}.*delete it`) as string,
  });
  expect(await readFile(path)).toEqual(left);
});

test.each(DAMAGES)("an authority that is %s", async (_name, damage) => {
  await using folder = await tempFolder();
  const made = await ownTls(testHost(), folder.path, NAMES);
  expect(await ownTls(testHost(), folder.path, NAMES)).toEqual(made);
  for (const file of ["ca.pem", "ca-key.pem"]) {
    const path = join(folder.path, file);
    const before = await readFile(path);
    await damage(path);
    await expect(ownTls(testHost(), folder.path, NAMES), file).rejects.toMatchObject({
      code: "STATE_FILE_DAMAGED",
      message: expect.stringMatching(`${path}.*backup`) as string,
    });
    await writeFile(path, before);
  }
  // The certificate is made again from its authority.
  for (const file of ["gateway.pem", "gateway-key.pem"]) {
    await damage(join(folder.path, file));
    const again = await ownTls(testHost(), folder.path, NAMES);
    expect(again.cert.endsWith(await readFile(join(folder.path, "ca.pem"), "utf8"))).toBe(true);
  }
});

test("a certificate of the operator's that is damaged, missing or of another key", async () => {
  await using folder = await tempFolder();
  const [one, two] = [join(folder.path, "one"), join(folder.path, "two")];
  await mkdir(one);
  await mkdir(two);
  await ownTls(testHost({ seed: 1 }), one, NAMES);
  await ownTls(testHost({ seed: 2 }), two, NAMES);
  const [cert, key] = [join(one, "gateway.pem"), join(one, "gateway-key.pem")];
  const readTls = (certFile: string, keyFile: string) =>
    readTlsFiles({ certFile, keyFile, of: "the gateway", settings: "gatewayCertFile and gatewayKeyFile" });
  await expect(readTls(cert, key)).resolves.toBeDefined();
  await expect(readTls(cert, join(two, "gateway-key.pem"))).rejects.toMatchObject({ code: "TLS_UNREADABLE" });
  await expect(readTls(join(one, "none.pem"), key)).rejects.toMatchObject({ code: "TLS_UNREADABLE" });
  for (const [, damage] of DAMAGES) {
    await damage(cert);
    await expect(readTls(cert, key)).rejects.toMatchObject({
      code: "STATE_FILE_DAMAGED",
      message: expect.stringContaining(cert) as string,
    });
  }
});
