/** An authority over a store in memory, keys of workloads, and OpenSSL to check what was made. */
import { execFile } from "node:child_process";
import { generateKeyPairSync, type KeyObject, randomBytes, X509Certificate } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { type Clock, type Host, TaskGroup } from "#base";
import { systemClock } from "#base/library";
import { KeySealer, keyLine, SecretKeys, type KeySource } from "#config-server";
import { CertificateAuthority, Joins, Rotations } from "#identity";
import { openMemoryStore, type Store } from "#store";
import { testHost } from "#test/kit";

/** The real clock, whose time of day a test moves. Timers and durations do not notice. */
export class WallClock implements Clock {
  #aheadMs: number;

  constructor(nowMs: number) {
    this.#aheadMs = nowMs - systemClock.now();
  }

  move(ms: number): void {
    this.#aheadMs += ms;
  }

  now(): number {
    return systemClock.now() + this.#aheadMs;
  }

  monotonic = () => systemClock.monotonic();
  after = (ms: number, callback: () => void) => systemClock.after(ms, callback);
  sleep = (ms: number, signal?: AbortSignal) => systemClock.sleep(ms, signal);
}

/** Keys for secrets, whose text a test may change. */
export function changingKeys(host: Host): { text: string | undefined; readonly source: KeySource } {
  const keys = {
    text: keyLine(host.random, host.clock.now()) as string | undefined,
    source: { name: "keys of the test", reloadMs: 5_000, read: async () => keys.text },
  };
  return keys;
}

export interface TestAuthority extends AsyncDisposable {
  readonly host: Host;
  readonly store: Store;
  readonly authority: CertificateAuthority;
  readonly rotations: Rotations;
  readonly joins: Joins;
  readonly secretKeys: SecretKeys;
}

export interface TestAuthorityOptions {
  readonly host?: Host;
  readonly clock?: WallClock;
  readonly store?: Store;
  readonly keys?: KeySource;
  readonly member?: string;
}

/** One member. Its rotations take no step by themselves: a test calls `look`. */
export async function startAuthority(options: TestAuthorityOptions = {}): Promise<TestAuthority> {
  await using stack = new AsyncDisposableStack();
  const host = options.host ?? testHost(options.clock ? { clock: options.clock } : {});
  const store = options.store ?? stack.use(openMemoryStore(host));
  const secretKeys = new SecretKeys(host, options.keys ?? changingKeys(host).source);
  await secretKeys.reload();
  const sealer = new KeySealer(host.random, secretKeys);
  const authority = stack.use(
    new CertificateAuthority(host, store, { sealer, trustDomain: "posthouse", member: options.member ?? "m1" }),
  );
  const tasks = stack.use(new TaskGroup(host.log));
  tasks.run("identity", (signal) => authority.run(signal));
  await authority.waitFor(1, new AbortController().signal);
  const owned = stack.move();
  return {
    host,
    store,
    authority,
    rotations: new Rotations(host, authority),
    joins: new Joins(host, authority),
    secretKeys,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

export interface Request {
  readonly pem: string;
  readonly key: KeyObject;
}

const run = promisify(execFile);

/** Runs OpenSSL, and returns what it printed. */
export async function openssl(...args: string[]): Promise<string> {
  const { stdout } = await run("openssl", args, { maxBuffer: 16 * 1024 * 1024 });
  return stdout;
}

/** The words of `openssl verify` about a leaf, in strict mode. The files are names in the folder; `more`: further options. */
export function opensslVerify(
  folder: string,
  { roots, between, leaf }: { readonly roots: string; readonly between: string; readonly leaf: string },
  ...more: string[]
): Promise<string> {
  const [rootFile, betweenFile, leafFile] = [roots, between, leaf].map((name) => join(folder, name)) as [
    string,
    string,
    string,
  ];
  return openssl("verify", "-x509_strict", ...more, "-CAfile", rootFile, "-untrusted", betweenFile, leafFile);
}

/** A signing request by OpenSSL itself, for a key that is made here. `names`: alternative names, such as `URI:spiffe://…`. */
export async function requestFor(
  folder: string,
  names: readonly string[],
  key: KeyObject = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey,
): Promise<Request> {
  const id = randomBytes(6).toString("hex");
  const keyFile = join(folder, `${id}.key`);
  const config = join(folder, `${id}.cnf`);
  await writeFile(keyFile, key.export({ type: "pkcs8", format: "pem" }));
  const lines = names.map((name, at) => `${name.split(":", 1)[0]}.${at} = ${name.slice(name.indexOf(":") + 1)}`);
  await writeFile(
    config,
    [
      "[req]",
      "distinguished_name = dn",
      "prompt = no",
      ...(names.length > 0 ? ["req_extensions = ext"] : []),
      "[dn]",
      "CN = anything",
      "[ext]",
      "subjectAltName = @names",
      "[names]",
      ...lines,
      "",
    ].join("\n"),
  );
  return { pem: await openssl("req", "-new", "-key", keyFile, "-config", config, "-sha256"), key };
}

/** The certificates of a PEM text. */
export function certificatesIn(pem: string): X509Certificate[] {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  return blocks.map((block) => new X509Certificate(block));
}

export function leafOf(pem: string): X509Certificate {
  const [leaf] = certificatesIn(pem);
  if (!leaf) throw new Error("no certificate");
  return leaf;
}

export const SPIFFE_ORDERS = "spiffe://posthouse/ns/prod/service/orders";
export const ORDERS = { kind: "service", namespace: "prod", name: "orders" } as const;
