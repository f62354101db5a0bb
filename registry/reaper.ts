/**
 * Evicts instances whose check was critical for as long as the check allows, however they were registered. Every member
 * counts how long it has seen them critical, by a clock that stops while the member is paused or cut off, and the member
 * that owns an instance evicts it. So neither a jump of the wall clock nor a pause evicts an instance.
 */
import { AppError, messageOf, type CounterChild, type Family, type Host } from "#base";
import { RegistryErrors, type Instance, type ServiceDelta } from "./api.ts";
import { JUMP_SWEEPS, planEvictions, SWEEP_MS, type DueInstances, type Fleet } from "./core/eviction.ts";
import { instanceKey, type InstanceName } from "./core/keys.ts";
import { ownership } from "./core/ownership.ts";
import type { Members } from "./members.ts";
import type { Registry } from "./registry.ts";

interface TimedInstance {
  readonly name: InstanceName;
  /** By check: when it was first seen critical, and after how long its instance is evicted, in counted milliseconds. */
  readonly checks: ReadonlyMap<string, { readonly sinceMs: number; readonly afterMs: number }>;
}

export class Reaper {
  readonly #host: Host;
  readonly #registry: Registry;
  readonly #members: Members;
  readonly #evictions: Family<CounterChild>;
  readonly #brakes: Family<CounterChild>;
  /** Instances with a critical check that has a time limit. */
  readonly #timed = new Map<string, TimedInstance>();
  readonly #critical = new Set<string>();
  readonly #fleets: Fleet[] = [];
  /** Milliseconds for which this member has observed the catalog, as of the latest sweep. */
  #countedMs = 0;
  #sweptAt: number;
  #brake = "";

  constructor(host: Host, registry: Registry, members: Members) {
    this.#host = host;
    this.#registry = registry;
    this.#members = members;
    this.#sweptAt = host.clock.monotonic();
    this.#evictions = host.metrics.counter({
      name: "posthouse_registry_evictions_total",
      help: "Instances deregistered by this member because a check was critical for too long.",
    });
    this.#brakes = host.metrics.counter({
      name: "posthouse_registry_evictions_held_total",
      help: "Instances that were due for eviction in a sweep and were kept, by the brake: paused, jump or pace.",
      labelNames: ["brake"],
    });
  }

  /** Follows the registry and sweeps, until the signal aborts. Give it to a TaskGroup. */
  async run(signal: AbortSignal): Promise<void> {
    using stop = new DisposableStack();
    stop.defer(this.#registry.onChange((deltas) => (deltas.length === 0 ? this.#all() : this.#some(deltas))));
    this.#all();
    this.#sweptAt = this.#host.clock.monotonic();
    while (!signal.aborted) {
      await this.#host.clock.sleep(SWEEP_MS, signal).catch(() => {});
      if (!signal.aborted) await this.#sweep();
    }
  }

  #now(): number {
    return this.#countedMs + Math.min(SWEEP_MS, this.#host.clock.monotonic() - this.#sweptAt);
  }

  #all(): void {
    const seen = new Set<string>();
    for (const { namespace, service } of this.#registry.catalog.services()) {
      for (const instance of this.#registry.catalog.instances(namespace, service)) {
        seen.add(instanceKey(instance));
        this.#follow(instance);
      }
    }
    for (const key of this.#critical) if (!seen.has(key)) this.#forget(key);
    for (const key of this.#timed.keys()) if (!seen.has(key)) this.#forget(key);
  }

  #some(deltas: readonly ServiceDelta[]): void {
    for (const { namespace, service, instances, removed } of deltas) {
      for (const id of removed) this.#forget(instanceKey({ namespace, service, id }));
      for (const instance of instances) this.#follow(instance);
    }
  }

  #follow({ namespace, service, id, status, checks }: Instance): void {
    const name = { namespace, service, id };
    const key = instanceKey(name);
    if (status !== "critical") return this.#forget(key);
    this.#critical.add(key);
    const before = this.#timed.get(key)?.checks;
    const timed = new Map<string, { sinceMs: number; afterMs: number }>();
    for (const { id, deregisterAfterSeconds } of this.#registry.catalog.record(name)?.checks ?? []) {
      if (deregisterAfterSeconds === undefined) continue;
      if (checks.find((check) => check.id === id)?.status !== "critical") continue;
      const sinceMs = before?.get(id)?.sinceMs ?? this.#now();
      timed.set(id, { sinceMs, afterMs: deregisterAfterSeconds * 1000 });
    }
    if (timed.size > 0) this.#timed.set(key, { name, checks: timed });
    else this.#timed.delete(key);
  }

  #forget(key: string): void {
    this.#critical.delete(key);
    this.#timed.delete(key);
  }

  async #sweep(): Promise<void> {
    const nowMs = this.#host.clock.monotonic();
    const lateMs = nowMs - this.#sweptAt - SWEEP_MS;
    const watching = this.#members.current && this.#registry.connected;
    // Time without observation does not count: the instance may have been healthy meanwhile.
    if (watching) this.#countedMs = this.#now();
    this.#sweptAt = nowMs;
    if (!watching) return;
    const { catalog } = this.#registry;
    const services = catalog.services();
    const instances = services.reduce((sum, { namespace, service }) => sum + catalog.size(namespace, service), 0);
    const fleet: Fleet = { instances, critical: this.#critical.size };
    const { evict, brake } = planEvictions({ lateMs, before: this.#fleets, now: fleet, due: this.#due() });
    this.#fleets.push(fleet);
    if (this.#fleets.length > JUMP_SWEEPS) this.#fleets.shift();
    if (brake) {
      this.#brakes.labels(brake.kind).inc(brake.kept);
      if (this.#brake !== brake.kind) {
        this.#host.log.warn(
          { brake: brake.kind, kept: brake.kept },
          `${brake.kept} instances are due for eviction and kept for now: ${brake.reason}`,
        );
      }
    }
    this.#brake = brake?.kind ?? "";
    for (const { service, id } of evict) await this.#evict(`${service}/${id}`);
  }

  /** Instances that this member owns and that were critical for too long, by service, the longest first. */
  #due(): DueInstances[] {
    const owns = ownership(this.#members.list(), this.#members.id);
    const due = new Map<string, { name: InstanceName; forMs: number }[]>();
    for (const [key, { name, checks }] of this.#timed) {
      const forMs = Math.max(
        ...[...checks.values()].map(({ sinceMs, afterMs }) =>
          this.#countedMs - sinceMs >= afterMs ? this.#countedMs - sinceMs : -1,
        ),
      );
      if (forMs < 0 || !owns(key)) continue;
      const service = `${name.namespace}/${name.service}`;
      const list = due.get(service) ?? [];
      due.set(service, list);
      list.push({ name, forMs });
    }
    return [...due].map(([service, list]) => {
      const [namespace = "", name = ""] = service.split("/");
      const ids = list.toSorted((a, b) => b.forMs - a.forMs).map(({ name }) => name.id);
      return { service, size: this.#registry.catalog.size(namespace, name), ids };
    });
  }

  async #evict(path: string): Promise<void> {
    const [namespace = "", service = "", id = ""] = path.split("/");
    const name = { namespace, service, id };
    const timed = this.#timed.get(instanceKey(name));
    // Undefined when a verdict arrived while earlier instances were evicted.
    const check = timed && [...timed.checks].find(([, { sinceMs, afterMs }]) => this.#countedMs - sinceMs >= afterMs);
    if (!check) return;
    const [checkId, { afterMs }] = check;
    try {
      const output = this.#registry.history.last(instanceKey(name), checkId)?.output;
      const reason = `check "${checkId}" was critical for ${afterMs / 1000} s${output === undefined ? "" : `: ${output}`}`;
      if (await this.#registry.commands.evict(name, checkId, reason)) this.#evictions.labels().inc();
    } catch (error) {
      // Deregistered meanwhile.
      if (RegistryErrors.INSTANCE_NOT_FOUND.is(error) || RegistryErrors.CHECK_NOT_FOUND.is(error)) return;
      if (!(error instanceof AppError)) throw error;
      this.#host.log.warn({ ...name, err: error }, `not evicted yet, retrying: ${messageOf(error)}`);
    }
  }
}
