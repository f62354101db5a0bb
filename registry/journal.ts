/**
 * One log line for each change of the catalog that operators ask about: registrations, deregistrations, lifecycles,
 * weights, and each check whose status changes. The lines are made from the store's watch, so they include the changes of other members.
 * Changes that this member made have their principal and reason, too.
 */
import type { Host } from "#base";
import type { Instance, ServiceDelta } from "./api.ts";
import { instanceKey, parseRegistryKey, type InstanceName } from "./core/keys.ts";

/** The principal that made a change, and the reason. */
export interface Cause {
  readonly by: string;
  readonly reason?: string;
}

interface PendingCause extends Cause {
  /** The revision of the write; undefined until it is done. */
  revision: number | undefined;
}

/** The reason in the log for a removal that this member did not make. */
const REMOVED = "its session ended, or another member deregistered it";

export class Journal {
  readonly #host: Host;
  readonly #output: (instance: string, check: string) => string | undefined;
  readonly #notes = new Map<string, PendingCause>();

  /** `output`: the last output of a check on this member. */
  constructor(host: Host, output: (instance: string, check: string) => string | undefined) {
    this.#host = host;
    this.#output = output;
  }

  /** Runs a command whose change is then logged with its cause. `seen`: the revision up to which changes are logged. */
  async noting<T extends { revision: number }>(
    names: readonly InstanceName[],
    { cause, seen, run }: { cause: Cause; seen: () => number; run: () => Promise<T> },
  ): Promise<T> {
    const note: PendingCause = { ...cause, revision: undefined };
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

  /** The instances that the events concern, as they are before these. */
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

  /** Logs the changes of one revision. */
  log(before: ReadonlyMap<string, Instance | undefined>, deltas: readonly ServiceDelta[], revision: number): void {
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
    const { reason = note ? "requested" : REMOVED, by } = note ?? {};
    const { status, lifecycle } = was;
    this.#host.log.info(
      { ...nameFieldsOf(was), status, lifecycle, ...(by === undefined ? {} : { by }), reason },
      "deregistered",
    );
  }

  #changed(was: Instance | undefined, now: Instance): void {
    const note = this.#notes.get(instanceKey(now));
    const { address, port, lifecycle, registeredBy, status } = now;
    const cause = note ? { by: note.by, ...(note.reason === undefined ? {} : { reason: note.reason }) } : {};
    if (!was) {
      this.#host.log.info(
        { ...nameFieldsOf(now), address, port, lifecycle, status, registeredBy, ...cause },
        "registered",
      );
      return;
    }
    if (was.lifecycle !== lifecycle) {
      const { drainUntil } = now;
      const until = drainUntil === undefined ? {} : { drainUntil };
      const message = lifecycle === "draining" ? "drain began" : "lifecycle changed";
      this.#host.log.info({ ...nameFieldsOf(now), from: was.lifecycle, to: lifecycle, ...until, ...cause }, message);
    } else if (was.weight !== now.weight) {
      this.#host.log.info({ ...nameFieldsOf(now), from: was.weight, to: now.weight, ...cause }, "weight changed");
    } else if (was.modRevision !== now.modRevision) {
      this.#host.log.info(
        { ...nameFieldsOf(now), address, port, lifecycle, status, ...cause },
        "registration replaced",
      );
    }
    for (const check of now.checks) {
      const from = was.checks.find(({ id }) => id === check.id)?.status ?? "unknown";
      if (from === check.status) continue;
      const reason = note?.reason ?? this.#output(instanceKey(now), check.id);
      this.#host.log.info(
        {
          ...nameFieldsOf(now),
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

function nameFieldsOf({ namespace, service, id }: InstanceName) {
  return { namespace, service, instance: id };
}
