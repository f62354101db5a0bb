/**
 * Follows drains until every subscriber has seen them. Each member checks its own subscribers, and writes to the store when
 * all of them have seen a drain. A drain is seen when every member has written so. Nothing is polled: acknowledgements, and
 * members that leave, trigger the next check.
 */
import { AppError, decodeJson, encodeJson, messageOf, Trigger, Waiters, type Host } from "#base";
import { type Store, View } from "#store";
import { RegistryErrors, type Drain, type Instance } from "./api.ts";
import type { Commander } from "./core/commands/commander.ts";
import { instanceNotFound, requireRevision } from "./core/commands/plan.ts";
import type { InstanceName } from "./core/keys.ts";
import type { Members } from "./members.ts";
import type { Registry } from "./registry.ts";
import { topicsOf } from "./topics.ts";

const PREFIX = "/cluster/drains/";
/** Milliseconds after which failed writes are retried and deadlines are checked. */
const CHECK_MS = 1_000;

interface TrackedDrain {
  readonly name: InstanceName;
  /** The registration's revision when this member first saw it drain. */
  readonly revision: number;
  /** Tells this drain from another one of the instance: its deadline, or 0 without one. */
  readonly drain: number;
  /** Whether this member has written to the store that its subscribers have seen it. */
  isWritten: boolean;
  /** Whether its deadline has passed. Subscribers that have not seen it by then are still listed. */
  isOver: boolean;
}

export class Drains {
  readonly #host: Host;
  readonly #store: Store;
  readonly #registry: Registry;
  readonly #members: Members;
  readonly #view: View;
  readonly #tracked = new Map<string, TrackedDrain>();
  /** By instance and member: the drain that all subscribers of the member have seen. */
  readonly #seen = new Map<string, number>();
  readonly #wake = new Trigger();
  readonly #waiters = new Waiters();

  constructor(host: Host, store: Store, registry: Registry, members: Members) {
    this.#host = host;
    this.#store = store;
    this.#registry = registry;
    this.#members = members;
    this.#view = new View(host, store, {
      name: "drains",
      prefix: PREFIX,
      reset: (entries) => {
        this.#seen.clear();
        for (const { key, value } of entries) this.#seen.set(key, decodeJson(value));
        this.#changed();
      },
      apply: ({ events }) => {
        for (const event of events) {
          if (event.type === "put") this.#seen.set(event.entry.key, decodeJson(event.entry.value));
          else this.#seen.delete(event.key);
        }
        if (events.length > 0) this.#changed();
      },
    });
    registry.onChange((deltas) => {
      if (deltas.length === 0) this.#followAll();
      for (const { namespace, service, instances, removed } of deltas) {
        for (const instance of instances) this.#follow(instance);
        for (const id of removed) this.#untrack({ namespace, service, id });
      }
      if (this.#tracked.size > 0) this.#changed();
    });
    registry.hub.onSeen(() => {
      if (this.#tracked.size > 0) this.#changed();
    });
    members.onChange(() => this.#changed());
  }

  /** Follows the store, and writes what the subscribers of this member have seen, until the signal aborts. Give it to a TaskGroup. */
  async run(signal: AbortSignal): Promise<void> {
    await Promise.all([this.#view.run(signal), this.#write(signal)]);
  }

  /** @throws REGISTRY_INSTANCE_NOT_FOUND */
  status(name: InstanceName): Drain {
    const instance = this.#registry.catalog.instance(name);
    if (!instance) throw instanceNotFound(name);
    const { lifecycle, drainUntil, modRevision } = instance;
    const tracked = this.#tracked.get(pathOf(name));
    const revision = tracked?.revision ?? modRevision;
    const waitingFor = tracked ? this.#waitingFor(tracked) : [];
    const seen = waitingFor.length === 0;
    return { lifecycle, ...(drainUntil === undefined ? {} : { drainUntil }), revision, seen, waitingFor };
  }

  /** The drain once every subscriber has seen it, or after the time given. @throws REGISTRY_INSTANCE_NOT_FOUND */
  async wait(name: InstanceName, ms: number, signal: AbortSignal): Promise<Drain> {
    const untilMs = this.#host.clock.monotonic() + ms;
    for (;;) {
      const status = this.status(name);
      const leftMs = untilMs - this.#host.clock.monotonic();
      // An instance that is not leaving has no drain to be seen yet, so this also waits for a drain to begin.
      const isLeaving = status.lifecycle === "draining" || status.lifecycle === "stopped";
      if ((status.seen && isLeaving) || leftMs <= 0 || signal.aborted) return status;
      await this.#waiters.wait({ limit: { clock: this.#host.clock, ms: leftMs }, signal });
    }
  }

  /**
   * Drains, waits until every subscriber has seen it or for the time given, and deregisters.
   * @throws REGISTRY_INSTANCE_NOT_FOUND, REGISTRY_REVISION_MISMATCH
   */
  async deregister(
    name: InstanceName,
    options: {
      by: Commander;
      ifRevision: number | undefined;
      owner: string | undefined;
      drainMs: number;
      signal: AbortSignal;
    },
  ): Promise<{ revision: number; seen: boolean; waitingFor: string[] }> {
    const { by, ifRevision, owner, drainMs, signal } = options;
    const known = this.#registry.catalog.instance(name);
    // The deregistration itself would find the mismatch only after the drain.
    if (known) requireRevision(name, known, ifRevision);
    const { revision } = await this.#registry.commands.setLifecycle(name, "draining", { by, drainMs });
    await this.#registry.waitFor(revision, signal);
    const { seen, waitingFor } = await this.wait(name, drainMs, signal);
    // The caller has disconnected and may have changed its mind: the drain goes on up to its deadline.
    signal.throwIfAborted();
    const done = await this.#registry.commands.deregister(name, { by, owner });
    return { revision: done.revision, seen, waitingFor };
  }

  #waitingFor({ name, revision, drain }: TrackedDrain): string[] {
    const own = this.#registry.hub.unseen(topicsOf(name), revision);
    const others = this.#members
      .list()
      .filter((member) => member !== this.#members.id && this.#seen.get(drainKeyOf(name, member)) !== drain)
      .map((member) => `member ${member}`);
    return [...own, ...others];
  }

  #followAll(): void {
    const before = new Set(this.#tracked.keys());
    for (const instance of this.#registry.catalog.leaving()) {
      this.#follow(instance);
      before.delete(pathOf(instance));
    }
    for (const path of before) this.#untrack((this.#tracked.get(path) as TrackedDrain).name);
  }

  #follow(instance: Instance): void {
    const { namespace, service, id, modRevision: revision } = instance;
    const name = { namespace, service, id };
    if (instance.lifecycle === "stopped") return;
    if (instance.lifecycle !== "draining") return this.#untrack(name);
    const drain = instance.drainUntil === undefined ? 0 : Date.parse(instance.drainUntil);
    const known = this.#tracked.get(pathOf(name));
    if (known?.drain !== drain)
      this.#tracked.set(pathOf(name), { name, revision, drain, isWritten: false, isOver: false });
  }

  #untrack(name: InstanceName): void {
    if (this.#tracked.size === 0 || !this.#tracked.delete(pathOf(name))) return;
    this.#changed();
  }

  #changed(): void {
    this.#wake.fire();
    this.#waiters.wakeAll();
  }

  async #write(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      let again = this.#tracked.size > 0;
      try {
        await this.#writeOnce();
      } catch (error) {
        if (!(error instanceof AppError)) throw error;
        this.#host.log.debug({ err: error }, `drains not written yet, retrying: ${messageOf(error)}`);
        again = true;
      }
      const cancel = again ? this.#host.clock.after(CHECK_MS, () => this.#wake.fire()) : () => {};
      await this.#wake.wait(signal);
      cancel();
    }
  }

  async #writeOnce(): Promise<void> {
    const nowMs = this.#host.clock.now();
    const { lease, id: member } = this.#members;
    const alone = this.#members.list().every((other) => other === member);
    for (const tracked of this.#tracked.values()) {
      const { name, revision, drain } = tracked;
      if (!tracked.isOver && drain > 0 && drain <= nowMs) {
        await this.#registry.commands.endDrain(name).catch((error: unknown) => {
          if (!RegistryErrors.INSTANCE_NOT_FOUND.is(error)) throw error;
        });
        tracked.isOver = true;
      }
      // Without other members, no member reads what this one would write.
      if (tracked.isWritten || alone || lease === undefined) continue;
      if (this.#registry.hub.unseen(topicsOf(name), revision).length > 0) continue;
      await this.#store.txn({
        then: [{ type: "put", key: drainKeyOf(name, member), value: encodeJson(drain), lease }],
      });
      tracked.isWritten = true;
    }
    for (const key of this.#seen.keys()) {
      const [, , , namespace = "", service = "", id = "", writer] = key.split("/");
      if (writer !== member || this.#tracked.has(pathOf({ namespace, service, id }))) continue;
      await this.#store.txn({ then: [{ type: "delete", key }] });
      this.#seen.delete(key);
    }
  }
}

function pathOf({ namespace, service, id }: InstanceName): string {
  return `${namespace}/${service}/${id}`;
}

function drainKeyOf(name: InstanceName, member: string): string {
  return `${PREFIX}${pathOf(name)}/${member}`;
}
