/**
 * Forwards queries for other names to other servers: by UDP from a random port with a random id, and by TCP when the
 * answer was truncated. An answer that does not repeat the question under the id is ignored.
 * @see RFC 5452 (forged answers)
 */
import { createSocket } from "node:dgram";
import { connect, isIP } from "node:net";
import type { Host } from "#base";
import ipaddr from "ipaddr.js";
import { answersQuery, isTruncated, writeForwarded, type Query } from "./core/message.ts";

/** Milliseconds for one server to answer before the next one is tried. */
const FORWARD_MS_MAX = 2_000;
/** Concurrent forwarded queries; each holds a descriptor. */
const FORWARDED_MAX = 256;
const DNS_PORT = 53;

export interface Upstream {
  readonly address: string;
  readonly port: number;
}

/** `10.0.0.2`, `10.0.0.2:5353`, `2001:db8::1`, `[2001:db8::1]:5353`; undefined for anything else. */
export function parseUpstream(text: string): Upstream | undefined {
  if (isIP(text) !== 0) return { address: text, port: DNS_PORT };
  const [, six, four, port] = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(text) ?? [];
  const address = six ?? four ?? "";
  const number = Number(port);
  if (isIP(address) === 0 || (isIP(address) === 6) !== (six !== undefined)) return undefined;
  return number >= 1 && number <= 65_535 ? { address, port: number } : undefined;
}

/** Address ranges of clients whose queries are forwarded. For all other clients this is not a resolver. */
const LOCAL_RANGES = new Set(["loopback", "private", "linkLocal", "uniqueLocal", "carrierGradeNat"]);

export function isLocalClient(address: string): boolean {
  const [plain = ""] = address.split("%", 1);
  return ipaddr.isValid(plain) && LOCAL_RANGES.has(ipaddr.process(plain).range());
}

export class Forwarder {
  readonly #host: Host;
  readonly #upstreams: readonly Upstream[];
  readonly #stop = new AbortController();
  #asked = 0;

  constructor(host: Host, upstreams: readonly Upstream[]) {
    this.#host = host;
    this.#upstreams = upstreams;
  }

  get enabled(): boolean {
    return this.#upstreams.length > 0;
  }

  /** The answer as received, with an id that is not the client's; undefined when no server answered. Never rejects. */
  async ask(query: Query): Promise<Buffer | undefined> {
    if (this.#asked >= FORWARDED_MAX) return undefined;
    this.#asked++;
    try {
      for (const upstream of this.#upstreams) {
        const answer = await this.#once(query, upstream, overUdp);
        if (!answer) continue;
        if (!isTruncated(answer)) return answer;
        return (await this.#once(query, upstream, overTcp)) ?? answer;
      }
      return undefined;
    } finally {
      this.#asked--;
    }
  }

  async #once(query: Query, upstream: Upstream, exchange: Exchange): Promise<Buffer | undefined> {
    const [high = 0, low = 0] = this.#host.random.bytes(2);
    const id = (high << 8) | low;
    const late = new AbortController();
    const cancel = this.#host.clock.after(FORWARD_MS_MAX, () => late.abort());
    const signal = AbortSignal.any([late.signal, this.#stop.signal]);
    try {
      return await exchange(upstream, writeForwarded(query, id), {
        fits: (answer) => answersQuery(answer, query, id),
        signal,
      });
    } finally {
      cancel();
    }
  }

  [Symbol.dispose](): void {
    this.#stop.abort(new Error("stopping"));
  }
}

type Exchange = (
  upstream: Upstream,
  query: Buffer,
  options: { fits: (answer: Buffer) => boolean; signal: AbortSignal },
) => Promise<Buffer | undefined>;

/** Each query has its own socket: the system gives it a random port, and it receives only from that server. */
const overUdp: Exchange = ({ address, port }, query, { fits, signal }) =>
  new Promise((resolve) => {
    const socket = createSocket(isIP(address) === 6 ? "udp6" : "udp4");
    let open = true;
    const done = (answer?: Buffer) => {
      if (!open) return;
      open = false;
      signal.removeEventListener("abort", abort);
      socket.close();
      resolve(answer);
    };
    const abort = () => done();
    socket.on("error", abort);
    socket.on("message", (answer) => {
      if (fits(answer)) done(answer);
    });
    signal.addEventListener("abort", abort, { once: true });
    if (signal.aborted) return done();
    socket.connect(port, address, () => {
      if (open) socket.send(query);
    });
  });

const overTcp: Exchange = ({ address, port }, query, { fits, signal }) =>
  new Promise((resolve) => {
    const socket = connect({ host: address, port });
    let held: Buffer = Buffer.alloc(0);
    const done = (answer?: Buffer) => {
      signal.removeEventListener("abort", abort);
      socket.destroy();
      resolve(answer);
    };
    const abort = () => done();
    socket.on("error", abort);
    socket.on("close", abort);
    socket.on("data", (chunk: Buffer) => {
      held = Buffer.concat([held, chunk]);
      if (held.length < 2) return;
      const length = held.readUInt16BE(0);
      if (held.length < length + 2) return;
      const answer = held.subarray(2, length + 2);
      done(fits(answer) ? answer : undefined);
    });
    signal.addEventListener("abort", abort, { once: true });
    if (signal.aborted) return done();
    const framed = Buffer.alloc(query.length + 2);
    framed.writeUInt16BE(query.length, 0);
    query.copy(framed, 2);
    socket.write(framed);
  });
