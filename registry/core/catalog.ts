/**
 * The catalog: all instances with their health, in memory. Events of the store become changes, one service at a time.
 */
import { costlyInvariant, decodeJson, invariant } from "#base";
import { isHealthy, isServing, worstOf } from "#health/core";
import {
  type CheckView,
  type Instance,
  type Panic,
  type ServiceDelta,
  type ServicePolicy,
  type ServiceSummary,
} from "../api.ts";
import { judgePanic, NO_PANIC } from "./discovery.ts";
import { parseRegistryKey, type InstanceName, type ServiceName } from "./keys.ts";
import type { InstanceRecord, VerdictRecord } from "./record.ts";
import type { ProbedCheck, StoredCheck } from "./stored-check.ts";

/** An entry of the store, with the fields that the catalog needs. */
export interface CatalogEntry {
  readonly key: string;
  readonly value: Uint8Array;
  readonly createRevision: number;
  readonly modRevision: number;
  readonly lease?: string;
}

export type CatalogEvent =
  | { readonly type: "put"; readonly entry: CatalogEntry }
  | { readonly type: "delete"; readonly key: string };

/** An instance as stored. */
interface StoredInstance {
  readonly record: InstanceRecord;
  readonly session: string | undefined;
  readonly createRevision: number;
  readonly modRevision: number;
}

interface Slot {
  /** Undefined while the catalog has only verdicts of it. */
  stored: StoredInstance | undefined;
  readonly verdicts: Map<string, VerdictRecord>;
  /** The instance as readers see it; built when it is first read after a change. */
  view: Instance | undefined;
  /** Whether its service counts it as serving, and as healthy. */
  serving: boolean;
  healthy: boolean;
}

interface Service extends ServiceName {
  readonly slots: Map<string, Slot>;
  policy: ServicePolicy | undefined;
  /** Revision of the latest change of anything in this service. */
  revision: number;
  serving: number;
  healthy: number;
}

const NO_POLICY: ServicePolicy = {};

export class Catalog {
  readonly #services = new Map<string, Service>();

  /** Applies one whole revision and returns the instances that changed, by service. */
  apply(events: readonly CatalogEvent[], revision: number): ServiceDelta[] {
    const deltas: ServiceDelta[] = [];
    for (const [service, ids] of this.#change(events, revision)) {
      const instances: Instance[] = [];
      const removed: string[] = [];
      for (const id of ids) {
        const slot = service.slots.get(id);
        if (slot?.stored) instances.push(viewOf(service, id, slot, slot.stored));
        else removed.push(id);
      }
      const { namespace, service: name } = service;
      deltas.push({ namespace, service: name, instances, removed, ...panicOf(service), ...hintsOf(service.policy) });
    }
    return deltas;
  }

  /**
   * Replaces everything by these entries. The changes in between are not known, so every service counts as changed at
   * this revision.
   */
  reset(entries: readonly CatalogEntry[], revision: number): void {
    this.#services.clear();
    this.#change(
      entries.map((entry) => ({ type: "put", entry })),
      revision,
    );
  }

  /** The services that the events change, each with the ids of its changed instances. */
  #change(events: readonly CatalogEvent[], revision: number): Map<Service, Set<string>> {
    const touched = new Map<Service, Set<string>>();
    for (const event of events) {
      const key = parseRegistryKey(event.type === "put" ? event.entry.key : event.key);
      if (!key) continue;
      const service = this.#service(key.name);
      let ids = touched.get(service);
      if (!ids) touched.set(service, (ids = new Set()));
      if (key.kind === "policy") {
        service.policy = event.type === "put" ? decodeJson(event.entry.value) : undefined;
        continue;
      }
      const slot = slotOf(service, key.name.id);
      slot.view = undefined;
      if (key.kind === "instance") slot.stored = event.type === "put" ? storedOf(event.entry) : undefined;
      else if (event.type === "put") slot.verdicts.set(key.check, decodeJson(event.entry.value));
      else slot.verdicts.delete(key.check);
      ids.add(key.name.id);
    }
    for (const [service, ids] of touched) {
      invariant(revision >= service.revision, "a service's revision only grows");
      service.revision = revision;
      for (const id of ids) recount(service, id);
      checkCounts(service);
      if (service.slots.size === 0 && !service.policy) this.#services.delete(serviceKeyOf(service));
    }
    return touched;
  }

  /** Instances of a service in order of id; empty for a service that does not exist. */
  instances(namespace: string, service: string): Instance[] {
    const found = this.#services.get(`${namespace}/${service}`);
    if (!found) return [];
    const views: Instance[] = [];
    for (const [id, slot] of found.slots) if (slot.stored) views.push(viewOf(found, id, slot, slot.stored));
    return views.sort((a, b) => (a.id < b.id ? -1 : 1));
  }

  instance({ namespace, service, id }: InstanceName): Instance | undefined {
    const found = this.#services.get(`${namespace}/${service}`);
    const slot = found?.slots.get(id);
    return found && slot?.stored ? viewOf(found, id, slot, slot.stored) : undefined;
  }

  /** Instances that are draining or stopped. Builds no views of the others. */
  *leaving(): Iterable<Instance> {
    for (const service of this.#services.values()) {
      for (const [id, slot] of service.slots) {
        const { stored } = slot;
        const lifecycle = stored?.record.lifecycle;
        if (stored && (lifecycle === "draining" || lifecycle === "stopped")) yield viewOf(service, id, slot, stored);
      }
    }
  }

  record({ namespace, service, id }: InstanceName): InstanceRecord | undefined {
    return this.#services.get(`${namespace}/${service}`)?.slots.get(id)?.stored?.record;
  }

  /** The stored record of an entry, which need not be decoded if the catalog has it at that revision. */
  recordIn(name: InstanceName, { value, modRevision }: CatalogEntry): InstanceRecord {
    const stored = this.#services.get(`${name.namespace}/${name.service}`)?.slots.get(name.id)?.stored;
    return stored?.modRevision === modRevision ? stored.record : decodeJson<InstanceRecord>(value);
  }

  /** The number of a service's instances, whatever their health. */
  size(namespace: string, service: string): number {
    return this.#services.get(`${namespace}/${service}`)?.slots.size ?? 0;
  }

  /** A service's policy; empty when none is set. */
  policy(namespace: string, service: string): ServicePolicy {
    return this.#services.get(`${namespace}/${service}`)?.policy ?? NO_POLICY;
  }

  hasPolicy(namespace: string, service: string): boolean {
    return this.#services.get(`${namespace}/${service}`)?.policy !== undefined;
  }

  panic(namespace: string, service: string): Panic {
    const found = this.#services.get(`${namespace}/${service}`);
    return found ? panicOf(found) : NO_PANIC;
  }

  /**
   * The revision of the service's last change; 0 for a service that does not exist. Two members with the same revision of
   * a service hold the same state of it, so an ETag can be made of it.
   */
  serviceRevision(namespace: string, service: string): number {
    return this.#services.get(`${namespace}/${service}`)?.revision ?? 0;
  }

  /** All services of a namespace, or of all namespaces, in order of name. Includes services that have only a policy. */
  services(namespace?: string): ServiceName[] {
    return [...this.#services.values()]
      .filter((service) => namespace === undefined || service.namespace === namespace)
      .map(({ namespace, service }) => ({ namespace, service }))
      .sort((a, b) => (a.namespace + "/" + a.service < b.namespace + "/" + b.service ? -1 : 1));
  }

  summary(namespace: string, service: string): ServiceSummary {
    const counts = { passing: 0, warning: 0, critical: 0, unknown: 0 };
    const instances = this.instances(namespace, service);
    for (const instance of instances) counts[instance.status]++;
    const draining = instances.filter(({ lifecycle }) => lifecycle === "draining").length;
    return { namespace, service, instances: instances.length, ...counts, draining };
  }

  /** Every check that the servers must probe, with its verdict. */
  *probed(): Iterable<{
    name: InstanceName;
    check: ProbedCheck;
    verdict: VerdictRecord | undefined;
  }> {
    for (const { namespace, service, slots } of this.#services.values()) {
      for (const [id, { stored, verdicts }] of slots) {
        if (stored?.record.probedBy !== "server") continue;
        for (const check of stored.record.checks) {
          if (check.type !== "ttl") yield { name: { namespace, service, id }, check, verdict: verdicts.get(check.id) };
        }
      }
    }
  }

  #service({ namespace, service }: ServiceName): Service {
    const name = serviceKeyOf({ namespace, service });
    let found = this.#services.get(name);
    if (!found) {
      found = { namespace, service, slots: new Map(), policy: undefined, revision: 0, serving: 0, healthy: 0 };
      this.#services.set(name, found);
    }
    return found;
  }
}

function serviceKeyOf({ namespace, service }: ServiceName): string {
  return `${namespace}/${service}`;
}

function slotOf({ slots }: Service, id: string): Slot {
  let slot = slots.get(id);
  if (!slot) {
    slot = { stored: undefined, verdicts: new Map(), view: undefined, serving: false, healthy: false };
    slots.set(id, slot);
  }
  return slot;
}

function storedOf({ value, lease, createRevision, modRevision }: CatalogEntry): StoredInstance {
  return { record: decodeJson(value), session: lease, createRevision, modRevision };
}

/** Counts one instance again, and removes its slot when neither a registration nor a verdict is left. */
function recount(service: Service, id: string): void {
  const slot = slotOf(service, id);
  const record = slot.stored?.record;
  const serving = record !== undefined && isServing(record);
  const healthy = record !== undefined && isHealthy({ status: statusOf(record, slot), lifecycle: record.lifecycle });
  service.serving += Number(serving) - Number(slot.serving);
  service.healthy += Number(healthy) - Number(slot.healthy);
  slot.serving = serving;
  slot.healthy = healthy;
  if (!record && slot.verdicts.size === 0) service.slots.delete(id);
}

function checkCounts({ slots, serving, healthy }: Service): void {
  invariant(
    0 <= healthy && healthy <= serving && serving <= slots.size,
    "of a service's instances some are serving, and of these some are healthy",
  );
  costlyInvariant(() => {
    const counted = [...slots.values()];
    return (
      serving === counted.filter((slot) => slot.serving).length &&
      healthy === counted.filter((slot) => slot.healthy).length
    );
  }, "a service's counts are the sums over its instances");
}

/** The policy's hints for gateways; absent when the policy has none. */
export function hintsOf({ gateway }: ServicePolicy = NO_POLICY): Pick<ServiceDelta, "gateway"> {
  return gateway ? { gateway } : {};
}

function panicOf({ serving, healthy, policy = NO_POLICY }: Service): Panic {
  return judgePanic({ serving, healthy }, policy);
}

function statusOf({ checks }: InstanceRecord, { verdicts }: Slot): Instance["status"] {
  return worstOf(checks.map((check) => statusBy(check, verdicts.get(check.id))));
}

function viewOf({ namespace, service }: Service, id: string, slot: Slot, stored: StoredInstance): Instance {
  if (slot.view) return slot.view;
  const { record, session, createRevision, modRevision } = stored;
  const { probedBy: _probedBy, checks, drainUntilMs, ...facts } = record;
  slot.view = {
    namespace,
    service,
    id,
    ...facts,
    tags: [...record.tags],
    ports: [...record.ports],
    ...(drainUntilMs === undefined ? {} : { drainUntil: new Date(drainUntilMs).toISOString() }),
    status: statusOf(record, slot),
    checks: checks.map((check) => checkView(check, slot.verdicts.get(check.id))),
    ...(session === undefined ? {} : { session }),
    createRevision,
    modRevision,
  };
  return slot.view;
}

function checkView(check: StoredCheck, verdict: VerdictRecord | undefined): CheckView {
  const { id, type } = check;
  const status = statusBy(check, verdict);
  return { id, type, status, ...(verdict ? { since: new Date(verdict.sinceMs).toISOString() } : {}) };
}

/** A TTL check without a verdict has lapsed or was never reported: critical. A probe without one never ran: unknown. */
export function statusBy({ type }: StoredCheck, verdict: VerdictRecord | undefined): CheckView["status"] {
  return verdict?.status ?? (type === "ttl" ? "critical" : "unknown");
}
