/**
 * One line of the log for each change of the catalog that an operator asks about: registration, deregistration, lifecycle,
 * and each check whose status changes. They are made from what the store's watch brings, so none is missed whoever made
 * the change, on this member or another; who did it and why is told where this member did it.
 */
import type { Host } from "#base";
import type { Instance, ServiceDelta } from "./api.ts";
import { instanceKey, parseRegistryKey, type InstanceName } from "./core/keys.ts";

/** Who made a change, and why. */
export interface Cause {
  readonly by: string;
  readonly reason?: string;
}

interface Note extends Cause {
  /** Of the write; undefined while it is under way. */
  revision: number | undefined;
}

/** What the log says of a removal that this member did not make. */
const REMOVED = "its session ended, or another member deregistered it";

export class Journal {
  readonly #host: Host;
  readonly #output: (instance: string, check: string) => string | undefined;
  readonly #notes = new Map<string, Note>();

  /** `output`: what was last said of a check on this member. */
  constructor(host: Host, output: (instance: string, check: string) => string | undefined) {
    this.#host = host;
    this.#output = output;
  }

  /** Runs a command on an instance, whose change is then told with its cause. `seen`: up to which revision changes were told. */
  async noting<T extends { revision: number }>(
    names: readonly InstanceName[],
    { cause, seen, run }: { cause: Cause; seen: () => number; run: () => Promise<T> },
  ): Promise<T> {
    const note: Note = { ...cause, revision: undefined };
    const keys = names.map(instanceKey);
    for (const key of keys) this.#notes.set(key, note);
    const forget = () => {
      for (const key of keys) if (this.#notes.get(key) === note) this.#notes.delete(key);
    };
    try {
      const done = await run();
      note.revision = done.revision;
      if (seen() >= done.revision) forget();
      return done;
    } catch (error) {
      forget();
      throw error;
    }
  }

  /** The instances that some events are about, as they are before. */
  before(
    events: readonly ({ type: "put"; entry: { key: string } } | { type: "delete"; key: string })[],
    instance: (name: InstanceName) => Instance | undefined,
  ): ReadonlyMap<string, Instance | undefined> {
    const before = new Map<string, Instance | undefined>();
    for (const event of events) {
      const parsed = parseRegistryKey(event.type === "put" ? event.entry.key : event.key);
      if (parsed === undefined || parsed.kind === "policy") continue;
      const key = instanceKey(parsed.name);
      if (!before.has(key)) before.set(key, instance(parsed.name));
    }
    return before;
  }

  /** Tells what changed in one revision. */
  tell(before: ReadonlyMap<string, Instance | undefined>, deltas: readonly ServiceDelta[], revision: number): void {
    for (const { namespace, service, instances, removed } of deltas) {
      for (const id of removed) {
        const was = before.get(instanceKey({ namespace, service, id }));
        if (was) this.#removed(was);
      }
      for (const instance of instances) {
        const key = instanceKey(instance);
        if (before.has(key)) this.#changed(before.get(key), instance);
      }
    }
    for (const [key, note] of this.#notes) {
      if (note.revision !== undefined && note.revision <= revision) this.#notes.delete(key);
    }
  }

  #removed(was: Instance): void {
    const note = this.#notes.get(instanceKey(was));
    const { reason = note ? "asked for" : REMOVED, by } = note ?? {};
    const { status, lifecycle } = was;
    this.#host.log.info(
      { ...nameOf(was), status, lifecycle, ...(by === undefined ? {} : { by }), reason },
      "deregistered",
    );
  }

  #changed(was: Instance | undefined, now: Instance): void {
    const note = this.#notes.get(instanceKey(now));
    const { address, port, lifecycle, registeredBy, status } = now;
    const cause = note ? { by: note.by, ...(note.reason === undefined ? {} : { reason: note.reason }) } : {};
    if (!was) {
      this.#host.log.info({ ...nameOf(now), address, port, lifecycle, status, registeredBy, ...cause }, "registered");
      return;
    }
    if (was.lifecycle !== lifecycle) {
      const { drainUntil } = now;
      const until = drainUntil === undefined ? {} : { drainUntil };
      const message = lifecycle === "draining" ? "drain began" : "lifecycle changed";
      this.#host.log.info({ ...nameOf(now), from: was.lifecycle, to: lifecycle, ...until, ...cause }, message);
    } else if (was.modRevision !== now.modRevision) {
      this.#host.log.info({ ...nameOf(now), address, port, lifecycle, status, ...cause }, "registered anew");
    }
    for (const check of now.checks) {
      const from = was.checks.find(({ id }) => id === check.id)?.status ?? "unknown";
      if (from === check.status) continue;
      const reason = note?.reason ?? this.#output(instanceKey(now), check.id);
      this.#host.log.info(
        {
          ...nameOf(now),
          check: check.id,
          from,
          to: check.status,
          status,
          ...(reason === undefined ? {} : { reason }),
        },
        `health: ${from} -> ${check.status}`,
      );
    }
  }
}

function nameOf({ namespace, service, id }: InstanceName) {
  return { namespace, service, instance: id };
}
