/**
 * The catalog: who is where, and is it well. Events of the store become what changed, one service at a time. It holds
 * everything in memory and touches nothing else.
 */
import { decodeJson } from "#base";
import { worstOf } from "#health/core";
import type { CheckView, Instance, ServiceDelta, ServiceSummary } from "../api.ts";
import { parseKey, type InstanceName } from "./keys.ts";
import type { InstanceRecord, VerdictRecord } from "./record.ts";
import type { StoredCheck } from "./stored-check.ts";

/** An entry of the store, as much of it as the catalog needs. */
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

interface Slot {
  record: InstanceRecord | undefined;
  session: string | undefined;
  createRevision: number;
  modRevision: number;
  readonly verdicts: Map<string, VerdictRecord>;
  /** The instance as everyone sees it; made when first asked for after a change. */
  view: Instance | undefined;
}

interface Service {
  readonly namespace: string;
  readonly service: string;
  readonly slots: Map<string, Slot>;
}

export class Catalog {
  readonly #services = new Map<string, Service>();

  /** Applies one whole revision, and says which instances are different now, service by service. */
  apply(events: readonly CatalogEvent[]): ServiceDelta[] {
    const touched = new Map<string, { service: Service; ids: Set<string> }>();
    for (const event of events) {
      const name = this.#applyOne(event);
      if (!name) continue;
      const key = `${name.namespace}/${name.service}`;
      const service = this.#services.get(key) as Service;
      const entry = touched.get(key) ?? { service, ids: new Set() };
      entry.ids.add(name.id);
      touched.set(key, entry);
    }
    const deltas: ServiceDelta[] = [];
    for (const [key, { service, ids }] of touched) {
      const instances: Instance[] = [];
      const removed: string[] = [];
      for (const id of ids) {
        const slot = service.slots.get(id);
        if (slot?.record) instances.push(viewOf(service, id, slot));
        else removed.push(id);
        if (slot && !slot.record && slot.verdicts.size === 0) service.slots.delete(id);
      }
      if (service.slots.size === 0) this.#services.delete(key);
      deltas.push({ namespace: service.namespace, service: service.service, instances, removed });
    }
    return deltas;
  }

  /** Forgets all and starts from these entries. */
  reset(entries: readonly CatalogEntry[]): void {
    this.#services.clear();
    this.apply(entries.map((entry) => ({ type: "put", entry })));
  }

  /** Instances of a service in order of id; none when nobody knows it. */
  instances(namespace: string, service: string): Instance[] {
    const found = this.#services.get(`${namespace}/${service}`);
    if (!found) return [];
    const views: Instance[] = [];
    for (const [id, slot] of found.slots) if (slot.record) views.push(viewOf(found, id, slot));
    return views.sort((a, b) => (a.id < b.id ? -1 : 1));
  }

  instance({ namespace, service, id }: InstanceName): Instance | undefined {
    const found = this.#services.get(`${namespace}/${service}`);
    const slot = found?.slots.get(id);
    return found && slot?.record ? viewOf(found, id, slot) : undefined;
  }

  record({ namespace, service, id }: InstanceName): InstanceRecord | undefined {
    return this.#services.get(`${namespace}/${service}`)?.slots.get(id)?.record;
  }

  /** Instances of a service, whatever their health, without making a list. */
  size(namespace: string, service: string): number {
    return this.#services.get(`${namespace}/${service}`)?.slots.size ?? 0;
  }

  /** All services of a namespace, or of all, in order of name. */
  services(namespace?: string): { namespace: string; service: string }[] {
    return [...this.#services.values()]
      .filter((service) => namespace === undefined || service.namespace === namespace)
      .map(({ namespace, service }) => ({ namespace, service }))
      .sort((a, b) => (a.namespace + "/" + a.service < b.namespace + "/" + b.service ? -1 : 1));
  }

  summary(namespace: string, service: string): ServiceSummary {
    const counts = { passing: 0, warning: 0, critical: 0, unknown: 0 };
    const instances = this.instances(namespace, service);
    for (const instance of instances) counts[instance.status]++;
    const draining = instances.filter((instance) => instance.draining).length;
    return { namespace, service, instances: instances.length, ...counts, draining };
  }

  /** Every instance that the servers probe, with its HTTP checks and their verdicts. */
  *probed(): Iterable<{
    name: InstanceName;
    check: StoredCheck & { type: "http" };
    verdict: VerdictRecord | undefined;
  }> {
    for (const { namespace, service, slots } of this.#services.values()) {
      for (const [id, slot] of slots) {
        if (slot.record?.probedBy !== "server") continue;
        for (const check of slot.record.checks) {
          if (check.type === "http") {
            yield { name: { namespace, service, id }, check, verdict: slot.verdicts.get(check.id) };
          }
        }
      }
    }
  }

  #applyOne(event: CatalogEvent): InstanceName | undefined {
    const key = parseKey(event.type === "put" ? event.entry.key : event.key);
    if (!key) return undefined;
    const slot = this.#slot(key.name);
    slot.view = undefined;
    if (key.kind === "verdict") {
      if (event.type === "put") slot.verdicts.set(key.check, decodeJson(event.entry.value));
      else slot.verdicts.delete(key.check);
    } else if (event.type === "put") {
      slot.record = decodeJson(event.entry.value);
      slot.session = event.entry.lease;
      slot.createRevision = event.entry.createRevision;
      slot.modRevision = event.entry.modRevision;
    } else {
      slot.record = undefined;
    }
    return key.name;
  }

  #slot({ namespace, service, id }: InstanceName): Slot {
    const key = `${namespace}/${service}`;
    let found = this.#services.get(key);
    if (!found) this.#services.set(key, (found = { namespace, service, slots: new Map() }));
    let slot = found.slots.get(id);
    if (!slot) {
      slot = {
        record: undefined,
        session: undefined,
        createRevision: 0,
        modRevision: 0,
        verdicts: new Map(),
        view: undefined,
      };
      found.slots.set(id, slot);
    }
    return slot;
  }
}

function viewOf({ namespace, service }: Service, id: string, slot: Slot): Instance {
  if (slot.view) return slot.view;
  const record = slot.record as InstanceRecord;
  const checks = record.checks.map((check) => checkView(check, slot.verdicts.get(check.id)));
  const { probedBy: _probedBy, checks: _checks, ...facts } = record;
  slot.view = {
    namespace,
    service,
    id,
    ...facts,
    tags: [...record.tags],
    status: worstOf(checks.map((check) => check.status)),
    checks,
    ...(slot.session === undefined ? {} : { session: slot.session }),
    createRevision: slot.createRevision,
    modRevision: slot.modRevision,
  };
  return slot.view;
}

/** A TTL check without a verdict has lapsed or was never reported: critical. A probe without one never ran: unknown. */
function checkView(check: StoredCheck, verdict: VerdictRecord | undefined): CheckView {
  const { id, type } = check;
  if (!verdict) return { id, type, status: type === "ttl" ? "critical" : "unknown" };
  return { id, type, status: verdict.status, since: new Date(verdict.sinceMs).toISOString() };
}
