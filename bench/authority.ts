/**
 * The certificate authority on one core: certificates a second, from a signing request in PEM to a certificate whose record is durable, in
 * memory and in the embedded store. The parts of a certificate are measured apart, beside the X.509 library's own generator.
 */
import { webcrypto } from "node:crypto";
import { join } from "node:path";
import { type Host, TaskGroup } from "#base";
import { systemHost } from "#base/system";
import { KeySealer, keyLine, SecretKeys } from "#config-server";
import { CertificateAuthority } from "#identity";
import { makeRequest } from "#identity/request";
import { openStore, type StoreOptions } from "#store";
import { tempFolder } from "#test/kit";
import { readCsr } from "../kernel/identity/x509/csr.ts";
import { makeLeaf } from "../kernel/identity/x509/leaf.ts";
import { x509Library } from "../kernel/identity/x509/library.ts";
import { round, spread } from "./kit.ts";

/** Certificates of one round, rounds, and requests at once: a fleet that renews. */
const CERTIFICATES = 500;
const ROUNDS = 3;
const AT_ONCE = 50;
/** The mark: certificates a second on one core. */
const PER_SECOND_MIN = 500;
const WORKLOAD = { kind: "service", namespace: "bench", name: "orders" } as const;
const SERIAL = `4${"0".repeat(31)}`;

export async function benchAuthority(): Promise<object> {
  const host = systemHost({ logLevel: "error" });
  await using folder = await tempFolder();
  const memory = await issuing(host, { engine: "memory" });
  const embedded = await issuing(host, { engine: "lmdb", folder: join(folder.path, "store") });
  const result = { memory, embedded, partsMicros: await parts(host) };
  const slowest = Math.min(memory.perSecondOfOneCore.median, embedded.perSecondOfOneCore.median);
  return slowest < PER_SECOND_MIN ? { ...result, failed: `below ${PER_SECOND_MIN} certificates a second` } : result;
}

async function startAuthority(host: Host, options: StoreOptions, stack: AsyncDisposableStack) {
  const store = stack.use(await openStore(host, options));
  const text = keyLine(host.random, host.clock.now());
  const keys = new SecretKeys(host, { name: "bench", reloadMs: 60_000, read: async () => text });
  await keys.start();
  const sealer = new KeySealer(host.random, keys);
  const authority = new CertificateAuthority(host, store, { sealer, trustDomain: "posthouse", member: "bench" });
  stack.use(authority);
  const tasks = stack.use(new TaskGroup(host.log));
  tasks.run("identity", (signal) => authority.run(signal));
  await authority.waitFor(1, new AbortController().signal);
  await authority.ensure();
  return authority;
}

/** Wall and processor time of whole certificates. The processor time includes the store, whose threads may use another core. */
async function issuing(host: Host, options: StoreOptions) {
  await using stack = new AsyncDisposableStack();
  const authority = await startAuthority(host, options, stack);
  const { csr } = await makeRequest("posthouse", WORKLOAD);
  const perSecond: number[] = [];
  const perCore: number[] = [];
  for (let at = 0; at <= ROUNDS; at++) {
    const began = { ms: performance.now(), cpu: process.cpuUsage() };
    let left = CERTIFICATES;
    const requester = async () => {
      while (left-- > 0) await authority.issue({ csr, workload: WORKLOAD, by: "bench" });
    };
    await Promise.all(Array.from({ length: AT_ONCE }, requester));
    const { user, system } = process.cpuUsage(began.cpu);
    // The first round warms up.
    if (at === 0) continue;
    perSecond.push((CERTIFICATES / (performance.now() - began.ms)) * 1000);
    perCore.push((CERTIFICATES / (user + system)) * 1e6);
  }
  return { perSecond: spread(perSecond), perSecondOfOneCore: spread(perCore) };
}

/** Microseconds of each part of a certificate. */
async function parts(host: Host) {
  await using stack = new AsyncDisposableStack();
  const authority = await startAuthority(host, { engine: "memory" }, stack);
  const issuer = await authority.keys.issuer(await authority.ensure());
  const { csr } = await makeRequest("posthouse", WORKLOAD);
  const { spki } = await readCsr(csr);
  const nowMs = host.clock.now();
  const spiffeId = "spiffe://posthouse/ns/bench/service/orders";
  const leaf = { serial: SERIAL, spki, spiffeId, dns: [], ips: [], notBeforeMs: nowMs, notAfterMs: nowMs + 3_600_000 };
  const { certificate } = await authority.issue({ csr, workload: WORKLOAD, by: "bench" });
  const der = Buffer.from(certificate.split("-----")[2]?.replaceAll("\n", "") ?? "", "base64");
  return {
    readRequest: await micros(() => readCsr(csr)),
    makeCertificate: await micros(async () => makeLeaf(issuer, leaf)),
    libraryGenerator: await micros(await libraryGenerator()),
    verifyKnownPeer: await micros(async () => authority.verifyPeer(der)),
  };
}

async function micros(work: () => Promise<unknown>, rounds = 500): Promise<number> {
  for (let at = 0; at < rounds / 5; at++) await work();
  const began = performance.now();
  for (let at = 0; at < rounds; at++) await work();
  return round(((performance.now() - began) / rounds) * 1000);
}

/** The same certificate by the library and WebCrypto, as a comparison. */
async function libraryGenerator(): Promise<() => Promise<unknown>> {
  const x509 = await x509Library();
  const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
  return async () =>
    x509.X509CertificateGenerator.create({
      serialNumber: SERIAL,
      subject: "O=posthouse",
      issuer: "CN=intermediate",
      signingAlgorithm: algorithm,
      publicKey: keys.publicKey,
      signingKey: keys.privateKey,
      extensions: [
        new x509.BasicConstraintsExtension(false, undefined, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
        new x509.SubjectAlternativeNameExtension([
          { type: "url", value: "spiffe://posthouse/ns/bench/service/orders" },
        ]),
        await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
      ],
    });
}
