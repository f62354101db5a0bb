/**
 * Follows drains until everyone who must know of them does. Each member asks the subscribers that it has itself and says
 * in the store when all of them have seen it; a drain is seen when every member has said so. Nobody is asked again and
 * again: acknowledgements, and members that go, wake it.
 */
import { AppError, decodeJson, encodeJson, messageOf, Trigger, type Host } from "#base";
import { type Store, View } from "#store";
import { RegistryErrors, type Drain, type Instance } from "./api.ts";
import type { Commander } from "./core/commands/commander.ts";
import { instanceNotFound, requireRevision } from "./core/commands/plan.ts";
import type { InstanceName } from "./core/keys.ts";
import type { Members } from "./members.ts";
import type { Registry } from "./registry.ts";
import { topicsOf } from "./topics.ts";

const PREFIX = "/cluster/drains/";
/** Milliseconds after which what could not be written is tried again, and deadlines are looked at. */
const LOOK_MS = 1_000;

interface Tracked {
  readonly name: InstanceName;
  /** The registration's revision when this member first saw it drain. */
  readonly revision: number;
  /** One drain of an instance from another: its deadline, or 0 when it has none. */
  readonly drain: number;
  /** Whether this member has said in the store that its subscribers have seen it. */
  said: boolean;
  /** Whether its deadline has passed; who has not seen it by then is still named. */
  over: boolean;
}

export class Drains {
  readonly #host: Host;
  readonly #store: Store;
  readonly #registry: Registry;
  readonly #members: Members;
  readonly #view: View;
  readonly #tracked = new Map<string, Tracked>();
  /** By instance and member: the drain that the member's subscribers have all seen. */
  readonly #said = new Map<string, number>();
  readonly #wake = new Trigger();
  readonly #waiters = new Set<() => void>();

  constructor(host: Host, store: Store, registry: Registry, members: Members) {
    this.#host = host;
    this.#store = store;
    this.#registry = registry;
    this.#members = members;
    this.#view = new View(host, store, {
      name: "drains",
      prefix: PREFIX,
      reset: (entries) => {
        this.#said.clear();
        for (const { key, value } of entries) this.#said.set(key, decodeJson(value));
        this.#changed();
      },
      apply: ({ events }) => {
        for (const event of events) {
          if (event.type === "put") this.#said.set(event.entry.key, decodeJson(event.entry.value));
          else this.#said.delete(event.key);
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

  /** Follows the store, and says what this member has to say, until the signal aborts. Give it to a TaskGroup. */
  async run(signal: AbortSignal): Promise<void> {
    await Promise.all([this.#view.run(signal), this.#say(signal)]);
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

  /** How it stands once everyone has seen it, or after so long. @throws REGISTRY_INSTANCE_NOT_FOUND */
  async wait(name: InstanceName, ms: number, signal: AbortSignal): Promise<Drain> {
    const untilMs = this.#host.clock.monotonic() + ms;
    for (;;) {
      const status = this.status(name);
      const leftMs = untilMs - this.#host.clock.monotonic();
      // One that does not drain has nothing to be seen yet, so this waits for its drain to begin, too.
      const isLeaving = status.lifecycle === "draining" || status.lifecycle === "stopped";
      if ((status.seen && isLeaving) || leftMs <= 0 || signal.aborted) return status;
      await this.#next(leftMs, signal);
    }
  }

  /**
   * Drains, waits until everyone has seen it or so long, and deregisters.
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
    // Who asked has gone, and may have thought better of it: it drains on, up to its deadline.
    signal.throwIfAborted();
    const done = await this.#registry.commands.deregister(name, { by, owner });
    return { revision: done.revision, seen, waitingFor };
  }

  #waitingFor({ name, revision, drain }: Tracked): string[] {
    const own = this.#registry.hub.unseen(topicsOf(name), revision);
    const others = this.#members
      .list()
      .filter((member) => member !== this.#members.id && this.#said.get(keyOf(name, member)) !== drain)
      .map((member) => `member ${member}`);
    return [...own, ...others];
  }

  #followAll(): void {
    const before = new Set(this.#tracked.keys());
    for (const instance of this.#registry.catalog.leaving()) {
      this.#follow(instance);
      before.delete(pathOf(instance));
    }
    for (const path of before) this.#untrack((this.#tracked.get(path) as Tracked).name);
  }

  #follow(instance: Instance): void {
    const { namespace, service, id, modRevision: revision } = instance;
    const name = { namespace, service, id };
    if (instance.lifecycle === "stopped") return;
    if (instance.lifecycle !== "draining") return this.#untrack(name);
    const drain = instance.drainUntil === undefined ? 0 : Date.parse(instance.drainUntil);
    const known = this.#tracked.get(pathOf(name));
    if (known?.drain !== drain) this.#tracked.set(pathOf(name), { name, revision, drain, said: false, over: false });
  }

  #untrack(name: InstanceName): void {
    if (this.#tracked.size === 0 || !this.#tracked.delete(pathOf(name))) return;
    this.#changed();
  }

  #changed(): void {
    this.#wake.fire();
    for (const waiter of this.#waiters) waiter();
  }

  #next(ms: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        cancel();
        this.#waiters.delete(done);
        signal.removeEventListener("abort", done);
        resolve();
      };
      const cancel = this.#host.clock.after(ms, done);
      this.#waiters.add(done);
      signal.addEventListener("abort", done, { once: true });
    });
  }

  async #say(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      let again = this.#tracked.size > 0;
      try {
        await this.#sayOnce();
      } catch (error) {
        if (!(error instanceof AppError)) throw error;
        this.#host.log.debug({ err: error }, `a drain could not be followed yet: ${messageOf(error)}`);
        again = true;
      }
      const cancel = again ? this.#host.clock.after(LOOK_MS, () => this.#wake.fire()) : () => {};
      await this.#wake.wait(signal);
      cancel();
    }
  }

  async #sayOnce(): Promise<void> {
    const nowMs = this.#host.clock.now();
    const { lease, id: member } = this.#members;
    const alone = this.#members.list().every((other) => other === member);
    for (const tracked of this.#tracked.values()) {
      const { name, revision, drain } = tracked;
      if (!tracked.over && drain > 0 && drain <= nowMs) {
        await this.#registry.commands.endDrain(name).catch((error: unknown) => {
          if (!RegistryErrors.INSTANCE_NOT_FOUND.is(error)) throw error;
        });
        tracked.over = true;
      }
      // A member that is alone tells nobody.
      if (tracked.said || alone || lease === undefined) continue;
      if (this.#registry.hub.unseen(topicsOf(name), revision).length > 0) continue;
      await this.#store.txn({ then: [{ type: "put", key: keyOf(name, member), value: encodeJson(drain), lease }] });
      tracked.said = true;
    }
    for (const key of this.#said.keys()) {
      const [, , , namespace = "", service = "", id = "", who] = key.split("/");
      if (who !== member || this.#tracked.has(pathOf({ namespace, service, id }))) continue;
      await this.#store.txn({ then: [{ type: "delete", key }] });
      this.#said.delete(key);
    }
  }
}

function pathOf({ namespace, service, id }: InstanceName): string {
  return `${namespace}/${service}/${id}`;
}

function keyOf(name: InstanceName, member: string): string {
  return `${PREFIX}${pathOf(name)}/${member}`;
}
