/**
 * A control plane in memory at the client's seam: sessions, instances, verdicts, configs and their watches, with the
 * registry's own codes. It can be cut off, and it can lose everything.
 */
import { setTimeout } from "node:timers/promises";
import type { AppError } from "#base";
import type { ControlPlane } from "#agent";
import { ClientErrors, type CallOptions, type InstanceName, type StreamOptions } from "#client";
import type { Frame } from "#http/frames";
import {
  RegistryErrors,
  type Instance,
  type Lifecycle,
  type Registration,
  type Report,
  type ServiceDelta,
} from "#registry/api";
import type { Acknowledge, EffectiveConfig, SetName } from "#config-server/api";

interface Stored {
  readonly name: InstanceName;
  registration: Registration;
  modRevision: number;
  verdicts: Map<string, Report["status"]>;
}

export class FakeControlPlane {
  /** False: nothing answers, and watches are cut. */
  up = true;
  /** Refuses registrations of this service. */
  refuses: string | undefined;
  revision = 1;
  #sessions = 0;
  readonly sessions = new Set<string>();
  readonly stored = new Map<string, Stored>();
  readonly configs = new Map<string, EffectiveConfig>();
  readonly calls: string[] = [];
  /** Every acknowledgement that was received. */
  readonly acknowledged: (Acknowledge & { readonly app: string; readonly subscriber: string })[] = [];
  /** No watcher receives changes by push while this is set. */
  mute = false;
  /** Watchers receive the change of a call before its caller has the answer. */
  answersLate = false;
  readonly #wakes = new Set<() => void>();

  instance(id: string): Instance | undefined {
    const found = [...this.stored.values()].find(({ name }) => name.id === id);
    return found && this.#view(found);
  }

  ids(): string[] {
    return [...this.stored.values()].map(({ name }) => name.id).sort();
  }

  /** Ends a session, with everything attached to it. */
  lapse(session: string): void {
    this.sessions.delete(session);
    for (const [key, { registration }] of this.stored) if (registration.session === session) this.stored.delete(key);
    this.#changed();
  }

  /** As after a restart with an empty data folder. */
  loseEverything(): void {
    this.sessions.clear();
    this.stored.clear();
    this.#changed();
  }

  setUp(up: boolean): void {
    this.up = up;
    this.#changed();
  }

  release(name: { namespace: string; app: string; profile: string }, values: Record<string, string>): void {
    const revision = ++this.revision;
    const origin = { profile: name.profile, version: revision };
    const items = Object.fromEntries(
      Object.entries(values).map(([key, value]) => [key, { format: "text" as const, value, origin }]),
    );
    this.configs.set(`${name.namespace}/${name.app}/${name.profile}`, {
      ...name,
      releaseKey: `key-${revision}`,
      revision,
      items,
    });
    this.#changed();
  }

  setLifecycle(id: string, lifecycle: Lifecycle): void {
    for (const stored of this.stored.values()) {
      if (stored.name.id !== id) continue;
      stored.registration = { ...stored.registration, lifecycle };
      stored.modRevision = ++this.revision;
    }
    this.#changed();
  }

  setWeight(id: string, weight: number): void {
    for (const stored of this.stored.values()) {
      if (stored.name.id !== id) continue;
      stored.registration = { ...stored.registration, weight };
      stored.modRevision = ++this.revision;
    }
    this.#changed();
  }

  put(name: InstanceName, { verdicts: found = [], ...registration }: Registration): void {
    const key = keyOf(name);
    const known = this.stored.get(key);
    for (const { check, status } of found) known?.verdicts.set(check, status);
    if (known && JSON.stringify(known.registration) === JSON.stringify(registration)) return;
    const ids = new Set(registration.checks?.map(({ id }) => id));
    const verdicts = new Map([...(known?.verdicts ?? [])].filter(([id]) => ids.has(id)));
    for (const { check, status } of found) verdicts.set(check, status);
    this.stored.set(key, { name, registration, modRevision: ++this.revision, verdicts });
    this.#changed();
  }

  /** The client that an agent is given. */
  client(): ControlPlane {
    const registry = {
      register: (name: InstanceName, body: Registration, options: CallOptions) =>
        this.#call(`register ${name.id}`, options, () => {
          if (body.session !== undefined && !this.sessions.has(body.session)) throw noSession();
          if (name.service === this.refuses) throw RegistryErrors.SERVICE_FULL(`"${name.service}" is full.`);
          const created = !this.stored.has(keyOf(name));
          this.put(name, body);
          return { revision: this.revision, created };
        }),
      deregister: (name: InstanceName, options: CallOptions) =>
        this.#call(`deregister ${name.id}`, options, () => {
          if (!this.stored.delete(keyOf(name))) throw RegistryErrors.INSTANCE_NOT_FOUND(`No "${name.id}".`);
          this.#changed();
          return { revision: ++this.revision };
        }),
      report: (name: InstanceName, check: string, { status }: Report, options: CallOptions) =>
        this.#call(`report ${name.id} ${check} ${status}`, options, () => {
          const stored = this.stored.get(keyOf(name));
          if (!stored) throw RegistryErrors.INSTANCE_NOT_FOUND(`No "${name.id}".`);
          if (!stored.registration.checks?.some(({ id }) => id === check)) throw RegistryErrors.CHECK_NOT_FOUND(check);
          stored.verdicts.set(check, status);
          this.#changed();
          return { revision: ++this.revision };
        }),
      openSession: (_ttlSeconds: number, options: CallOptions) =>
        this.#call("openSession", options, () => {
          const id = `session-${++this.#sessions}`;
          this.sessions.add(id);
          return { id, ttlSeconds: 30 };
        }),
      heartbeat: (id: string, options: CallOptions) =>
        this.#call(`heartbeat ${id}`, options, () => {
          if (!this.sessions.has(id)) throw noSession();
          return { id, ttlSeconds: 30 };
        }),
      closeSession: (id: string, options: CallOptions) =>
        this.#call(`closeSession ${id}`, options, () => {
          if (!this.sessions.has(id)) throw noSession();
          this.lapse(id);
        }),
      instances: ({ namespace, service }: { namespace: string; service: string }, options: CallOptions) =>
        this.#call(`instances ${service}`, options, () => ({
          revision: this.revision,
          instances: this.#instances(namespace, service),
        })),
      watch: ({ namespace, services = [] }: { namespace: string; services?: readonly string[] }, o: StreamOptions) => {
        const [service = ""] = services;
        const seen = new Set<string>();
        return this.#watch<ServiceDelta>(o, () => {
          const instances = this.#instances(namespace, service);
          const removed = [...seen.difference(new Set(instances.map(({ id }) => id)))];
          for (const { id } of instances) seen.add(id);
          return { namespace, service, instances, removed, panic: false };
        });
      },
    };
    const config = {
      acknowledge: ({ app }: SetName, subscriber: string, body: Acknowledge, options: CallOptions) =>
        this.#call(`acknowledge ${app} ${body.outcome}`, options, () => {
          if (body.session !== undefined && !this.sessions.has(body.session)) throw noSession();
          this.acknowledged.push({ app, subscriber, ...body });
        }),
      effectiveOtherThan: (name: SetName, releaseKey: string, options: CallOptions) =>
        this.#call(`effective ${name.app}`, options, () => {
          const found = this.configs.get(`${name.namespace}/${name.app}/${name.profile}`);
          return found?.releaseKey === releaseKey ? undefined : found;
        }),
      watch: (name: { namespace: string; app: string; profile: string }, options: StreamOptions) =>
        this.#watch<EffectiveConfig>(
          options,
          () =>
            this.configs.get(`${name.namespace}/${name.app}/${name.profile}`) ?? {
              ...name,
              releaseKey: "none",
              revision: 0,
              items: {},
            },
        ),
    };
    return { registry, config } as unknown as ControlPlane;
  }

  #instances(namespace: string, service: string): Instance[] {
    return [...this.stored.values()]
      .filter(({ name }) => name.namespace === namespace && name.service === service)
      .map((stored) => this.#view(stored));
  }

  #view({ name, registration, modRevision, verdicts }: Stored): Instance {
    const { address, port, protocol = "http", tags = [], metadata = {}, weight = 100, zone, session } = registration;
    const checks = (registration.checks ?? []).map(({ id, type }) => ({
      id,
      type,
      status: verdicts.get(id) ?? (type === "ttl" ? ("critical" as const) : ("unknown" as const)),
    }));
    const status = checks.find((check) => check.status !== "passing")?.status ?? "passing";
    return {
      ...name,
      address,
      port,
      protocol,
      tags,
      metadata,
      weight,
      ...(zone === undefined ? {} : { zone }),
      ports: [],
      lifecycle: registration.lifecycle ?? "serving",
      status,
      checks,
      ...(session === undefined ? {} : { session }),
      createRevision: 1,
      modRevision,
    };
  }

  async #call<T>(name: string, { signal }: CallOptions = {}, answer: () => T): Promise<T> {
    this.calls.push(name);
    await setTimeout(1);
    signal?.throwIfAborted();
    if (!this.up) throw ClientErrors.UNREACHABLE("No answer from http://127.0.0.1:8500.");
    const answered = answer();
    if (this.answersLate) await setTimeout(1);
    return answered;
  }

  /** Frames as the real stream's: a snapshot, synced, the whole again at each change; a reset after a cut. */
  async *#watch<Data>(options: StreamOptions, take: () => Data): AsyncGenerator<Frame<Data>> {
    const { signal, onState } = options;
    let last: string | undefined;
    let connected = false;
    while (!signal.aborted) {
      if (this.up) {
        const data = structuredClone(take());
        const { revision } = this;
        if (!connected) {
          onState?.("connected");
          if (last !== undefined) yield { event: "reset", revision };
          yield { event: "snapshot", revision, data };
          yield { event: "synced", revision };
        } else if (this.mute) {
          await this.#nextChange(signal);
          continue;
        } else if (JSON.stringify(data) !== last) yield { event: "delta", revision, data };
        connected = true;
        last = JSON.stringify(data);
      } else if (connected) {
        connected = false;
        onState?.("disconnected", ClientErrors.UNREACHABLE("cut"));
      }
      await this.#nextChange(signal);
    }
  }

  #nextChange(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        this.#wakes.delete(done);
        signal.removeEventListener("abort", done);
        resolve();
      };
      this.#wakes.add(done);
      signal.addEventListener("abort", done, { once: true });
      if (signal.aborted) done();
    });
  }

  #changed(): void {
    for (const wake of this.#wakes) wake();
  }
}

function keyOf({ namespace, service, id }: InstanceName): string {
  return `${namespace}/${service}/${id}`;
}

function noSession(): AppError {
  return RegistryErrors.SESSION_NOT_FOUND("The session has lapsed.");
}
