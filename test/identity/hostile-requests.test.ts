/** Signing requests by callers that mean harm: each is rejected with a stable code, quickly, and none gets more than it may. */
import { generateKeyPairSync, sign } from "node:crypto";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type TempFolder, tempFolder } from "#test/kit";
import { der, derBits, DER_TAGS } from "../../kernel/identity/x509/der.ts";
import { DerReader } from "../../kernel/identity/x509/der-reader.ts";
import { readCsr } from "../../kernel/identity/x509/csr.ts";
import { x509Library } from "../../kernel/identity/x509/library.ts";
import { leafOf, ORDERS, requestFor, SPIFFE_ORDERS, startAuthority, type TestAuthority } from "./kit.ts";

let folder: TempFolder;
let one: TestAuthority;

beforeAll(async () => {
  folder = await tempFolder();
  one = await startAuthority();
});
afterAll(async () => {
  await one[Symbol.asyncDispose]();
  await folder[Symbol.asyncDispose]();
});

async function codeOf(csr: string): Promise<string | undefined> {
  try {
    await one.authority.issue({ csr, workload: ORDERS, by: "test" });
    return undefined;
  } catch (error) {
    return (error as { code?: string }).code ?? String(error);
  }
}

const pemOf = (der: Uint8Array) =>
  `-----BEGIN CERTIFICATE REQUEST-----\n${Buffer.from(der).toString("base64")}\n-----END CERTIFICATE REQUEST-----\n`;
const derOf = (pem: string) => Buffer.from(pem.replaceAll(/-----[A-Z ]+-----|\s/g, ""), "base64");

test("everything in a request but its key and SPIFFE id is ignored", async () => {
  const { pem, key } = await requestFor(folder.path, [
    "URI:spiffe://posthouse/ns/prod/service/orders",
    "DNS:bank.example",
    "IP:192.0.2.1",
  ]);
  const leaf = leafOf((await one.authority.issue({ csr: pem, workload: ORDERS, by: "test" })).certificate);
  expect(leaf.subjectAltName).toBe(`URI:${SPIFFE_ORDERS}`);
  expect(leaf.subject).toBe("O=posthouse");
  expect(leaf.ca).toBe(false);
  expect(leaf.checkPrivateKey(key)).toBe(true);
});

test("texts that are not a request", async () => {
  const { pem } = await requestFor(folder.path, []);
  const bad = {
    empty: " ",
    "not PEM": "hello",
    "not ASN.1": pemOf(Buffer.from("hello")),
    "two requests": pem + pem,
    "a certificate": leafOf(
      (await one.authority.issue({ csr: pem, workload: ORDERS, by: "test" })).certificate,
    ).toString(),
    "bytes after it": pemOf(Buffer.concat([derOf(pem), Buffer.from([0])])),
    huge: pemOf(Buffer.alloc(64 * 1024, 0x30)),
    "nested deeply": pemOf(Buffer.alloc(12_000, Buffer.from([0x30, 0x80]))),
    "two URIs": (await requestFor(folder.path, [`URI:${SPIFFE_ORDERS}`, "URI:spiffe://posthouse/agent/x"])).pem,
  };
  for (const [what, csr] of Object.entries(bad))
    expect([what, await codeOf(csr)]).toEqual([what, "IDENTITY_CSR_INVALID"]);
});

test("ten thousand names are too many characters, and as many as fit are too many values", async () => {
  const names = (count: number) => Array.from({ length: count }, (_, at) => `DNS:n${at}.example`);
  const many = await requestFor(folder.path, names(10_000));
  expect(await codeOf(many.pem)).toBe("IDENTITY_CSR_INVALID");
  const fitting = await requestFor(folder.path, names(600));
  expect(await codeOf(fitting.pem)).toBe("IDENTITY_CSR_INVALID");
});

test.for([
  ["RSA with 1024 bits", generateKeyPairSync("rsa", { modulusLength: 1024 }).privateKey],
  ["another curve", generateKeyPairSync("ec", { namedCurve: "secp256k1" }).privateKey],
] as const)("a key that is too weak: %s", async ([, key]) => {
  expect(await codeOf((await requestFor(folder.path, [], key)).pem)).toBe("IDENTITY_CSR_KEY_NOT_ALLOWED");
});

test("a request that another key signed", async () => {
  const [own, other] = [await requestFor(folder.path, []), await requestFor(folder.path, [])];
  const swapped = derOf(own.pem);
  const point = other.key.export({ type: "pkcs8", format: "der" }).subarray(-64);
  const ownPoint = own.key.export({ type: "pkcs8", format: "der" }).subarray(-64);
  const at = swapped.indexOf(ownPoint);
  expect(at).toBeGreaterThan(0);
  point.copy(swapped, at);
  expect(await codeOf(pemOf(swapped))).toBe("IDENTITY_CSR_INVALID");
});

test("a request with any bit changed gets no certificate, or one for its own key", async () => {
  const { pem, key } = await requestFor(folder.path, [`URI:${SPIFFE_ORDERS}`]);
  const der = derOf(pem);
  const outcomes = new Set<string>();
  for (let at = 0; at < der.length; at++) {
    const changed = Buffer.from(der);
    changed[at] = (changed[at] ?? 0) ^ (1 << (at % 8));
    const csr = pemOf(changed);
    const code = await codeOf(csr);
    if (code === undefined) {
      const { certificate } = await one.authority.issue({ csr, workload: ORDERS, by: "test" });
      outcomes.add(leafOf(certificate).checkPrivateKey(key) ? "own key" : `another key, by byte ${at}`);
    } else outcomes.add(code.startsWith("IDENTITY_CSR_") ? "rejected" : code);
  }
  expect([...outcomes].filter((outcome) => outcome !== "own key")).toEqual(["rejected"]);
});

test("a signed request with any byte changed is rejected, or read as the X.509 library reads it", async () => {
  const { pem, key } = await requestFor(folder.path, [`URI:${SPIFFE_ORDERS}`, "DNS:orders.example"]);
  const [info, algorithm] = new DerReader(10).within(derOf(pem), DER_TAGS.sequence);
  if (!info || !algorithm) throw new Error("not a request");
  const x509 = await x509Library();
  const counts = { rejected: 0, same: 0, onlyHere: 0 };
  for (let at = 0; at < info.whole.length; at++) {
    for (const bit of [0, 5]) {
      const changed = Buffer.from(info.whole);
      changed[at] = (changed[at] ?? 0) ^ (1 << bit);
      const request = der(DER_TAGS.sequence, changed, algorithm.whole, derBits(sign("sha256", changed, key)));
      const read = await readCsr(pemOf(request)).catch(() => undefined);
      if (!read) {
        counts.rejected++;
        continue;
      }
      // Subjects and other attributes, which the library reads, too, are nothing to the authority.
      const byLibrary = readByLibrary(x509, request);
      if (byLibrary) expect({ spki: read.spki.toString("hex"), uris: [read.spiffeId].flat() }).toEqual(byLibrary);
      counts[byLibrary ? "same" : "onlyHere"]++;
    }
  }
  expect(counts.rejected).toBeGreaterThan(counts.onlyHere);
  expect(counts.same).toBeGreaterThan(50);
});

function readByLibrary(x509: Awaited<ReturnType<typeof x509Library>>, request: Buffer) {
  try {
    const csr = new x509.Pkcs10CertificateRequest(request);
    const names = csr.getExtensions("2.5.29.17") as InstanceType<typeof x509.SubjectAlternativeNameExtension>[];
    const uris = names.flatMap(({ names }) => names.items.filter(({ type }) => type === "url"));
    const [uri] = uris.map(({ value }) => value);
    return { spki: Buffer.from(csr.publicKey.rawData).toString("hex"), uris: [uri] };
  } catch {
    return undefined;
  }
}

test.for([
  ["P-384", generateKeyPairSync("ec", { namedCurve: "P-384" }).privateKey],
  ["Ed25519", generateKeyPairSync("ed25519").privateKey],
  ["RSA with 2048 bits", generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey],
] as const)("a request for a key that is allowed: %s", async ([, key]) => {
  const { pem } = await requestFor(folder.path, [`URI:${SPIFFE_ORDERS}`], key);
  const { certificate } = await one.authority.issue({ csr: pem, workload: ORDERS, by: "test" });
  expect(leafOf(certificate).checkPrivateKey(key)).toBe(true);
});

test.for([
  ["a length without an end", [0x30, 0x80, 0, 0]],
  ["a length that is longer than needed", [0x30, 0x81, 2, 5, 0]],
  ["a length of three octets", [0x30, 0x83, 0, 0, 2, 5, 0]],
  ["a value that ends beyond its parent", [0x30, 2, 4, 9]],
  ["a tag of two octets", [0x1f, 0x20, 0]],
  ["bytes after the value", [0x30, 0, 0]],
] as const)("DER with %s is rejected", ([, bytes]) => {
  const reader = new DerReader(10);
  expect(() => reader.within(Buffer.from(bytes), DER_TAGS.sequence)).toThrow();
});
