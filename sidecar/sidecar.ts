/**
 * The sidecar of a host: an ingress for each service that other hosts reach over mTLS, and an egress for each upstream. A new set of
 * definitions opens and closes what changed, and touches nothing else.
 */
import { canonicalJson, TaskGroup, type Host } from "#base";
import type { DialGuard } from "#base/dial";
import type { CatalogInstance } from "#gateway/balancing";
import type { IdentitySource } from "#identity/core";
import { MeshIdentity } from "#identity/mesh";
import { REFUSAL_LOG_MS, REFUSALS_KEPT_MAX } from "./limits.ts";
import { SidecarCounters, type DeniedPair, type Denial } from "./counters.ts";
import { Egress } from "./egress.ts";
import type { UpstreamName } from "./egress-target.ts";
import { Ingress, type IngressRefusal } from "./ingress.ts";
import { OpenPort, type ListenAt } from "./open-port.ts";
import { RulesFeed, type RulesText } from "./rules-feed.ts";

export interface IngressDefinition {
  readonly host: string;
  /** 0: any free port. */
  readonly port: number;
  /** Where the service itself listens. */
  readonly local: { readonly host: string; readonly port: number };
  /** Protocol of the service, as it is registered. */
  readonly protocol: string;
  readonly lifetimeMs?: number | undefined;
}

export interface UpstreamDefinition extends UpstreamName {
  readonly at: ListenAt;
}

/** A service of this host that takes part in the mesh. */
export interface MeshService {
  /** Id of its instance. */
  readonly id: string;
  readonly namespace: string;
  readonly service: string;
  readonly zone?: string | undefined;
  readonly ingress?: IngressDefinition | undefined;
  readonly upstreams: readonly UpstreamDefinition[];
}

/** The certificate of a service, for as long as it is held. */
export interface HeldIdentitySource {
  readonly source: IdentitySource;
  readonly problem: string | undefined;
  release(): void;
}

export interface SidecarParts {
  readonly identities: { hold(name: UpstreamName): HeldIdentitySource };
  /** The instances of a service: calls the listener now if they are known, and after each change. */
  readonly instances: {
    follow(name: UpstreamName, listener: (instances: readonly CatalogInstance[]) => void): () => void;
  };
  readonly rules: RulesText;
  readonly guard: DialGuard;
  /** The ingress of an instance accepts connections from now on, or no longer. */
  readonly onIngress: (id: string, port: number | undefined) => void;
  /** For the audit: each refused caller. */
  readonly onRefused: (refusal: IngressRefusal) => void;
  /** Milliseconds for the connections under way when a listener closes. */
  readonly drainMs: number;
}

/** The state of the sidecar, for people. */
export interface SidecarView {
  readonly ingresses: readonly IngressView[];
  readonly upstreams: readonly UpstreamView[];
  readonly denials: readonly Denial[];
  readonly pairs: readonly DeniedPair[];
}

export interface IngressView {
  readonly id: string;
  readonly namespace: string;
  readonly service: string;
  /** Undefined until it is open. */
  readonly port: number | undefined;
  readonly connections: number;
  readonly certificateExpiresAtMs: number | undefined;
  readonly rulesKnown: boolean;
  readonly problem: string | undefined;
}

export interface UpstreamView {
  readonly id: string;
  readonly upstream: UpstreamName;
  readonly port: number | undefined;
  readonly socket: string | undefined;
  readonly connections: number;
  readonly endpoints: number;
  readonly problem: string | undefined;
}

interface Held {
  readonly name: UpstreamName;
  readonly identity: MeshIdentity;
  readonly holding: HeldIdentitySource;
}

interface OpenIngress {
  readonly id: string;
  readonly ingress: Ingress;
  readonly port: OpenPort;
}

interface OpenEgress {
  readonly id: string;
  readonly egress: Egress;
  readonly port: OpenPort;
  readonly at: ListenAt;
  readonly end: () => void;
}

export class Sidecar implements AsyncDisposable {
  readonly #host: Host;
  readonly #parts: SidecarParts;
  readonly #counters: SidecarCounters;
  readonly #rules: RulesFeed;
  readonly #closing: TaskGroup;
  readonly #identities = new Map<string, Held>();
  readonly #ingresses = new Map<string, OpenIngress>();
  readonly #egresses = new Map<string, OpenEgress>();
  /** When refusals were logged last, by service, reason and caller. */
  readonly #logged = new Map<string, number>();

  constructor(host: Host, parts: SidecarParts) {
    this.#host = host;
    this.#parts = parts;
    this.#counters = new SidecarCounters(host);
    this.#closing = new TaskGroup(host.log);
    this.#rules = new RulesFeed(host, parts.rules, (namespace) => {
      for (const { ingress } of this.#ingresses.values())
        if (ingress.options.namespace === namespace) ingress.recheck();
    });
  }

  /** Takes a new set of services. */
  define(services: readonly MeshService[]): void {
    const used = services.filter(({ ingress, upstreams }) => ingress !== undefined || upstreams.length > 0);
    this.#rules.follow(new Set(used.flatMap(({ ingress, namespace }) => (ingress ? [namespace] : []))));
    this.#defineIngresses(used);
    this.#defineEgresses(used);
    const names = new Set(used.map(identityKey));
    for (const [key, held] of this.#identities) {
      if (names.has(key)) continue;
      held.identity[Symbol.dispose]();
      held.holding.release();
      this.#identities.delete(key);
    }
  }

  #defineIngresses(services: readonly MeshService[]): void {
    const wanted = new Map<string, MeshService>();
    for (const one of services) if (one.ingress) wanted.set(ingressKey(one), one);
    for (const [key, open] of this.#ingresses) {
      if (wanted.has(key)) continue;
      this.#ingresses.delete(key);
      this.#closeIngress(open);
    }
    for (const [key, one] of wanted) if (!this.#ingresses.has(key)) this.#ingresses.set(key, this.#openIngress(one));
  }

  #openIngress({ id, namespace, service, ingress: definition }: MeshService): OpenIngress {
    const { host: address, port, local, protocol, lifetimeMs } = definition as IngressDefinition;
    const { identity } = this.#identityOf({ namespace, service });
    const ingress = new Ingress(
      this.#host,
      { namespace, service, local, protocol, lifetimeMs },
      {
        identity,
        counters: this.#counters,
        book: () => this.#rules.book(namespace),
        onRefused: (refusal) => this.#refused(refusal),
      },
    );
    const opened = new OpenPort(this.#host, ingress.server, { host: address, port }, () => {
      this.#host.log.info({ service, namespace, port: opened.port }, "the ingress of a service is open");
      this.#parts.onIngress(id, opened.port);
    });
    // Without a certificate it could only refuse, so it is neither open nor registered.
    const open = () => void opened.open();
    if (identity.credentials) open();
    else {
      let isFirst = true;
      identity.onChange(() => {
        if (isFirst) open();
        isFirst = false;
      });
    }
    return { id, ingress, port: opened };
  }

  #refused(refusal: IngressRefusal): void {
    this.#parts.onRefused(refusal);
    const { reason, detail, ...about } = refusal;
    const key = `${about.namespace}/${about.service}|${reason}|${about.caller ?? about.address}`;
    const nowMs = this.#host.clock.monotonic();
    if (nowMs - (this.#logged.get(key) ?? -Infinity) < REFUSAL_LOG_MS) return;
    if (this.#logged.size >= REFUSALS_KEPT_MAX) this.#logged.clear();
    this.#logged.set(key, nowMs);
    const level = reason === "reported" ? "info" : "warn";
    this.#host.log[level]({ ...about, reason }, `a caller of a service is refused: ${detail}`);
  }

  #closeIngress({ id, ingress, port }: OpenIngress): void {
    port.close();
    this.#parts.onIngress(id, undefined);
    this.#closing.run("close ingress", () => ingress.close(this.#parts.drainMs));
  }

  #defineEgresses(services: readonly MeshService[]): void {
    const wanted = new Map<string, { readonly one: MeshService; readonly upstream: UpstreamDefinition }>();
    for (const one of services)
      for (const upstream of one.upstreams) wanted.set(egressKey(one, upstream), { one, upstream });
    for (const [key, open] of this.#egresses) {
      if (wanted.has(key)) continue;
      this.#egresses.delete(key);
      this.#closeEgress(open);
    }
    for (const [key, { one, upstream }] of wanted)
      if (!this.#egresses.has(key)) this.#egresses.set(key, this.#openEgress(one, upstream));
  }

  #openEgress({ id, namespace, service, zone }: MeshService, { at, ...upstream }: UpstreamDefinition): OpenEgress {
    const { identity } = this.#identityOf({ namespace, service });
    const { guard, instances } = this.#parts;
    const egress = new Egress(this.#host, { service, upstream, zone }, { identity, counters: this.#counters, guard });
    const end = instances.follow(upstream, (list) => egress.target.replace(list));
    const port = new OpenPort(this.#host, egress.server, at, () => {});
    void port.open();
    return { id, egress, port, at, end };
  }

  #closeEgress({ egress, port, end }: OpenEgress): void {
    port.close();
    end();
    this.#closing.run("close egress", () => egress.close(this.#parts.drainMs));
  }

  #identityOf(name: UpstreamName): Held {
    const key = identityKey(name);
    const known = this.#identities.get(key);
    if (known) return known;
    const holding = this.#parts.identities.hold(name);
    const held = { name, holding, identity: new MeshIdentity(this.#host, holding.source) };
    this.#identities.set(key, held);
    return held;
  }

  view(): SidecarView {
    return {
      ingresses: [...this.#ingresses.values()].map(({ id, ingress, port }) => {
        const { namespace, service } = ingress.options;
        const held = this.#identities.get(identityKey({ namespace, service }));
        const material = held?.identity.credentials?.material;
        return {
          id,
          namespace,
          service,
          port: port.port,
          connections: ingress.connections,
          certificateExpiresAtMs: material?.expiresAtMs,
          rulesKnown: this.#rules.book(namespace) !== undefined,
          problem: port.problem ?? held?.holding.problem,
        };
      }),
      upstreams: [...this.#egresses.values()].map(({ id, egress, port, at }) => ({
        id,
        upstream: egress.options.upstream,
        port: port.port,
        socket: at.socket,
        connections: egress.connections,
        endpoints: egress.target.size,
        problem: port.problem ?? egress.problem,
      })),
      denials: this.#counters.denials,
      pairs: this.#counters.pairs,
    };
  }

  /** Closes every listener, after the connections under way or their drain. */
  async [Symbol.asyncDispose](): Promise<void> {
    const { drainMs } = this.#parts;
    for (const { port } of [...this.#ingresses.values(), ...this.#egresses.values()]) port.close();
    for (const { end } of this.#egresses.values()) end();
    await Promise.all([
      ...[...this.#ingresses.values()].map(({ ingress }) => ingress.close(drainMs)),
      ...[...this.#egresses.values()].map(({ egress }) => egress.close(drainMs)),
      this.#closing[Symbol.asyncDispose](),
    ]);
    this.#rules[Symbol.dispose]();
    for (const { identity, holding } of this.#identities.values()) {
      identity[Symbol.dispose]();
      holding.release();
    }
  }
}

function identityKey({ namespace, service }: UpstreamName): string {
  return `${namespace}/${service}`;
}

function ingressKey({ id, namespace, service, ingress }: MeshService): string {
  return canonicalJson([id, namespace, service, ingress]);
}

function egressKey({ id, namespace, service, zone }: MeshService, upstream: UpstreamDefinition): string {
  return canonicalJson([id, namespace, service, zone ?? "", upstream]);
}
