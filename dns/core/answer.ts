/**
 * The answer to a question: (question, directory) → sections. Names and health are decided here; bytes, order and size
 * later. An existing name without records of the requested type is NODATA, a missing name NXDOMAIN, and both carry the
 * SOA record (RFC 2308). A name between the zone and an existing name exists as well (RFC 8020).
 */
import { isAlive, isServing } from "#health/core";
import type { Directory, DnsInstance, ServiceView } from "./directory.ts";
import { Rcode, Type } from "./message.ts";
import { canonicalAddress, instanceLabel, parseName, parseReverse, type Asked } from "./names.ts";
import type { Weighted } from "./order.ts";
import { isWritable } from "./writable.ts";
import type { RecordData } from "./record-data.ts";

/** The zone, as configured. */
export interface Zone {
  /** Its labels from left to right: `["posthouse"]`. */
  readonly labels: readonly string[];
  /** The namespace whose services have short names. */
  readonly namespace: string;
  /** The locality whose instances come first; undefined: all are equal. */
  readonly near: string | undefined;
  /** The name server's addresses, for its A and AAAA records. */
  readonly addresses: readonly string[];
  /** Seconds for which others may cache an answer, including negative ones. */
  readonly ttlSeconds: number;
}

/** A record for one instance, and the addresses of the host that it names. */
export interface Candidate extends Weighted {
  readonly record: RecordData;
  readonly glue?: { readonly owner: string; readonly record: RecordData };
}

export interface Answer {
  readonly rcode: Rcode;
  readonly authoritative: boolean;
  /** In order of priority. Which of them are sent, and in what order, is drawn for each answer. */
  readonly candidates: readonly Candidate[];
  readonly additionals: readonly { readonly owner: string; readonly record: RecordData }[];
  /** The SOA record of the zone: as the answer, or beside an empty one. For a reverse name it is owned by that name. */
  readonly soa:
    | { readonly section: "answer" | "authority"; readonly owner: "zone" | "question"; readonly serial: number }
    | undefined;
  /** The answer is valid until this service changes; undefined: it may depend on any service. */
  readonly service: { readonly namespace: string; readonly service: string } | undefined;
}

export interface Question {
  readonly labels: readonly string[];
  readonly type: number;
}

const EMPTY = { candidates: [], additionals: [], soa: undefined, service: undefined } as const;
const REFUSED: Answer = { ...EMPTY, rcode: Rcode.REFUSED, authoritative: false };
/** The catalog has not been read yet, so no answer would be correct. */
const NOT_READY: Answer = { ...EMPTY, rcode: Rcode.SERVFAIL, authoritative: false };

/** The reply to queries for ANY, which are not supported. RFC 8482. */
const MINIMAL_ANY: RecordData = { type: "HINFO", data: { cpu: "RFC8482", os: "" } };

/** Undefined: the name is outside the zone. */
export function answer(
  question: Question,
  context: { directory: Directory; zone: Zone; ready: boolean; knows: (namespace: string) => boolean; serial: number },
): Answer | undefined {
  const { labels, type } = question;
  const { directory, zone, ready, serial } = context;
  const reverse = parseReverse(labels);
  if (reverse !== undefined)
    return ready ? answerReverse(directory.byAddress(reverse), { type, zone, serial }) : undefined;
  const own = labels.length - zone.labels.length;
  if (own < 0 || !zone.labels.every((label, i) => labels[own + i] === label)) return undefined;
  if (type === Type.AXFR || type === Type.IXFR) return REFUSED;
  const soa = { section: "authority", owner: "zone", serial } as const;
  const asked = parseName(labels.slice(0, own), zone.namespace);
  if (asked.kind === "apex") return answerApex(type, zone, serial);
  const records = (found: readonly Candidate[], service?: Answer["service"]): Answer => {
    const candidates = writable(found);
    const none = candidates.length === 0;
    return { ...EMPTY, rcode: Rcode.NOERROR, authoritative: true, candidates, service, soa: none ? soa : undefined };
  };
  const nothing: Answer = { ...EMPTY, rcode: Rcode.NXDOMAIN, authoritative: true, soa };
  if (asked.kind === "name server") return records(ofType(type, zone.addresses.flatMap(addressRecord)).map(plain));
  if (asked.kind === "nowhere") return nothing;
  if (asked.namespace !== undefined && !context.knows(asked.namespace)) return REFUSED;
  if (!ready) return NOT_READY;
  if (asked.kind === "between") return isThere(asked, directory) ? records(ofType(type, []).map(plain)) : nothing;
  const view = directory.service(asked.namespace, asked.service);
  if (!view) return nothing;
  const service = { namespace: asked.namespace, service: asked.service };
  if (asked.kind === "instance") {
    const instance = view.labelled(asked.label);
    return instance ? records(answerInstance(type, instance, zone), service) : nothing;
  }
  const named = instancesOf(view, asked);
  return named.length === 0 ? nothing : records(answerService(type, named, { zone, srv: asked.srv }), service);
}

function answerApex(type: number, { labels, addresses }: Zone, serial: number): Answer {
  const base = { ...EMPTY, rcode: Rcode.NOERROR, authoritative: true };
  const server = nameServer(labels);
  if (type === Type.SOA) return { ...base, soa: { section: "answer", owner: "zone", serial } };
  if (type === Type.NS) {
    const glue = addresses.flatMap(addressRecord).map((record) => ({ owner: server, record }));
    return { ...base, candidates: [plain({ type: "NS", data: server })], additionals: glue };
  }
  if (type === Type.ANY) return { ...base, candidates: [plain(MINIMAL_ANY)] };
  return { ...base, soa: { section: "authority", owner: "zone", serial } };
}

/**
 * Reverse names exist only for addresses that instances have. The tree of addresses as a whole is not part of the zone.
 */
function answerReverse(
  instances: readonly DnsInstance[],
  { type, zone, serial }: { type: number; zone: Zone; serial: number },
): Answer | undefined {
  if (instances.length === 0) return undefined;
  const names = instances.map((instance): RecordData => ({ type: "PTR", data: instanceName(instance, zone) }));
  const candidates = writable((type === Type.PTR ? names : ofType(type, [])).map(plain));
  const soa = candidates.length === 0 ? ({ section: "authority", owner: "question", serial } as const) : undefined;
  return { ...EMPTY, rcode: Rcode.NOERROR, authoritative: true, candidates, soa };
}

function isThere(asked: Extract<Asked, { kind: "between" }>, directory: Directory): boolean {
  const { namespace, service, locality, protocol } = asked;
  if (namespace === undefined) return true;
  if (service !== undefined) return directory.service(namespace, service) !== undefined;
  if (protocol !== undefined) return directory.hasProtocol(namespace, protocol, locality);
  return locality === undefined ? directory.hasNamespace(namespace) : directory.hasZone(namespace, locality);
}

function instancesOf(view: ServiceView, asked: Extract<Asked, { kind: "service" }>): readonly DnsInstance[] {
  const { tag, locality, srv } = asked;
  const near = locality === undefined ? view.all : view.inZone(locality);
  if (tag === undefined || (srv && tag === "tcp")) return near;
  const tagged = new Set(view.tagged(tag));
  return near.filter((instance) => tagged.has(instance) || (srv && instance.protocol === tag));
}

/**
 * The instances to send requests to: passing or warning, serving, with a weight. If there are none, the instances that
 * were never checked, since nothing is known against them yet. Critical instances are never returned.
 */
export function usable(instances: readonly DnsInstance[]): readonly DnsInstance[] {
  const open = instances.filter((instance) => isServing(instance) && instance.weight > 0);
  const well = open.filter(({ status }) => isAlive(status));
  return well.length > 0 ? well : open.filter(({ status }) => status === "unknown");
}

function answerService(
  type: number,
  instances: readonly DnsInstance[],
  { zone, srv }: { zone: Zone; srv: boolean },
): Candidate[] {
  if (type === Type.ANY) return [plain(MINIMAL_ANY)];
  const rank = (instance: DnsInstance) => (zone.near === undefined || instance.zone === zone.near ? 1 : 2);
  const inOrder = (candidates: Candidate[]) => candidates.sort((a, b) => a.priority - b.priority);
  if (type === Type.SRV) {
    return inOrder(
      usable(instances).map((instance) => ({ ...srvOf(instance, zone, rank(instance)), weight: instance.weight })),
    );
  }
  if (srv) return [];
  if (type === Type.TXT) {
    const text = (instance: DnsInstance): Candidate => ({
      record: textOf(instance),
      weight: instance.weight,
      priority: rank(instance),
    });
    return inOrder(usable(instances).map(text));
  }
  if (type !== Type.A && type !== Type.AAAA) return [];
  // One record per address. Instances that share it share its weight as well.
  const found = new Map<string, Candidate>();
  for (const instance of usable(instances)) {
    for (const record of ofType(type, addressRecord(instance.address))) {
      const key = JSON.stringify(record.data);
      const known = found.get(key);
      const priority = Math.min(known?.priority ?? 2, rank(instance));
      found.set(key, { record, weight: (known?.weight ?? 0) + instance.weight, priority });
    }
  }
  return inOrder([...found.values()]);
}

/** An instance's own name resolves whatever its health: the client asks for this instance. */
function answerInstance(type: number, instance: DnsInstance, zone: Zone): Candidate[] {
  const addresses = addressRecord(instance.address);
  if (type === Type.ANY) return [plain(MINIMAL_ANY)];
  if (addresses.length === 0) return [plain({ type: "CNAME", data: instance.address })];
  const { record, glue } = srvOf(instance, zone, 1);
  const found = ofType(type, [...addresses, record, textOf(instance)]).map(plain);
  return glue && type === Type.SRV ? found.map((one) => ({ ...one, glue })) : found;
}

function srvOf(instance: DnsInstance, zone: Zone, priority: number): Candidate {
  const [address] = addressRecord(instance.address);
  // A target must not be an alias, so the target is the instance's host name itself.
  const target = address ? instanceName(instance, zone) : instance.address;
  const { port, weight } = instance;
  return {
    record: { type: "SRV", data: { priority, weight, port, target } },
    priority,
    weight,
    ...(address ? { glue: { owner: target, record: address } } : {}),
  };
}

/** Bytes of one string of a TXT record. RFC 1035 §3.3. */
const TEXT_BYTES_MAX = 255;

/** The id, then the metadata as `key=value`. A pair too long for one string is omitted, not cut. */
function textOf({ id, metadata }: DnsInstance): RecordData {
  const pairs = Object.entries(metadata).map(([key, value]) => `${key}=${value}`);
  return { type: "TXT", data: [`id=${id}`, ...pairs.filter((pair) => Buffer.byteLength(pair) <= TEXT_BYTES_MAX)] };
}

function instanceName({ namespace, service, id }: DnsInstance, zone: Zone): string {
  const scope = namespace === zone.namespace ? [] : [namespace, "ns"];
  return [instanceLabel(id), service, "instance", ...scope, ...zone.labels].join(".");
}

export function nameServer(zone: readonly string[]): string {
  return ["ns", ...zone].join(".");
}

function addressRecord(text: string): RecordData[] {
  const found = canonicalAddress(text);
  return found ? [{ type: found.type, data: found.address }] : [];
}

function ofType(type: number, records: readonly RecordData[]): readonly RecordData[] {
  return type === Type.ANY ? [MINIMAL_ANY] : records.filter((record) => Type[record.type] === type);
}

/** The candidates that can be encoded: one that cannot must not cost a client the others. */
function writable(candidates: readonly Candidate[]): readonly Candidate[] {
  return candidates.filter(({ record }) => isWritable(record));
}

function plain(record: RecordData): Candidate {
  return { record, weight: 1, priority: 1 };
}
