/**
 * The sidecar of this host's services: it runs what their definitions ask for, on the agent's own watches of instances and rules, and
 * registers each ingress with its instance once that is open.
 */
import type { Host } from "#base";
import { DialGuard, type DialRules } from "#base/dial";
import { type AuditSink, refusedConnection } from "#http";
import { RULES_KEY, RULES_SET, Sidecar, type IngressRefusal, type MeshService, type SidecarView } from "#sidecar";
import type { SidecarState } from "./api.ts";
import type { CatalogCache, ConfigCache, ConfigName, ServiceName } from "./caches.ts";
import type { DefinedService } from "./definitions.ts";
import type { ServiceIdentities } from "./service-identities.ts";

const UPSTREAM_HOST = "127.0.0.1";
const SOCKET_MODE = "0600";

export interface HostSidecarParts {
  readonly identities: ServiceIdentities;
  readonly catalogs: CatalogCache;
  readonly rules: ConfigCache;
  readonly dial: DialRules;
  readonly audit: AuditSink | undefined;
  readonly drainMs: number;
  readonly onIngress: (id: string, port: number | undefined) => void;
}

export class HostSidecar implements AsyncDisposable {
  readonly #host: Host;
  readonly #parts: HostSidecarParts;
  readonly #sidecar: Sidecar;
  readonly #catalogListeners = new Map<string, Set<() => void>>();
  readonly #rulesListeners = new Map<string, () => void>();

  constructor(host: Host, parts: HostSidecarParts) {
    this.#host = host;
    this.#parts = parts;
    this.#sidecar = new Sidecar(host, {
      identities: parts.identities,
      instances: {
        follow: (name, listener) =>
          this.#follow(name, () => {
            const known = parts.catalogs.peek(name);
            if (known) listener(known.value.instances);
          }),
      },
      rules: {
        follow: (namespace, listener) => {
          const name = rulesSet(namespace);
          const tell = () => {
            const known = parts.rules.peek(name);
            if (known) listener(textOf(known.value.items));
          };
          this.#rulesListeners.set(namespace, tell);
          tell();
          return () => void this.#rulesListeners.delete(namespace);
        },
      },
      // A loopback address is as safe as any other: the certificate must be the upstream's.
      guard: new DialGuard({ ...parts.dial, loopback: true }),
      onIngress: parts.onIngress,
      onRefused: (refusal) => this.#refused(refusal),
      drainMs: parts.drainMs,
    });
  }

  #follow({ namespace, service }: ServiceName, tell: () => void): () => void {
    const key = `${namespace}/${service}`;
    const listeners = this.#catalogListeners.get(key) ?? new Set();
    this.#catalogListeners.set(key, listeners.add(tell));
    tell();
    return () => void listeners.delete(tell);
  }

  /** Takes the services of the definition files. */
  define(services: readonly DefinedService[]): void {
    const mesh = services.flatMap((service) => meshServiceOf(service) ?? []);
    this.#parts.catalogs.pin(mesh.flatMap(({ upstreams }) => upstreams));
    const namespaces = new Set(mesh.flatMap(({ ingress, namespace }) => (ingress ? [namespace] : [])));
    this.#parts.rules.pin([...namespaces].map(rulesSet));
    this.#sidecar.define(mesh);
  }

  /** The instances of a service have changed. */
  catalogChanged({ namespace, service }: ServiceName): void {
    for (const tell of this.#catalogListeners.get(`${namespace}/${service}`) ?? []) tell();
  }

  rulesChanged({ namespace }: Pick<ConfigName, "namespace">): void {
    this.#rulesListeners.get(namespace)?.();
  }

  #refused({ namespace, service, address, caller, reason }: IngressRefusal): void {
    const { audit } = this.#parts;
    if (!audit || reason === "reported") return;
    audit.record(
      refusedConnection(this.#host, {
        ...(caller === undefined ? {} : { principal: { id: caller, name: caller, kind: "certificate" as const } }),
        address,
        resource: { namespace, service },
        route: "sidecar",
        status: reason === "denied" ? 403 : 401,
        code: `SIDECAR_${reason.replaceAll("-", "_").toUpperCase()}`,
      }),
    );
  }

  state(): SidecarState {
    return stateOf(this.#sidecar.view());
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#sidecar[Symbol.asyncDispose]();
  }
}

function rulesSet(namespace: string): ConfigName {
  return { namespace, ...RULES_SET };
}

function textOf(items: Readonly<Record<string, { readonly value: string }>>): string | undefined {
  return Object.hasOwn(items, RULES_KEY) ? items[RULES_KEY]?.value : undefined;
}

function meshServiceOf({ name, registration, sidecar }: DefinedService): MeshService | undefined {
  if (!sidecar) return undefined;
  const { namespace, service, id } = name;
  const { address, port, protocol = "http", zone } = registration;
  const { ingress, upstreams = [] } = sidecar;
  return {
    id,
    namespace,
    service,
    ...(zone === undefined ? {} : { zone }),
    ...(ingress === undefined
      ? {}
      : {
          ingress: {
            host: ingress.address ?? address,
            port: ingress.port ?? 0,
            local: { host: ingress.localAddress ?? UPSTREAM_HOST, port: ingress.localPort ?? port },
            protocol,
            ...(ingress.lifetimeSeconds === undefined ? {} : { lifetimeMs: ingress.lifetimeSeconds * 1000 }),
          },
        }),
    upstreams: upstreams.map(
      ({ service: upstream, namespace: of = namespace, port: at, socket, mode = SOCKET_MODE }) => ({
        namespace: of,
        service: upstream,
        at: socket === undefined ? { host: UPSTREAM_HOST, port: at ?? 0 } : { socket, mode: Number.parseInt(mode, 8) },
      }),
    ),
  };
}

const time = (atMs: number) => new Date(atMs).toISOString();

function stateOf({ ingresses, upstreams, denials, pairs }: SidecarView): SidecarState {
  return {
    ingresses: ingresses.map(({ port, certificateExpiresAtMs, problem, ...rest }) => ({
      ...rest,
      ...(port === undefined ? {} : { port }),
      ...(certificateExpiresAtMs === undefined ? {} : { certificateExpiresAt: time(certificateExpiresAtMs) }),
      ...(problem === undefined ? {} : { problem }),
    })),
    upstreams: upstreams.map(({ upstream, port, socket, problem, ...rest }) => ({
      ...rest,
      ...upstream,
      ...(port === undefined ? {} : { port }),
      ...(socket === undefined ? {} : { socket }),
      ...(problem === undefined ? {} : { problem }),
    })),
    denials: denials.map(({ atMs, explanation, ...rest }) => ({ ...rest, at: time(atMs), why: explanation })),
    pairs: pairs.map(({ lastAtMs, ...rest }) => ({ ...rest, lastAt: time(lastAtMs) })),
  };
}
