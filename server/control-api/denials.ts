/** The first audit: keeps the latest refusals in memory, for the console, counts them and logs them. Changes have a log of their own. */
import type { Denial } from "#authorization/api";
import type { Host } from "#base";
import { type AuditEvent, type AuditSink, HttpErrors, TLS_REFUSALS } from "#http";

/** Refusals that a member remembers: an afternoon of a rogue caller, in half a megabyte. */
const DENIALS_MAX = 1_000;

/** A request without any token and a failed handshake are scans or mistakes. They are counted only, or they would push out what matters. */
const SCANS: ReadonlySet<string> = new Set([HttpErrors.TOKEN_MISSING.code, TLS_REFUSALS.handshake]);

export class Denials implements AuditSink {
  readonly #host: Host;
  readonly #kept: Denial[] = [];
  readonly #counter;

  constructor(host: Host) {
    this.#host = host;
    this.#counter = host.metrics.counter({
      name: "posthouse_denials_total",
      help: "Refused callers, by the code of the problem.",
      labelNames: ["code"],
    });
  }

  record({ kind, resource, ...event }: AuditEvent): void {
    if (kind !== "denied") return;
    const { code = `status ${event.status}` } = event;
    this.#counter.labels(code).inc();
    if (SCANS.has(code)) return;
    const named = Object.entries(resource ?? {}).filter((entry): entry is [string, string] => entry[1] !== undefined);
    const denial: Denial = { ...event, ...(named.length === 0 ? {} : { resource: Object.fromEntries(named) }) };
    this.#kept.push(denial);
    if (this.#kept.length > DENIALS_MAX) this.#kept.shift();
    const { at: _at, principal, ...facts } = denial;
    this.#host.log.info({ ...facts, caller: principal?.id }, "request denied");
  }

  /** Newest first. */
  list(): Denial[] {
    return this.#kept.toReversed();
  }
}
