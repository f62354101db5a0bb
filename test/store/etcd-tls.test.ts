/** A real etcd that accepts TLS only, and only clients with a certificate. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openStore, type Store } from "#store";
import { eventually, hangSignal, tempFolder, testHost, withEtcd, type TempFolder, type TestEtcd } from "#test/kit";
import { EtcdTlsFiles } from "../../server/etcd-tls.ts";
import { authority, type Authority } from "../gateway/certificates.ts";

let folder: TempFolder;
let issuer: Authority;
let etcd: TestEtcd;
const fileOf = (name: string) => join(folder.path, `${name}.pem`);

/** Writes a certificate and its key, and the files' names. */
async function writePair(name: string, from: Authority, names: readonly string[]) {
  const { cert, key } = await from.issue(names);
  await writeFile(fileOf(`${name}-key`), key);
  await writeFile(fileOf(name), cert);
  return { cert, key };
}

beforeAll(async () => {
  folder = await tempFolder();
  issuer = await authority();
  await writeFile(fileOf("ca"), issuer.pem);
  await writePair("server", issuer, ["localhost", "127.0.0.1"]);
  const client = await writePair("client", issuer, ["client"]);
  etcd = await withEtcd({
    certFile: fileOf("server"),
    keyFile: fileOf("server-key"),
    caFile: fileOf("ca"),
    client: { ca: issuer.pem, ...client },
  });
});
afterAll(async () => {
  await etcd[Symbol.asyncDispose]();
  await folder[Symbol.asyncDispose]();
});

const CA = () => ({ etcdCaFile: fileOf("ca") });
const CLIENT = () => ({ etcdCertFile: fileOf("client"), etcdKeyFile: fileOf("client-key") });

const endpoint = () => etcd.endpoint.replace("127.0.0.1", "localhost");

async function open(stack: AsyncDisposableStack, files: object): Promise<Store> {
  const host = testHost();
  const tls = stack.use(new EtcdTlsFiles(host, files));
  await tls.start();
  return stack.use(await openStore(host, { engine: "etcd", endpoints: [endpoint()], tls, deadlineMs: 2_000 }));
}

test("a client with the authority and its certificate reads, writes and watches", async () => {
  await using stack = new AsyncDisposableStack();
  const store = await open(stack, { ...CA(), ...CLIENT() });
  const after = (await store.status()).revision;
  await store.txn({ then: [{ type: "put", key: "a", value: new Uint8Array(3) }] });
  for await (const { events } of store.watch({ prefix: "a", after, signal: hangSignal() })) {
    if (events.length > 0) break;
  }
  expect((await store.range({ key: "a" })).count).toBe(1);
});

test("without a certificate, with that of another authority, or without the authority, nothing is read", async () => {
  await using stack = new AsyncDisposableStack();
  const other = await authority();
  await writePair("foreign", other, ["client"]);
  await writeFile(fileOf("foreign-ca"), other.pem);
  const foreign = { etcdCertFile: fileOf("foreign"), etcdKeyFile: fileOf("foreign-key") };
  for (const files of [CA(), { ...CA(), ...foreign }, CLIENT(), { etcdCaFile: fileOf("foreign-ca"), ...CLIENT() }]) {
    await expect(open(stack, files)).rejects.toMatchObject({ code: "STORE_UNAVAILABLE" });
  }
});

test("an IP address is refused with the way out", async () => {
  const opened = openStore(testHost(), { engine: "etcd", endpoints: [etcd.endpoint] });
  await expect(opened).rejects.toMatchObject({ code: "STORE_INVALID", message: expect.stringContaining("host name") });
});

test("replaced files are used by new connections, and watches go on", async () => {
  await using stack = new AsyncDisposableStack();
  await writePair("renewed", issuer, ["client"]);
  const files = { etcdCertFile: fileOf("renewed"), etcdKeyFile: fileOf("renewed-key") };
  const store = await open(stack, { ...CA(), ...files });
  const after = (await store.status()).revision;
  const seen: number[] = [];
  const reading = (async () => {
    for await (const { events } of store.watch({ prefix: "n", after, signal: hangSignal() })) {
      seen.push(...events.map(() => 1));
      if (seen.length === 40) return;
    }
  })();
  await writePair("renewed", issuer, ["client"]);
  for (let index = 0; index < 40; index++) {
    await store.txn({ then: [{ type: "put", key: `n${index}`, value: new Uint8Array(1) }] });
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  await reading;
  await eventually("every write was seen once", () => seen.length === 40);
});
