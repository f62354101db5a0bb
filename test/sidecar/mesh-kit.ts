/** A mesh for tests: an authority with an intermediate, identities that a test replaces, services, and the sidecars between them. */
import { webcrypto, X509Certificate } from "node:crypto";
import { once } from "node:events";
import { createServer, connect as netConnect, type AddressInfo, type Socket } from "node:net";
import "reflect-metadata";
import * as x509 from "@peculiar/x509";
import { DialGuard } from "#base/dial";
import { OwnListeners } from "#base/address-class";
import type { CatalogInstance } from "#gateway/balancing";
import { type IdentityMaterial, type IdentitySource, RevokedSerials } from "#identity/core";
import { Sidecar, type IngressRefusal, type MeshService } from "#sidecar";
import { eventually, testHost } from "#test/kit";

const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
x509.cryptoProvider.set(webcrypto as never);

const DAY_MS = 86_400_000;
let lastSerial = 1;

export interface IssueOptions {
  readonly notBeforeMs?: number;
  readonly notAfterMs?: number;
  /** The roots that the holder trusts; absent: the issuer's own. */
  readonly bundle?: string;
  /** In place of the SPIFFE id, such as a host name. */
  readonly names?: readonly { readonly type: "url" | "dns"; readonly value: string }[];
}

export interface MeshAuthority {
  readonly bundle: string;
  issue(spiffeId: string, options?: IssueOptions): Promise<IdentityMaterial>;
}

function makeKeys() {
  return webcrypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
}

function nextSerial(): string {
  lastSerial += 1;
  return lastSerial.toString(16).padStart(4, "0");
}

/** A root and an intermediate that signs the leaves. */
export async function meshAuthority(name = "mesh"): Promise<MeshAuthority> {
  const times = { notBefore: new Date(Date.now() - 30 * DAY_MS), notAfter: new Date(Date.now() + 30 * DAY_MS) };
  const rootKeys = await makeKeys();
  const root = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: nextSerial(),
    name: `CN=${name} root`,
    ...times,
    keys: rootKeys as never,
    signingAlgorithm: algorithm,
    extensions: [new x509.BasicConstraintsExtension(true, 1, true)],
  });
  const keys = await makeKeys();
  const intermediate = await x509.X509CertificateGenerator.create({
    serialNumber: nextSerial(),
    subject: `CN=${name} intermediate`,
    issuer: root.subject,
    ...times,
    publicKey: keys.publicKey as never,
    signingKey: rootKeys.privateKey,
    signingAlgorithm: algorithm,
    extensions: [new x509.BasicConstraintsExtension(true, 0, true)],
  });
  const bundle = root.toString("pem");
  return {
    bundle,
    async issue(spiffeId, options = {}) {
      const own = await makeKeys();
      const notAfter = new Date(options.notAfterMs ?? Date.now() + DAY_MS);
      const names = options.names ?? [{ type: "url" as const, value: spiffeId }];
      const leaf = await x509.X509CertificateGenerator.create({
        serialNumber: nextSerial(),
        subject: "CN=service",
        issuer: intermediate.subject,
        notBefore: new Date(options.notBeforeMs ?? Date.now() - DAY_MS),
        notAfter,
        publicKey: own.publicKey as never,
        signingKey: keys.privateKey,
        signingAlgorithm: algorithm,
        extensions: [new x509.SubjectAlternativeNameExtension([...names])],
      });
      const pkcs8 = Buffer.from(await webcrypto.subtle.exportKey("pkcs8", own.privateKey as never)).toString("base64");
      return {
        spiffeId,
        certificate: `${leaf.toString("pem")}\n${intermediate.toString("pem")}\n`,
        key: `-----BEGIN PRIVATE KEY-----\n${pkcs8.replaceAll(/.{64}/g, "$&\n")}\n-----END PRIVATE KEY-----\n`,
        bundle: options.bundle ?? bundle,
        expiresAtMs: notAfter.getTime(),
      };
    },
  };
}

/** The serial number of a leaf, as a trust bundle has it. */
export function serialOf({ certificate }: Pick<IdentityMaterial, "certificate">): string {
  return new X509Certificate(certificate).serialNumber.toLowerCase();
}

export interface TestIdentity extends IdentitySource {
  readonly revocations: RevokedSerials;
  set(material: IdentityMaterial | undefined): void;
}

export function testIdentity(material?: IdentityMaterial, revocations = new RevokedSerials()): TestIdentity {
  const listeners = new Set<() => void>();
  let current = material;
  return {
    revocations,
    get current() {
      return current;
    },
    set(next) {
      current = next;
      for (const listener of listeners) listener();
    },
    onChange(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
  };
}

export const spiffeOf = (service: string, namespace = "shop") =>
  `spiffe://posthouse/ns/${namespace}/service/${service}`;

export interface EchoServer extends AsyncDisposable {
  readonly port: number;
  readonly sockets: Set<Socket>;
}

/** A TCP service. Without a handler it returns what it receives, and ends when its caller does. */
export async function tcpService(
  handler: (socket: Socket) => void = (socket) => socket.pipe(socket),
): Promise<EchoServer> {
  const sockets = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    socket.once("close", () => sockets.delete(socket));
    handler(socket);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    sockets,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise<void>((resolve) => void server.close(() => resolve()));
    },
  };
}

/** The parts of the control plane that sidecars see, as a test sets them. */
export class TestMesh {
  readonly authority: MeshAuthority;
  readonly identities = new Map<string, TestIdentity>();
  /** Revoked certificates, as every sidecar knows them. */
  readonly revocations = new RevokedSerials();
  readonly #instances = new Map<string, CatalogInstance[]>();
  readonly #followers = new Map<string, Set<(instances: readonly CatalogInstance[]) => void>>();
  readonly #ruleFollowers = new Set<(text: string | undefined) => void>();
  #rules: { readonly text: string | undefined } | undefined = { text: undefined };

  constructor(authority: MeshAuthority) {
    this.authority = authority;
  }

  /** The identity of a service, with a certificate unless the test set another one before. */
  async identity(service: string): Promise<TestIdentity> {
    const known = this.identities.get(service);
    if (known) return known;
    const made = testIdentity(await this.authority.issue(spiffeOf(service)), this.revocations);
    this.identities.set(service, made);
    return made;
  }

  setRules(text: string | undefined): void {
    this.#rules = { text };
    for (const listener of this.#ruleFollowers) listener(text);
  }

  /** As before the first answer of the control plane. */
  forgetRules(): void {
    this.#rules = undefined;
  }

  setInstances(service: string, instances: CatalogInstance[]): void {
    this.#instances.set(service, instances);
    for (const listener of this.#followers.get(service) ?? []) listener(instances);
  }

  /** Sidecars of one host. */
  async sidecar(services: readonly MeshService[], drainMs = 0): Promise<TestSidecar> {
    for (const { service } of services) await this.identity(service);
    const host = testHost();
    const ports = new Map<string, number | undefined>();
    const refusals: IngressRefusal[] = [];
    const sidecar = new Sidecar(host, {
      identities: {
        hold: ({ service }) => ({
          source: this.identities.get(service) as TestIdentity,
          problem: undefined,
          release: () => {},
        }),
      },
      instances: {
        follow: ({ service }, listener) => {
          const followers = this.#followers.get(service) ?? new Set();
          this.#followers.set(service, followers.add(listener));
          const known = this.#instances.get(service);
          if (known) listener(known);
          return () => void followers.delete(listener);
        },
      },
      rules: {
        follow: (_namespace, listener) => {
          this.#ruleFollowers.add(listener);
          if (this.#rules) listener(this.#rules.text);
          return () => void this.#ruleFollowers.delete(listener);
        },
      },
      guard: new DialGuard({ loopback: true, own: new OwnListeners(() => []) }),
      onIngress: (id, port) => ports.set(id, port),
      onRefused: (refusal) => refusals.push(refusal),
      drainMs,
    });
    sidecar.define(services);
    return {
      sidecar,
      host,
      refusals,
      ports,
      ingressPort: (id) => eventually(`the ingress of ${id} is open`, () => ports.get(id)),
      upstreamPort: (index = 0) => eventually("the upstream listens", () => sidecar.view().upstreams[index]?.port),
      metrics: async () => (await host.metrics.expose()).text,
      [Symbol.asyncDispose]: () => sidecar[Symbol.asyncDispose](),
    };
  }
}

export interface TestSidecar extends AsyncDisposable {
  readonly sidecar: Sidecar;
  readonly host: ReturnType<typeof testHost>;
  readonly refusals: readonly IngressRefusal[];
  readonly ports: ReadonlyMap<string, number | undefined>;
  ingressPort(id: string): Promise<number>;
  upstreamPort(index?: number): Promise<number>;
  metrics(): Promise<string>;
}

export function ingressOf(service: string, localPort: number, protocol = "tcp"): MeshService {
  return {
    id: `${service}-1`,
    namespace: "shop",
    service,
    ingress: { host: "127.0.0.1", port: 0, local: { host: "127.0.0.1", port: localPort }, protocol },
    upstreams: [],
  };
}

export function callerOf(service: string, ...upstreams: readonly string[]): MeshService {
  return {
    id: `${service}-1`,
    namespace: "shop",
    service,
    upstreams: upstreams.map((upstream) => ({
      namespace: "shop",
      service: upstream,
      at: { host: "127.0.0.1", port: 0 },
    })),
  };
}

export function instanceAt(service: string, id: string, ingressPort: number | undefined): CatalogInstance {
  return {
    namespace: "shop",
    service,
    id,
    address: "127.0.0.1",
    port: 1,
    protocol: "tcp",
    ports: [],
    weight: 100,
    lifecycle: "serving",
    status: "passing",
    ...(ingressPort === undefined ? {} : { ingress: { port: ingressPort } }),
  };
}

/** Sends everything, ends, and returns everything that came back, with how the connection ended. */
export async function exchange(
  port: number | string,
  bytes: Buffer | string,
): Promise<{ received: Buffer; failed: boolean }> {
  const socket =
    typeof port === "number"
      ? netConnect({ port, host: "127.0.0.1", allowHalfOpen: true })
      : netConnect({ path: port, allowHalfOpen: true });
  const chunks: Buffer[] = [];
  let failed = false;
  socket.on("data", (chunk: Buffer) => chunks.push(chunk));
  socket.on("error", () => (failed = true));
  socket.end(bytes);
  await new Promise<void>((resolve) => socket.once("close", () => resolve()));
  return { received: Buffer.concat(chunks), failed };
}
