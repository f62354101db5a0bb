/**
 * The members of an etcd cluster, one client each, and the choice of member. The choice is made here because etcd3's retries repeat
 * writes: 28 of 31,174 puts were applied twice when its defaults met a dying server.
 */
import { isIP } from "node:net";
import { InterceptingCall, type CallOptions, type Interceptor } from "@grpc/grpc-js";
import { Etcd3, type IOptions } from "etcd3";
import { AppError, bareHost, messageOf, type Host } from "#base";
import { StoreErrors } from "../types.ts";

/** Deadline of one call. etcd answers within milliseconds, or after an election of about a second. */
export const CALL_DEADLINE_MS = 5000;

/**
 * A dead link is noticed after both. etcd cuts clients that ping more than once in five seconds while it sends nothing itself
 * (embed.DefaultGRPCKeepAliveMinTime), so a watch requests signs of life in another way.
 */
const KEEPALIVE_MS = 10_000;
const KEEPALIVE_TIMEOUT_MS = 1000;

export interface EtcdTls {
  /** PEM of the authorities that sign the members' certificates. Absent: those of the system. */
  readonly ca?: Buffer;
  /** PEM of this client's certificate and key, if the members require one. */
  readonly certificate?: Buffer;
  readonly key?: Buffer;
}

/** New certificates apply to new connections. */
export interface EtcdTlsSource {
  readonly current: EtcdTls;
  /** Returns the function that ends it. */
  onChange(listener: () => void): () => void;
}

export interface MembersOptions {
  /** `host:port` or `http(s)://host:port`, one per member. */
  readonly endpoints: readonly string[];
  readonly username?: string | undefined;
  readonly password?: string | undefined;
  /** For https endpoints. */
  readonly tls?: EtcdTlsSource | undefined;
  readonly deadlineMs?: number;
}

interface Member {
  readonly endpoint: string;
  readonly client: Etcd3;
  /**
   * For watches: after a failed call, etcd3 closes everything of the call's client, and gRPC drops the link of a watch some seconds later.
   * Both share one connection.
   */
  readonly streams: Etcd3;
}

type Call<T> = (client: Etcd3, streams: Etcd3) => Promise<T>;

export class Members implements Disposable {
  #members: Member[];
  #preferred = 0;
  readonly #host: Host;
  readonly #options: MembersOptions;
  readonly #stack = new DisposableStack();

  constructor(host: Host, options: MembersOptions) {
    if (options.endpoints.length === 0) throw StoreErrors.INVALID("etcd needs at least one endpoint.");
    for (const endpoint of options.endpoints) requireHostName(endpoint);
    this.#host = host;
    this.#options = options;
    this.#members = this.#connected();
    this.#stack.defer(() => closeAll(this.#members));
    this.#stack.defer(options.tls?.onChange(() => this.#reconnect()) ?? (() => {}));
  }

  #connected(): Member[] {
    return this.#options.endpoints.map((endpoint) => ({
      endpoint,
      client: new Etcd3(clientOptions(this.#host, endpoint, this.#options)),
      streams: new Etcd3(clientOptions(this.#host, endpoint, this.#options)),
    }));
  }

  /** New calls use new connections. The old ones close once their calls are over, and their watches then continue on the new ones. */
  #reconnect(): void {
    const before = this.#members;
    this.#members = this.#connected();
    const close = () => closeAll(before);
    const cancel = this.#host.clock.after(this.#options.deadlineMs ?? CALL_DEADLINE_MS, close);
    this.#stack.defer(() => {
      cancel();
      close();
    });
  }

  /** For error messages. */
  get endpoints(): string {
    return this.#members.map(({ endpoint }) => endpoint).join(", ");
  }

  /** A call that may be repeated: each member is tried once. @throws STORE_UNAVAILABLE, and errors that depend on the request */
  read<T>(call: Call<T>): Promise<T> {
    return this.#ask(call, isUnreachable);
  }

  /** A call that must not be repeated: another member is tried only when nothing was sent to this one. */
  write<T>(call: Call<T>): Promise<T> {
    return this.#ask(call, isNeverSent);
  }

  [Symbol.dispose](): void {
    this.#stack.dispose();
  }

  async #ask<T>(call: Call<T>, mayAskAnother: (error: unknown) => boolean): Promise<T> {
    for (let asked = 1; ; asked++) {
      const index = this.#preferred;
      const { endpoint, client, streams } = this.#members[index] as Member;
      try {
        return await call(client, streams);
      } catch (error) {
        if (isUnreachable(error) && this.#preferred === index) this.#preferred = (index + 1) % this.#members.length;
        if (asked < this.#members.length && mayAskAnother(error)) continue;
        throw asStoreError(error, endpoint);
      }
    }
  }
}

/** gRPC takes an IP address for the name to verify, which Node rejects, so every call would fail with an error about a server name. */
function requireHostName(endpoint: string): void {
  if (!endpoint.startsWith("https:")) return;
  const host = bareHost(new URL(endpoint).hostname);
  if (isIP(host) === 0) return;
  throw StoreErrors.INVALID(
    `${endpoint} names etcd by an IP address, which cannot be verified over TLS. Use a host name that its certificate has.`,
  );
}

function closeAll(members: readonly Member[]): void {
  for (const { client, streams } of members) {
    client.close();
    streams.close();
  }
}

/** Makes etcd end the stream when its member has lost the leader, instead of falling silent. */
export const REQUIRE_LEADER: CallOptions = {
  interceptors: [
    ((options, nextCall) =>
      new InterceptingCall(nextCall(options), {
        start(metadata, listener, next) {
          const own = metadata.clone();
          own.set("hasleader", "true");
          next(own, listener);
        },
      })) satisfies Interceptor,
  ],
};

/** The error of a dead stream, as gRPC would report it. */
export function streamCut(why: string): Error {
  return Object.assign(new Error(why), { code: 14 });
}

/** Whether etcd reports a compacted revision. It reveals which one to watches only. */
export function isCompacted(error: unknown): boolean {
  return messageOf(error).includes("required revision has been compacted");
}

export function isFuture(error: unknown): boolean {
  return messageOf(error).includes("required revision is a future revision");
}

export function isLeaseNotFound(error: unknown): boolean {
  return messageOf(error).includes("requested lease not found");
}

function clientOptions(host: Host, endpoint: string, options: MembersOptions): IOptions {
  const { username, password, tls, deadlineMs = CALL_DEADLINE_MS } = options;
  return {
    hosts: endpoint,
    // No breaker and no retry, because the choice of the next member is made above.
    faultHandling: { global: ONCE, host: () => ONCE },
    defaultCallOptions: ({ isStream }) => (isStream ? {} : { deadline: host.clock.now() + deadlineMs }),
    grpcOptions: {
      "grpc.keepalive_time_ms": KEEPALIVE_MS,
      "grpc.keepalive_timeout_ms": KEEPALIVE_TIMEOUT_MS,
      // Listings are unlimited, so their messages must be, too.
      "grpc.max_receive_message_length": -1,
      "grpc.max_send_message_length": -1,
      "grpc.initial_reconnect_backoff_ms": 100,
      "grpc.min_reconnect_backoff_ms": 100,
      "grpc.max_reconnect_backoff_ms": 2000,
    },
    ...(username === undefined ? {} : { auth: { username, password: password ?? "" } }),
    ...(endpoint.startsWith("https:") ? { credentials: credentialsOf(tls?.current ?? {}) } : {}),
  };
}

/** gRPC verifies the member's certificate and its name in any case. */
function credentialsOf({ ca, certificate, key }: EtcdTls): NonNullable<IOptions["credentials"]> {
  return {
    // Without an authority, gRPC uses those of the system. The type of etcd3 does not say so.
    rootCertificate: ca as Buffer,
    ...(certificate === undefined ? {} : { certChain: certificate }),
    ...(key === undefined ? {} : { privateKey: key }),
  };
}

type Policy = NonNullable<NonNullable<IOptions["faultHandling"]>["global"]>;

/** A policy that calls once. cockatiel's own cannot be imported, because it is a dependency of etcd3. */
const ONCE = {
  execute: async (call: (context: object) => unknown) => call({ signal: new AbortController().signal }),
} as unknown as Policy;

/** gRPC's numbers for cancelled, unknown, deadline exceeded, aborted, internal and unavailable. */
const UNREACHABLE_CODES = new Set<unknown>([1, 2, 4, 10, 13, 14]);

/** Errors of etcd or gRPC that are caused by the member, the link or the quorum, and not by the request. */
function isUnreachable(error: unknown): boolean {
  if (error instanceof AppError) return false;
  if (UNREACHABLE_CODES.has((error as { code?: unknown }).code)) return true;
  const name = error instanceof Error ? error.constructor.name : "";
  return (
    /^GRPC(Unavailable|DeadlineExceeded|Cancelled|Internal|Unknown|Generic|Aborted)/.test(name) ||
    /no leader|request timed out|not capable|leader changed|ECONNREFUSED|stopped/.test(messageOf(error))
  );
}

/** grpc-js found no link to send the call over. */
function isNeverSent(error: unknown): boolean {
  return messageOf(error).includes("No connection established");
}

function asStoreError(error: unknown, endpoint: string): unknown {
  if (error instanceof AppError) return error;
  const message = messageOf(error);
  // These errors depend on the request, so the caller converts them.
  if (isCompacted(error) || isFuture(error) || isLeaseNotFound(error)) return error;
  if (message.includes("database space exceeded")) {
    return StoreErrors.FULL(
      `etcd at ${endpoint} has exhausted its quota. Compact and defragment it, or raise the quota; then disarm the alarm.`,
      { cause: error },
    );
  }
  if (/too many operations|duplicate key given|request is too large/.test(message)) {
    return StoreErrors.INVALID(`etcd at ${endpoint} rejected the transaction: ${message}.`, { cause: error });
  }
  return StoreErrors.UNAVAILABLE(
    `etcd at ${endpoint} failed: ${message}. Check that it runs, has a quorum and is reachable.`,
    { cause: error },
  );
}
