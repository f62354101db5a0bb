/**
 * Turns the bytes of a query into the bytes of its answer, without waiting. Answers about services are cached in
 * several orders, drawn by weight. Each order serves a few queries and is then drawn again, so that caching does not
 * change how often each instance comes first. A change of a service drops its cached answers before the next query is
 * read.
 */
import type { CounterChild, Host } from "#base";
import { answer, type Zone } from "./core/answer.ts";
import { Directory, type DnsCatalog } from "./core/directory.ts";
import {
  CLASS_IN,
  emptyTail,
  questionLabels,
  Rcode,
  readQuery,
  roomFor,
  Type,
  udpBytes,
  UDP_BYTES_MAX,
  writeAnswer,
  writeRefusal,
  type Query,
  type Tail,
  type Transport,
} from "./core/message.ts";
import { Records } from "./core/wire.ts";

/** Cached orders of one answer. */
const ORDERS_KEPT = 16;
/** Queries that one order serves before it is drawn again. */
const ORDER_USES_MAX = 16;
/** Approximate bytes of all cached answers. Beyond it all are dropped, and built again when they are needed. */
const KEPT_BYTES_MAX = 32 * 1024 * 1024;
/** Approximate bytes of an entry without its orders, and of each record that it may draw. */
const ENTRY_BYTES = 600;
const CANDIDATE_BYTES = 250;

/**
 * Record types that metrics distinguish and whose answers are cached. There are 65,536 types, and clients may query
 * any.
 */
const TYPE_NAMES = new Map<number, string>(Object.entries(Type).map(([name, number]) => [number, name] as const));

interface Order {
  readonly tail: Tail;
  uses: number;
}

/** The cached answer to one question, with its orders by the size class of the client. */
interface Kept {
  readonly records: Records;
  readonly orders: (Order | undefined)[][];
}

export type Reply =
  | { readonly kind: "answer"; readonly bytes: Buffer }
  /** The name is outside the zone: forward the query, or refuse it. */
  | { readonly kind: "outside"; readonly query: Query }
  | { readonly kind: "drop"; readonly reason: "short" | "response" };

export class Responder implements Disposable {
  readonly #host: Host;
  readonly #catalog: DnsCatalog;
  readonly #zone: Zone;
  readonly #directory: Directory;
  readonly #kept = new Map<string, Kept>();
  /** Cached questions, by the service that their answers depend on. */
  readonly #byService = new Map<string, Set<string>>();
  #keptBytes = 0;
  readonly #queries;
  readonly #counters = new Map<number, CounterChild>();
  readonly #stop: () => void;

  constructor(host: Host, catalog: DnsCatalog, zone: Zone) {
    this.#host = host;
    this.#catalog = catalog;
    this.#zone = zone;
    this.#directory = new Directory(catalog);
    this.#queries = host.metrics.counter({
      name: "posthouse_dns_queries_total",
      help: "DNS queries answered, by record type and response code.",
      labelNames: ["type", "rcode"],
    });
    this.#stop = catalog.onChange((services) => this.#changed(services));
  }

  /** Questions with a cached answer. */
  get kept(): number {
    return this.#kept.size;
  }

  /** Never throws, for any bytes. */
  respond(bytes: Buffer, transport: Transport): Reply {
    const reading = readQuery(bytes);
    if (reading.kind === "drop") return reading;
    if (reading.kind === "refuse") {
      this.count(-1, reading.rcode);
      return { kind: "answer", bytes: writeRefusal(bytes, reading.rcode) };
    }
    const { query } = reading;
    const tail = this.#tail(query, transport);
    if (!tail) return { kind: "outside", query };
    return this.finish(query, tail);
  }

  /** An answer without records, such as a refusal. */
  finish(query: Query, tail: Tail): Reply {
    this.count(query.type, tail.rcode);
    return { kind: "answer", bytes: writeAnswer(query, tail) };
  }

  /** Counts an answered query; the type -1 means an unreadable one. */
  count(type: number, rcode: number): void {
    const known = TYPE_NAMES.has(type) ? type : -1;
    const key = known * 32 + rcode;
    let counter = this.#counters.get(key);
    if (!counter) {
      const code = Object.entries(Rcode).find(([, value]) => value === rcode)?.[0] ?? "other";
      counter = this.#queries.labels(TYPE_NAMES.get(known) ?? "other", code);
      this.#counters.set(key, counter);
    }
    counter.inc();
  }

  #tail(query: Query, transport: Transport): Tail | undefined {
    if (query.edns !== undefined && query.edns.version !== 0) return emptyTail(Rcode.BADVERS);
    if (query.class !== CLASS_IN) return emptyTail(Rcode.REFUSED);
    const kept = this.#kept.get(query.key);
    if (kept) return this.#next(kept, query, transport);
    const found = answer(
      { labels: questionLabels(query), type: query.type },
      {
        directory: this.#directory,
        zone: this.#zone,
        ready: this.#catalog.ready(),
        knows: (namespace) => this.#catalog.knows(namespace),
        serial: this.#catalog.revision(),
      },
    );
    if (!found) return undefined;
    const records = new Records(found, this.#zone);
    if (!found.service || !TYPE_NAMES.has(query.type)) return this.#draw(records, query, transport);
    const made: Kept = { records, orders: [[], [], []] };
    this.#spend(ENTRY_BYTES + found.candidates.length * CANDIDATE_BYTES);
    this.#kept.set(query.key, made);
    const service = `${found.service.namespace}/${found.service.service}`;
    const keys = this.#byService.get(service);
    if (keys) keys.add(query.key);
    else this.#byService.set(service, new Set([query.key]));
    return this.#next(made, query, transport);
  }

  #next({ records, orders }: Kept, query: Query, transport: Transport): Tail {
    // An answer over TCP is long and rare, so it is drawn each time.
    if (transport === "tcp") return this.#draw(records, query, transport);
    const sizeClass = query.edns === undefined ? 0 : udpBytes(query) === UDP_BYTES_MAX ? 2 : 1;
    const kept = orders[sizeClass] as (Order | undefined)[];
    const place = records.varies ? Math.floor(this.#host.random.float() * ORDERS_KEPT) : 0;
    const order = kept[place];
    if (order && (order.uses < ORDER_USES_MAX || !records.varies)) {
      order.uses++;
      return order.tail;
    }
    const tail = this.#draw(records, query, transport);
    if (!order) this.#spend(tail.bytes.length + CANDIDATE_BYTES);
    kept[place] = { tail, uses: 1 };
    return tail;
  }

  #draw(records: Records, query: Query, transport: Transport): Tail {
    const room = roomFor(query, transport);
    const frame = { questionBytes: query.question.length, room, mayTruncate: transport === "udp" };
    return records.tail(this.#host.random, frame);
  }

  #spend(bytes: number): void {
    this.#keptBytes += bytes;
    if (this.#keptBytes > KEPT_BYTES_MAX) this.#forget();
  }

  #forget(): void {
    this.#kept.clear();
    this.#byService.clear();
    this.#keptBytes = 0;
  }

  #changed(services: readonly { namespace: string; service: string }[]): void {
    this.#directory.changed(services);
    if (services.length === 0) return this.#forget();
    for (const { namespace, service } of services) {
      const key = `${namespace}/${service}`;
      for (const question of this.#byService.get(key) ?? []) this.#kept.delete(question);
      this.#byService.delete(key);
    }
    if (this.#kept.size === 0) this.#keptBytes = 0;
  }

  [Symbol.dispose](): void {
    this.#stop();
    this.#forget();
  }
}
