/**
 * The shell of traffic. A member adds up what is reported to it and writes one record every two seconds, if anything
 * changed, under its own lease. Every member follows the records of all, and keeps the last hour in memory.
 */
import { AppError, decodeJson, encodeJson, messageOf, type Host } from "#base";
import { isAllowed, type Principal } from "#http";
import { type Store, VALUE_BYTES_MAX, View } from "#store";
import { TRAFFIC_REPORT_MS, TrafficErrors, type TrafficReport, type TrafficView } from "./api.ts";
import { TrafficBook } from "./core/book.ts";
import { PendingTraffic, type TrafficRecord } from "./core/pending.ts";
import { callsTo, type CallTo, trafficView, type TrafficQuery } from "./core/view.ts";

const TRAFFIC_PREFIX = "/traffic/";

/** This member of the control plane, and its lease. */
export interface TrafficMember {
  readonly id: string;
  readonly lease: string | undefined;
}

export class Traffic {
  readonly #host: Host;
  readonly #store: Store;
  readonly #member: TrafficMember;
  readonly #view: View;
  readonly #pending = new PendingTraffic();
  readonly #book = new TrafficBook();
  readonly #sinceMs: number;
  /** A record that was not written yet. */
  #unwritten: TrafficRecord | undefined;

  constructor(host: Host, store: Store, member: TrafficMember) {
    this.#host = host;
    this.#store = store;
    this.#member = member;
    this.#sinceMs = host.clock.now();
    this.#view = new View(host, store, {
      name: "traffic",
      prefix: TRAFFIC_PREFIX,
      reset: (entries) => {
        const present = new Set(entries.map(({ key }) => memberOf(key)));
        for (const member of this.#book.members()) if (!present.has(member)) this.#book.remove(member);
        for (const { key, value } of entries) this.#add(key, value);
      },
      apply: ({ events }) => {
        for (const event of events) {
          if (event.type === "put") this.#add(event.entry.key, event.entry.value);
          else this.#book.remove(memberOf(event.key));
        }
      },
    });
  }

  /** Records up to this revision are counted. */
  get revision(): number {
    return this.#view.revision;
  }

  /** Adds a report of a gateway or a client. @throws TRAFFIC_NOT_OWN */
  report(principal: Principal, namespace: string, report: TrafficReport): void {
    requireOwn(principal, namespace, report);
    this.#pending.add(namespace, `${principal.id}/${report.reporter}`, report, this.#host.clock.monotonic());
  }

  view(query: TrafficQuery): TrafficView {
    return trafficView(this.#book, query, { nowMs: this.#host.clock.now(), sinceMs: this.#sinceMs });
  }

  /** Calls of the last hour to the services of a namespace, from every namespace. */
  callsTo(namespace: string): CallTo[] {
    return callsTo(this.#book, namespace, this.#host.clock.now());
  }

  /** Follows the store, and writes what was reported here, until the signal aborts. Give it to a TaskGroup. */
  async run(signal: AbortSignal): Promise<void> {
    await Promise.all([this.#view.run(signal), this.#write(signal)]);
  }

  #add(key: string, value: Uint8Array): void {
    this.#book.add(memberOf(key), decodeJson<TrafficRecord>(value), this.#host.clock.now());
  }

  async #write(signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#host;
    while (!signal.aborted) {
      await clock.sleep(TRAFFIC_REPORT_MS, signal).catch(() => {});
      const { lease, id } = this.#member;
      // A member that is cut off keeps adding up, within its limits, and writes once it has a lease again.
      if (signal.aborted || lease === undefined) continue;
      this.#unwritten ??= this.#pending.take(clock.monotonic());
      if (!this.#unwritten) continue;
      try {
        const value = encoded(this.#unwritten);
        await this.#store.txn({ then: [{ type: "put", key: `${TRAFFIC_PREFIX}${id}`, value, lease }] });
        this.#unwritten = undefined;
      } catch (error) {
        if (!(error instanceof AppError)) throw error;
        // The record keeps its number, so it counts once even if the store has it already.
        log.debug({ code: error.code }, `traffic not written yet, retrying: ${messageOf(error)}`);
      }
    }
  }
}

function memberOf(key: string): string {
  return key.slice(TRAFFIC_PREFIX.length);
}

/** A record as a value of the store. The least busy series are left out when their names are too long for one value. */
function encoded(record: TrafficRecord): Uint8Array {
  let { series, omitted } = record;
  for (;;) {
    const value = encodeJson({ ...record, series, omitted });
    if (value.byteLength <= VALUE_BYTES_MAX / 2) return value;
    const kept = Math.floor(series.length / 2);
    omitted += series.length - kept;
    series = series.slice(0, kept);
  }
}

function requireOwn(principal: Principal, namespace: string, { routes = [], edges = [] }: TrafficReport): void {
  const { name } = principal;
  const isGateway = isAllowed(principal, "traffic:gateway", { namespace });
  if (!isGateway && routes.length > 0) {
    throw TrafficErrors.NOT_OWN(
      `"${name}" is not allowed traffic:gateway, and only gateways report routes. Report "edges" whose "from" is your service.`,
      { extra: { field: "/routes" } },
    );
  }
  for (const [index, { from }] of edges.entries()) {
    const isOwn = from === undefined ? isGateway : isAllowed(principal, "registry:write", { namespace, service: from });
    if (isOwn) continue;
    throw TrafficErrors.NOT_OWN(
      from === undefined
        ? `"${name}" is not allowed traffic:gateway, and only gateways report edges without "from". Set "from" to your service.`
        : `"${name}" may not report calls of the service "${from}". Use a token that may register it.`,
      { extra: { field: `/edges/${index}/from` } },
    );
  }
}
