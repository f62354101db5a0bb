/**
 * The leases of posthouse in etcd. Each is granted for its own time plus a week, so that etcd ends none while all members are down; the
 * members end them (`lapses.ts` decides when). The ids have a common prefix, and the granted time is the own time plus the week, so every
 * member learns all leases from etcd alone, without a key or a revision for them.
 */
import { createHash } from "node:crypto";
import { messageOf, type CancelTimer, type Host } from "#base";
import type { Lease, LeaseId } from "../types.ts";
import { Lapses } from "./lapses.ts";
import { isLeaseNotFound, type Members } from "./members.ts";
import { whole } from "./wire.ts";

/** Seconds that etcd keeps a lease beyond its own time. All members may be down for that long. */
const ABSENCE_SECONDS = 7 * 86_400;
/** Milliseconds between two rounds. A lease may lapse that much late, plus etcd's rounding to seconds. */
const ROUND_MS = 250;
/** Milliseconds between two signs of life from etcd while nothing is due. */
const SIGN_MS = 1_000;
/** Milliseconds between two listings, which find leases that other members granted. */
const LIST_MS = 5_000;
/** Concurrent queries to etcd. */
const QUESTIONS_MAX = 32;
/** Prefix of each id: fifteen bits, so that an id is a positive number. */
const MARK = 0x5048n;
/** Tries to find an unused id. Ids have 32 random bits. */
const GRANT_TRIES = 4;

export class Leases implements Disposable {
  readonly #host: Host;
  readonly #members: Members;
  /** The upper bits of the ids. */
  readonly #prefix: bigint;
  readonly #lapses: Lapses;
  #cancel: CancelTimer = () => {};
  #listedMs = -Infinity;
  #askedMs = -Infinity;
  #disposed = false;
  #wasHeld = false;

  constructor(host: Host, members: Members, namespace: string) {
    this.#host = host;
    this.#members = members;
    const hash = createHash("sha256").update(namespace).digest().readUInt16BE(0);
    this.#prefix = (MARK << 16n) | BigInt(hash);
    this.#lapses = new Lapses(host.clock.monotonic());
    this.#next();
  }

  async grant(ttlSeconds: number): Promise<Lease> {
    for (let tries = 1; ; tries++) {
      const random = Buffer.from(this.#host.random.bytes(4)).readUInt32BE(0);
      const ID = String((this.#prefix << 32n) | BigInt(random));
      try {
        const lease = await this.#members.write((client) =>
          client.leaseClient.leaseGrant({ TTL: ttlSeconds + ABSENCE_SECONDS, ID }),
        );
        const granted = Math.max(1, whole(lease.TTL) - ABSENCE_SECONDS);
        this.#lapses.track(lease.ID, granted * 1000, this.#host.clock.monotonic());
        return { id: lease.ID, ttlSeconds: granted };
      } catch (error) {
        if (tries === GRANT_TRIES || !messageOf(error).includes("lease already exists")) throw error;
      }
    }
  }

  /** This member renewed the lease. */
  renewed(id: LeaseId): void {
    this.#lapses.renewed(id, this.#host.clock.monotonic());
  }

  ended(id: LeaseId): void {
    this.#lapses.forget(id);
  }

  [Symbol.dispose](): void {
    this.#disposed = true;
    this.#cancel();
  }

  #next(): void {
    if (this.#disposed) return;
    this.#cancel = this.#host.clock.after(ROUND_MS, () => {
      this.#round().then(
        () => this.#next(),
        (error: unknown) => {
          if (!this.#disposed) this.#host.log.debug({ err: error }, `leases were not checked: ${messageOf(error)}`);
          this.#next();
        },
      );
    });
  }

  async #round(): Promise<void> {
    const { clock } = this.#host;
    if (clock.monotonic() - this.#listedMs >= LIST_MS) await this.#list();
    const due = this.#lapses.due(clock.monotonic());
    if (due.length === 0) {
      // Queries an unknown lease, for the sign of life that `due` depends on.
      if (clock.monotonic() - this.#askedMs >= SIGN_MS) await this.#silenceOf("1");
      return;
    }
    const silences = new Map<LeaseId, number>();
    await each(due, async (id) => {
      const silentMs = await this.#silenceOf(id);
      if (silentMs === undefined) this.#lapses.forget(id);
      else silences.set(id, silentMs);
    });
    const { end, held } = this.#lapses.judge(silences, clock.monotonic());
    if (held > 0 && !this.#wasHeld) {
      this.#host.log.warn(
        { held, leases: this.#lapses.size },
        `${held} sessions and checks fell silent at once and are kept for now: their network path to this cluster may be down`,
      );
    }
    this.#wasHeld = held > 0;
    await each(end, (id) => this.#end(id));
  }

  /** Discovers leases that other members granted, or from before the start. Their full time runs from now. */
  async #list(): Promise<void> {
    const { leases } = await this.#members.read((client) => client.leaseClient.leaseLeases());
    this.#answered();
    const ours = leases.map(({ ID }) => ID).filter((id) => BigInt(id) >> 32n === this.#prefix);
    this.#lapses.keepOnly(new Set(ours));
    await each(
      ours.filter((id) => !this.#lapses.has(id)),
      async (id) => {
        const { grantedTTL, TTL } = await this.#ask(id);
        const ttlSeconds = whole(grantedTTL) - ABSENCE_SECONDS;
        if (whole(TTL) < 0 || this.#lapses.has(id)) return;
        this.#lapses.track(id, Math.max(1, ttlSeconds) * 1000, this.#host.clock.monotonic());
      },
    );
    this.#listedMs = this.#host.clock.monotonic();
  }

  /** Minimum milliseconds since the last renewal by any member; undefined for an unknown lease. */
  async #silenceOf(id: LeaseId): Promise<number | undefined> {
    const { TTL, grantedTTL } = await this.#ask(id);
    const left = whole(TTL);
    // The remaining time is less than one second more than etcd's whole seconds.
    return left < 0 ? undefined : Math.max(0, (whole(grantedTTL) - left - 1) * 1000);
  }

  async #ask(ID: LeaseId): Promise<{ readonly TTL: string; readonly grantedTTL: string }> {
    const answer = await this.#members.read((client) => client.leaseClient.leaseTimeToLive({ ID, keys: false }));
    this.#answered();
    return answer;
  }

  #answered(): void {
    this.#askedMs = this.#host.clock.monotonic();
    if (!this.#lapses.answered(this.#askedMs) || this.#lapses.size === 0) return;
    this.#host.log.info(
      { leases: this.#lapses.size },
      "etcd was unavailable; every session and check has its full time again",
    );
  }

  async #end(ID: LeaseId): Promise<void> {
    try {
      await this.#members.write((client) => client.leaseClient.leaseRevoke({ ID }));
    } catch (error) {
      // Another member was first.
      if (!isLeaseNotFound(error)) throw error;
    }
    this.#lapses.forget(ID);
  }
}

async function each<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  for (let from = 0; from < items.length; from += QUESTIONS_MAX) {
    await Promise.all(items.slice(from, from + QUESTIONS_MAX).map(work));
  }
}
