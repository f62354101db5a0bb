/**
 * Certificates of a process over its restarts: a valid one is used again, and nothing is issued. Everything that makes it worse ends that.
 */
import { X509Certificate } from "node:crypto";
import { readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createServer, type Server } from "#server";
import { loadSettings } from "#settings";
import { hangSignal, testHost, type TempFolder, tempFolder } from "#test/kit";
import { WallClock } from "../identity/kit.ts";

const FILES = ["listeners", "gateway"] as const;
const HOUR_MS = 3_600_000;

let folder: TempFolder;
let clock: WallClock;
/** Each start has its own randomness, or serial numbers would repeat. */
let starts = 0;
beforeAll(async () => {
  folder = await tempFolder();
  clock = new WallClock(Date.now());
});
afterAll(() => folder[Symbol.asyncDispose]());

const pathOf = (name: string) => join(folder.path, "tls", `${name}.json`);

async function call<T>(
  { controlTransport, ownToken }: Server,
  method: "GET" | "POST" | "DELETE",
  path: string,
  body?: unknown,
) {
  if (!controlTransport) throw new Error("no control API");
  const headers = { authorization: `Bearer ${ownToken}` };
  const answer = await controlTransport.request({
    method,
    path,
    headers,
    signal: hangSignal(),
    ...(body === undefined ? {} : { body }),
  });
  const text = await answer.text();
  expect([answer.status < 300, text]).toEqual([true, text]);
  return (text === "" ? undefined : JSON.parse(text)) as T;
}

interface Listed {
  readonly serial: string;
  readonly dns?: string[];
  readonly revoked?: object;
}

const nothing: (server: Server) => Promise<unknown> = async () => {};

/** Starts on the data folder, and returns the certificates that were issued until then: for the listeners, the gateway and its calls. */
async function startOnce({ names = "", work = nothing } = {}) {
  const flags = {
    data: folder.path,
    roles: "registry,config-server,gateway",
    port: "0",
    gatewayPort: "0",
    gatewayTlsPort: "0",
    dns: "off",
    tls: "on",
    ...(names === "" ? {} : { tlsNames: names }),
  };
  const { values } = loadSettings({ environment: {}, flags });
  await using server = await createServer(testHost({ clock, seed: ++starts }), values);
  const { certificates } = await call<{ certificates: Listed[] }>(server, "GET", "/v1/certificates");
  await work(server);
  const files = await Promise.all(FILES.map(async (name) => readFile(pathOf(name), "utf8")));
  const serials = certificates.map(({ serial }) => serial).toSorted();
  return { certificates, serials, files };
}

test("a restart uses the certificates of the first start, which are closed to other users", async () => {
  const first = await startOnce();
  expect(first.serials.length).toBeGreaterThan(1);
  for (const name of FILES) expect((await stat(pathOf(name))).mode & 0o777).toBe(0o600);
  const second = await startOnce();
  // The gateway's certificate for its calls may have been issued after the first list was read.
  const third = await startOnce();
  expect(third).toEqual(second);
  expect(second.files).toEqual(first.files);
  expect(second.serials).toEqual(expect.arrayContaining(first.serials));
});

test("other names, half a life, a rotation and a revocation each end the use of a certificate", async () => {
  const before = await startOnce();
  const named = await startOnce({ names: "posthouse.example" });
  expect(named.files[0]).not.toBe(before.files[0]);
  expect(named.files[1]).toBe(before.files[1]);
  expect(JSON.parse(named.files[0] ?? "")).toMatchObject({ names: expect.arrayContaining(["posthouse.example"]) });

  clock.move(13 * HOUR_MS);
  const later = await startOnce();
  for (const at of FILES.keys()) expect(later.files[at]).not.toBe(named.files[at]);
  expect((await startOnce()).files).toEqual(later.files);

  // While the process runs, its certificates follow a rotation; the file of an earlier one must not come back.
  await startOnce({ work: (server) => call(server, "POST", "/v1/authority/rotations", { part: "intermediate" }) });
  for (const [at, name] of FILES.entries()) await writeFile(pathOf(name), later.files[at] ?? "");
  const rotated = await startOnce();
  for (const at of FILES.keys()) expect(rotated.files[at]).not.toBe(later.files[at]);

  const [listener] = rotated.files.map((text) => JSON.parse(text) as { certificate: string });
  const serial = new X509Certificate(listener?.certificate ?? "").serialNumber;
  await startOnce({ work: (server) => call(server, "DELETE", `/v1/certificates/${serial.toLowerCase()}`) });
  const revoked = await startOnce();
  expect(revoked.files[0]).not.toBe(rotated.files[0]);
  expect(revoked.files[1]).toBe(rotated.files[1]);
});

test("a damaged file is replaced", async () => {
  const { files } = await startOnce();
  await writeFile(pathOf("gateway"), (files[1] ?? "").slice(0, 100));
  const after = await startOnce();
  expect(after.files[0]).toBe(files[0]);
  expect(JSON.parse(after.files[1] ?? "")).toMatchObject({ certificate: expect.stringContaining("BEGIN CERTIFICATE") });
});
