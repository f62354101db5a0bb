/**
 * The DNS server: one port for UDP and TCP, over any reader of the catalog. It answers for its own zone and for the
 * addresses of instances. Queries for other names are forwarded for local clients only, and otherwise refused. Queries
 * of a client above its rate are dropped. Every second one gets a truncated answer, which asks the client to retry over
 * TCP, where an address cannot be forged.
 */
import { createSocket, type RemoteInfo, type Socket } from "node:dgram";
import { once } from "node:events";
import { isIP, type AddressInfo } from "node:net";
import { networkInterfaces } from "node:os";
import { messageOf, type Host } from "#base";
import { clientNetwork } from "#base/address-class";
import type { Zone } from "./core/answer.ts";
import type { DnsCatalog } from "./core/directory.ts";
import { RateLimiter } from "./core/limiter.ts";
import {
  emptyTail,
  Rcode,
  rcodeOf,
  readdressed,
  readQuery,
  TCP_BYTES_MAX,
  udpBytes,
  writeAnswer,
  type Query,
  type Transport,
} from "./core/message.ts";
import { Forwarder, isLocalClient, type Upstream } from "./forwarder.ts";
import { Responder } from "./responder.ts";
import { TcpListener } from "./tcp.ts";

/** Tries to find a port that is free for UDP and for TCP, when the port may be any. */
const PORT_TRIES = 20;
/** Bytes of the system's receive buffer: a burst of several thousand queries. */
const RECEIVE_BYTES = 1024 * 1024;
/** One of so many UDP queries is timed: reading the clock costs a noticeable part of an answer. */
const TIMED_EVERY = 16;
/** Seconds; an answer from memory takes microseconds. */
const BUCKETS_SECONDS = [0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.25];

export interface DnsOptions {
  readonly host: string;
  /** 0: any port that is free for both UDP and TCP. */
  readonly port: number;
  readonly zone: Omit<Zone, "addresses">;
  readonly forwarders: readonly Upstream[];
  /** Queries per second of one client, 0 for no limit, and whether clients on this machine are limited as well. */
  readonly limit: { readonly perSecond: number; readonly loopback: boolean };
}

export interface RunningDns extends AsyncDisposable {
  readonly port: number;
  /** Questions with a cached answer. */
  kept(): number;
}

/** Starts to answer. @throws the system's error when the port cannot be opened */
export async function startDns(host: Host, catalog: DnsCatalog, options: DnsOptions): Promise<RunningDns> {
  await using stack = new AsyncDisposableStack();
  const zone: Zone = { ...options.zone, addresses: ownAddresses(options.host) };
  const responder = stack.use(new Responder(host, catalog, zone));
  const forwarder = stack.use(new Forwarder(host, options.forwarders));
  const server = new DnsServer(host, { responder, forwarder, limit: options.limit });
  const tcp = stack.use(
    new TcpListener(host, {
      answer: (query, client) => server.answerTcp(query, client),
      dropped: (reason) => server.dropped(reason),
    }),
  );
  const { udp, port } = await listen(tcp, options);
  stack.defer(() => new Promise((resolve) => void udp.close(() => resolve())));
  udp.on("error", (error) => host.log.warn({ err: error }, `DNS over UDP: ${messageOf(error)}`));
  udp.on("message", (bytes, from) => server.answerUdp(udp, bytes, from));
  const owned = stack.move();
  return { port, kept: () => responder.kept, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

class DnsServer {
  readonly #host: Host;
  readonly #responder: Responder;
  readonly #forwarder: Forwarder;
  readonly #limits: { readonly udp: RateLimiter; readonly tcp: RateLimiter; readonly loopback: boolean };
  readonly #dropped;
  readonly #seconds;
  #sinceTimed = 0;
  #slip = false;

  constructor(
    host: Host,
    parts: { responder: Responder; forwarder: Forwarder; limit: { perSecond: number; loopback: boolean } },
  ) {
    const { perSecond, loopback } = parts.limit;
    this.#host = host;
    this.#responder = parts.responder;
    this.#forwarder = parts.forwarder;
    this.#limits = { udp: new RateLimiter(perSecond), tcp: new RateLimiter(perSecond), loopback };
    this.#dropped = host.metrics.counter({
      name: "posthouse_dns_dropped_total",
      help: "DNS queries and connections dropped, by reason.",
      labelNames: ["reason"],
    });
    this.#seconds = host.metrics
      .histogram({
        name: "posthouse_dns_answer_seconds",
        help: `Time to answer a DNS query over UDP from memory; every ${TIMED_EVERY}th is measured.`,
        buckets: BUCKETS_SECONDS,
      })
      .labels();
  }

  dropped(reason: string): void {
    this.#dropped.labels(reason).inc();
  }

  answerUdp(socket: Socket, bytes: Buffer, from: RemoteInfo): void {
    const timed = ++this.#sinceTimed === TIMED_EVERY;
    const began = timed ? this.#host.clock.monotonic() : 0;
    if (!this.#mayAsk(from.address, "udp")) return this.#overLimit(socket, bytes, from);
    const reply = this.#responder.respond(bytes, "udp");
    if (reply.kind === "answer") send(socket, reply.bytes, from);
    else if (reply.kind === "drop") this.dropped(reply.reason);
    else void this.#outside(reply.query, from.address, "udp").then((answer) => send(socket, answer, from));
    if (!timed) return;
    this.#sinceTimed = 0;
    this.#seconds.observe((this.#host.clock.monotonic() - began) / 1000);
  }

  answerTcp(bytes: Buffer, client: string): Promise<Buffer> | Buffer | undefined {
    if (!this.#mayAsk(client, "tcp")) {
      this.dropped("rate");
      return undefined;
    }
    const reply = this.#responder.respond(bytes, "tcp");
    if (reply.kind === "answer") return reply.bytes;
    if (reply.kind === "outside") return this.#outside(reply.query, client, "tcp");
    this.dropped(reply.reason);
    return undefined;
  }

  #mayAsk(address: string, transport: Transport): boolean {
    if (!this.#limits.loopback && isLoopbackAddress(address)) return true;
    return this.#limits[transport].take(clientNetwork(address), this.#host.clock.monotonic());
  }

  /**
   * Like response rate limiting: a forged address receives at most as many bytes as were sent in its name, and a real
   * client can retry over TCP.
   */
  #overLimit(socket: Socket, bytes: Buffer, from: RemoteInfo): void {
    this.dropped("rate");
    this.#slip = !this.#slip;
    if (!this.#slip) return;
    const reading = readQuery(bytes);
    if (reading.kind !== "query") return;
    send(socket, writeAnswer(reading.query, emptyTail(Rcode.NOERROR, { truncated: true })), from);
  }

  async #outside(query: Query, address: string, transport: Transport): Promise<Buffer> {
    const wanted = (query.copied & 0x0100) !== 0;
    if (!this.#forwarder.enabled || !wanted || !isLocalClient(address)) return this.#empty(query, Rcode.REFUSED);
    const answer = await this.#forwarder.ask(query);
    if (!answer) return this.#empty(query, Rcode.SERVFAIL);
    this.#responder.count(query.type, rcodeOf(answer));
    const most = transport === "tcp" ? TCP_BYTES_MAX : udpBytes(query);
    if (answer.length <= most) return readdressed(answer, query.id);
    return writeAnswer(query, emptyTail(Rcode.NOERROR, { truncated: true }));
  }

  #empty(query: Query, rcode: Rcode): Buffer {
    this.#responder.count(query.type, rcode);
    return writeAnswer(query, emptyTail(rcode));
  }
}

/** An answer that cannot be sent is lost like any packet, and the client retries. */
function send(socket: Socket, answer: Buffer, { port, address }: RemoteInfo): void {
  try {
    socket.send(answer, port, address);
  } catch {
    // The socket is closed, or the packet came from port 0, which cannot receive.
  }
}

function isLoopbackAddress(address: string): boolean {
  return address.startsWith("127.") || address === "::1" || address.startsWith("::ffff:127.");
}

/** One port number for both, because clients are configured with one. */
async function listen(tcp: TcpListener, options: DnsOptions): Promise<{ udp: Socket; port: number }> {
  for (let left = PORT_TRIES; ; left--) {
    const listening = once(tcp.server, "listening");
    tcp.server.listen({ host: options.host, port: options.port });
    await listening;
    const { port, address } = tcp.server.address() as AddressInfo;
    try {
      return { udp: await bind(address, port), port };
    } catch (error) {
      await new Promise((resolve) => tcp.server.close(resolve));
      if (options.port !== 0 || left === 0 || (error as NodeJS.ErrnoException).code !== "EADDRINUSE") throw error;
    }
  }
}

async function bind(address: string, port: number): Promise<Socket> {
  const socket = createSocket({
    type: isIP(address) === 6 ? "udp6" : "udp4",
    recvBufferSize: RECEIVE_BYTES,
    // Addresses come from packets and need no lookup, which would cost as much as the answer.
    lookup: (name, _options, done) => done(null, name, isIP(name)),
  });
  try {
    // The listener is added first: with a literal address the socket is bound before the call returns.
    const listening = once(socket, "listening");
    socket.bind(port, address);
    await listening;
    return socket;
  } catch (error) {
    socket.close();
    throw error;
  }
}

/** The name server's addresses: the configured one, or all of this machine for a wildcard. */
function ownAddresses(host: string): string[] {
  if (isIP(host) !== 0 && host !== "0.0.0.0" && host !== "::") return [host];
  if (isIP(host) === 0) return [];
  return Object.values(networkInterfaces()).flatMap((list) =>
    (list ?? []).filter(({ internal, address }) => !internal && !address.includes("%")).map(({ address }) => address),
  );
}
