/**
 * The events of a world, for the checkers: every revision of the store, every call with its outcome, every frame that a
 * reader received, and the state of all at the end. Written while the world runs, judged afterwards.
 */
import type { LeaseId, Revision, StoreEvent } from "#store";
import type { Frame } from "#http/frames";
import type { SimTime, Trace } from "./host.ts";

export interface Call {
  readonly client: string;
  readonly method: string;
  readonly path: string;
  readonly body: unknown;
  readonly startMs: number;
  /** Absent: the outcome is unknown. */
  answer?: { readonly status: number; readonly body: unknown; readonly atMs: number };
}

export interface Told {
  readonly atMs: number;
  readonly frame: Frame;
}

/** The data that a follower without frames of its own had of one service after a frame of this revision. */
export interface Held {
  readonly reader: string;
  readonly revision: Revision;
  readonly service: string;
  readonly instances: readonly unknown[];
  /** Heard from a cold member: what was known before is held beside what it says. */
  readonly cold: boolean;
  readonly atMs: number;
}

export interface LeaseHistory {
  ttlSeconds: number;
  /** Moments at which its full time began again, the earliest it may have been. */
  readonly renewedMs: number[];
  revokingMs?: number;
}

/** A reader of frames: of the catalog's services named (all when absent), or of one config set. */
export interface ReaderHistory {
  readonly name: string;
  readonly kind: "services" | "config";
  readonly services: readonly string[] | undefined;
  readonly set: string | undefined;
  readonly told: Told[];
  /** Alive at the end; what a killed one held does not matter. */
  alive: boolean;
}

export interface Final {
  readonly who: string;
  readonly kind: "services" | "config";
  /** By service or set. */
  readonly state: Readonly<Record<string, unknown>>;
}

export class History {
  readonly revisions: { readonly revision: Revision; readonly atMs: number; readonly events: readonly StoreEvent[] }[] =
    [];
  /** Revisions that a transaction wrote; others are lapses and revocations. */
  readonly written = new Set<Revision>();
  readonly leases = new Map<LeaseId, LeaseHistory>();
  readonly calls: Call[] = [];
  readonly readers = new Map<string, ReaderHistory>();
  readonly held: Held[] = [];
  readonly finals: Final[] = [];
  /** Instances that agents hold at the end, by `service/id`, with their stamp; without one it may be there or not. */
  readonly wanted = new Map<string, number | undefined>();
  /** Instances that their owner withdrew at this moment; if the owner claims them again, it does so with a higher stamp. */
  readonly withdrawn: { readonly name: string; readonly stamp: number; readonly atMs: number }[] = [];
  /** Contents that a file had at some moment. */
  readonly files: { readonly path: string; readonly text: string; readonly atMs: number }[] = [];
  readonly defects: string[] = [];
  readonly #time: SimTime;
  readonly #trace: Trace;

  constructor(time: SimTime, trace: Trace) {
    this.#time = time;
    this.#trace = trace;
  }

  committed(revision: Revision, events: readonly StoreEvent[]): void {
    this.revisions.push({ revision, atMs: this.#time.nowMs, events });
    const keys = events.map((event) => (event.type === "put" ? `+${event.entry.key}` : `-${event.key}`));
    this.#trace.note(`store ${revision} ${keys.join(" ")}`);
  }

  granted(lease: LeaseId, ttlSeconds: number): void {
    this.leases.set(lease, { ttlSeconds, renewedMs: [this.#time.nowMs] });
  }

  renewed(lease: LeaseId, atMs = this.#time.nowMs): void {
    this.leases.get(lease)?.renewedMs.push(atMs);
  }

  revoking(lease: LeaseId): void {
    const known = this.leases.get(lease);
    if (known) known.revokingMs ??= this.#time.nowMs;
  }

  call(call: Omit<Call, "answer">): Call {
    const made: Call = { ...call };
    this.calls.push(made);
    return made;
  }

  answered(call: Call, status: number, body: unknown): void {
    call.answer = { status, body, atMs: this.#time.nowMs };
    this.#trace.note(
      `${call.client} ${call.method} ${call.path} ${status}${status === 400 || status === 409 ? ` ${JSON.stringify(body)}` : ""}`,
    );
    if (status < 300 && call.method === "PUT") {
      const session = /^\/v1\/sessions\/([^/]+)\/heartbeat$/.exec(call.path)?.[1];
      if (session !== undefined) this.renewed(session, call.startMs);
    }
  }

  reader(name: string, kind: ReaderHistory["kind"], of: { services?: readonly string[]; set?: string }): ReaderHistory {
    const reader: ReaderHistory = { name, kind, services: of.services, set: of.set, told: [], alive: true };
    this.readers.set(name, reader);
    return reader;
  }

  told(reader: ReaderHistory, frame: Frame): void {
    reader.told.push({ atMs: this.#time.nowMs, frame });
    this.#trace.note(`${reader.name} hears ${frame.event} ${frame.revision}`);
  }

  holds(held: Omit<Held, "atMs">): void {
    this.held.push({ ...held, atMs: this.#time.nowMs });
  }

  file(path: string, text: string): void {
    this.files.push({ path, text, atMs: this.#time.nowMs });
    this.#trace.note(`file ${path} ${text.length}`);
  }

  defect(message: string): void {
    this.defects.push(message);
    this.#trace.note(`DEFECT ${message}`);
  }
}
