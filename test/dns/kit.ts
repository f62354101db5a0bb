/** A catalog that tests write themselves, a DNS server over it, and a client that speaks bytes. */
import { createSocket } from "node:dgram";
import { connect, type Socket } from "node:net";
import { decode, encode, type DecodedPacket, type Packet } from "dns-packet";
import type { Host } from "#base";
import { type DnsCatalog, type DnsInstance, type DnsOptions, startDns } from "#dns";
import { testHost } from "#test/kit";
import { readQuery, type Query } from "../../dns/core/message.ts";

export const ZONE = {
  labels: ["posthouse"],
  namespace: "default",
  near: undefined,
  addresses: ["127.0.0.1"],
  ttlSeconds: 1,
};
export const NAME = "orders.service.posthouse";

/** The question of a message. @throws Error when the message is not a query */
export function queryOf(bytes: Buffer): Query {
  const reading = readQuery(bytes);
  if (reading.kind !== "query") throw new Error(`not a query: ${JSON.stringify(reading)}`);
  return reading.query;
}

export function instance(id: string, facts: Partial<DnsInstance> = {}): DnsInstance {
  return {
    namespace: "default",
    service: "orders",
    id,
    address: "10.0.0.1",
    port: 4001,
    protocol: "http",
    tags: [],
    metadata: {},
    weight: 100,
    lifecycle: "serving",
    status: "passing",
    ...facts,
  };
}

export interface TestCatalog extends DnsCatalog {
  isReady: boolean;
  /** Registers these, in place of those of the same name. */
  put(...instances: DnsInstance[]): void;
  remove(id: string, service?: string): void;
}

export function testCatalog(...instances: DnsInstance[]): TestCatalog {
  const known = new Map<string, DnsInstance>();
  const listeners = new Set<Parameters<DnsCatalog["onChange"]>[0]>();
  let revision = 1;
  const tell = (changed: readonly DnsInstance[]) => {
    revision++;
    for (const listener of listeners) listener(changed);
  };
  const catalog: TestCatalog = {
    isReady: true,
    ready: () => catalog.isReady,
    knows: (namespace) => namespace !== "elsewhere",
    revision: () => revision,
    instances: (namespace, service) =>
      [...known.values()].filter((one) => one.namespace === namespace && one.service === service),
    services: () => [
      ...new Map([...known.values()].map((one) => [`${one.namespace}/${one.service}`, one] as const)).values(),
    ],
    onChange(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    put(...changed) {
      for (const one of changed) known.set(`${one.namespace}/${one.service}/${one.id}`, one);
      tell(changed);
    },
    remove(id, service = "orders") {
      const key = `default/${service}/${id}`;
      const gone = known.get(key);
      known.delete(key);
      if (gone) tell([gone]);
    },
  };
  for (const one of instances) known.set(`${one.namespace}/${one.service}/${one.id}`, one);
  return catalog;
}

/** Services with tags, zones, an alias, a critical instance, and one of another namespace. */
export function catalogOfNames(): TestCatalog {
  return testCatalog(
    instance("one", { tags: ["V2", "blue"], zone: "EU-1", metadata: { version: "2" } }),
    instance("Two.B", { address: "fd00::2", zone: "eu-2" }),
    instance("far", { service: "cloud", address: "cloud.example.com", port: 443, protocol: "https" }),
    instance("sick", { service: "broken", status: "critical", address: "10.0.0.9", tags: ["v9"] }),
    instance("other", { namespace: "staging", service: "billing", address: "10.1.0.1" }),
  );
}

export interface TestDns extends AsyncDisposable {
  readonly host: Host;
  readonly port: number;
  kept(): number;
}

export async function testDns(
  catalog: DnsCatalog,
  options: Partial<Omit<DnsOptions, "zone">> & { zone?: Partial<DnsOptions["zone"]>; seed?: number } = {},
): Promise<TestDns> {
  const { zone, seed = 1, ...rest } = options;
  const host = testHost({ seed });
  const running = await startDns(host, catalog, {
    host: "127.0.0.1",
    port: 0,
    forwarders: [],
    limit: { perSecond: 0, loopback: false },
    ...rest,
    zone: { labels: ["posthouse"], namespace: "default", near: undefined, ttlSeconds: 1, ...zone },
  });
  return { ...running, host, [Symbol.asyncDispose]: () => running[Symbol.asyncDispose]() };
}

export const RCODES = ["NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED"];

export function rcodeOf(bytes: Uint8Array): string {
  return RCODES[(bytes[3] ?? 0) & 15] ?? "other";
}

/** ANY is missing among the library's types, though it knows it. */
type RecordType = NonNullable<Packet["questions"]>[number]["type"] | "ANY";

export function question(name: string, type: RecordType = "A", extra: Partial<Packet> = {}): Buffer {
  return encode({ type: "query", id: 4711, flags: 0x100, questions: [{ name, type: type as "A" }], ...extra });
}

/** EDNS with this size. */
export function edns(udpPayloadSize: number, ednsVersion = 0): Partial<Packet> {
  const opt = {
    type: "OPT",
    name: ".",
    udpPayloadSize,
    ednsVersion,
    extendedRcode: 0,
    flags: 0,
    flag_do: false,
  } as const;
  return { additionals: [{ ...opt, options: [] }] };
}

/** One answer by UDP; undefined when none came within `waitMs`. */
export function askUdp(port: number, query: Uint8Array, waitMs = 1_000): Promise<Buffer | undefined> {
  return new Promise((resolve, reject) => {
    const socket = createSocket("udp4");
    const done = (answer?: Buffer) => {
      clearTimeout(timer);
      socket.close();
      resolve(answer);
    };
    const timer = setTimeout(done, waitMs);
    socket.on("message", (bytes) => done(bytes));
    socket.on("error", reject);
    socket.send(query, port, "127.0.0.1");
  });
}

export interface Asked {
  readonly rcode: string;
  readonly bytes: Buffer;
  readonly packet: DecodedPacket;
  /** The data of the answers, of whatever type. */
  readonly data: unknown[];
}

function read(bytes: Buffer | undefined): Asked {
  if (!bytes) throw new Error("no answer");
  const packet = decode(bytes);
  const data = (packet.answers ?? []).map((one) => ("data" in one ? one.data : undefined));
  return { rcode: rcodeOf(bytes), bytes, packet, data };
}

export async function ask(port: number, name: string, type?: RecordType, extra?: Partial<Packet>): Promise<Asked> {
  return read(await askUdp(port, question(name, type, extra)));
}

export function framed(query: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from([query.length >> 8, query.length & 255]), query]);
}

/** So many answers over one connection, read as they come. */
export async function askTcp(port: number, queries: Uint8Array, count = 1): Promise<Asked[]> {
  const socket: Socket = connect({ host: "127.0.0.1", port });
  socket.write(queries);
  let held: Buffer = Buffer.alloc(0);
  const answers: Asked[] = [];
  for await (const chunk of socket as AsyncIterable<Buffer>) {
    held = Buffer.concat([held, chunk]);
    while (held.length >= 2 && held.length >= held.readUInt16BE(0) + 2) {
      const length = held.readUInt16BE(0);
      answers.push(read(held.subarray(2, length + 2)));
      held = held.subarray(length + 2);
    }
    if (answers.length === count) break;
  }
  socket.destroy();
  return answers;
}
