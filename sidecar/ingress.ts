/**
 * The mTLS entrance of one service of this host. It verifies the caller's certificate, asks the rules, connects to the service's own
 * port, and then passes bytes both ways. A connection that is not admitted is closed after its handshake. Its caller learns why by the
 * byte of the mesh protocol if it offers that, and otherwise sees a close: the bytes are not parsed, so an answer cannot be written.
 */
import { connect as netConnect, type Server as NetServer, type Socket } from "node:net";
import { createServer, type Server, type TLSSocket } from "node:tls";
import type { Host } from "#base";
import { admissionByte, MESH_PROTOCOL, type Admission, type WorkloadName } from "#identity/core";
import { meshTlsOptions, type MeshIdentity } from "#identity/mesh";
import type { RuleBook } from "./core/service-rules.ts";
import type { SidecarCounters } from "./counters.ts";
import { CONNECTIONS_MAX, HANDSHAKE_MS_MAX, LOCAL_CONNECT_MS_MAX } from "./limits.ts";
import { checkClient, peerFailureOf, revokedText, type PeerFailure } from "./peer.ts";
import { Relay, resetSocket } from "./relay.ts";
import { Relays } from "./relays.ts";

/** The versions of HTTP behind registered protocols, for callers that choose one by ALPN. */
const ALPN: ReadonlyMap<string, string> = new Map([
  ["http", "http/1.1"],
  ["h2c", "h2"],
  ["grpc", "h2"],
]);

export interface IngressOptions {
  readonly namespace: string;
  readonly service: string;
  /** Where the service itself listens. */
  readonly local: { readonly host: string; readonly port: number };
  /** Protocol of the service, as it is registered. */
  readonly protocol: string;
  /** The longest life of a connection, in milliseconds; undefined: as long as both sides want. */
  readonly lifetimeMs?: number | undefined;
}

export interface IngressParts {
  readonly identity: MeshIdentity;
  readonly counters: SidecarCounters;
  /** The rules of the service's namespace; undefined: not known yet. */
  readonly book: () => RuleBook | undefined;
  /** Called for each refused caller. */
  readonly onRefused: (refusal: IngressRefusal) => void;
}

export interface IngressRefusal {
  readonly namespace: string;
  readonly service: string;
  readonly address: string;
  /** SPIFFE id; undefined: the caller has none that is accepted. */
  readonly caller?: string | undefined;
  readonly reason: "denied" | "reported" | PeerFailure;
  readonly detail: string;
}

interface Caller {
  readonly workload: WorkloadName;
  readonly spiffeId: string;
  readonly serial: string;
  readonly address: string;
}

export class Ingress {
  readonly options: IngressOptions;
  readonly #host: Host;
  readonly #parts: IngressParts;
  readonly #server: Server;
  readonly #relays: Relays<Caller>;
  readonly #flow;
  /** Sockets below TLS by their peer's address and port, since only these can be reset. */
  readonly #raw = new Map<string, Socket>();
  readonly #endRevoked: () => void;
  #draining = false;

  constructor(host: Host, options: IngressOptions, parts: IngressParts) {
    this.#host = host;
    this.options = options;
    this.#parts = parts;
    this.#relays = new Relays(host, options.lifetimeMs);
    this.#flow = parts.counters.flow(options.service, "ingress");
    this.#server = createServer({
      requestCert: true,
      // Checked here, so that each reason is counted and reported.
      rejectUnauthorized: false,
      handshakeTimeout: HANDSHAKE_MS_MAX,
      allowHalfOpen: true,
      noDelay: true,
      ALPNCallback: ({ protocols }) => this.#choose(protocols),
    });
    this.#server.on("connection", (raw: Socket) => this.#onRaw(raw));
    this.#server.on("tlsClientError", (error: Error & { code?: string }, socket) => this.#onFailure(error, socket));
    this.#server.on("secureConnection", (socket) => this.#onSecure(socket));
    this.#endRevoked = parts.identity.onRevoked(() => this.#cutRevoked());
    parts.identity.onChange(() => this.#renew());
    this.#renew();
  }

  get server(): NetServer {
    return this.#server;
  }

  get connections(): number {
    return this.#raw.size;
  }

  /** New connections get the new certificate; those under way keep theirs. */
  #renew(): void {
    const { credentials } = this.#parts.identity;
    if (credentials) this.#server.setSecureContext(meshTlsOptions(credentials.material));
  }

  /** By the service's protocol; for one without a version of HTTP, the caller's first choice. Undefined ends the handshake. */
  #choose(protocols: readonly string[]): string | undefined {
    if (protocols.includes(MESH_PROTOCOL)) return MESH_PROTOCOL;
    const wanted = ALPN.get(this.options.protocol);
    if (wanted === undefined) return protocols[0];
    return protocols.includes(wanted) ? wanted : undefined;
  }

  #onRaw(raw: Socket): void {
    if (this.#raw.size >= CONNECTIONS_MAX) {
      this.#parts.counters.ingress(this.options.service, "busy");
      raw.destroy();
      return;
    }
    const key = peerKey(raw);
    this.#raw.set(key, raw);
    raw.once("close", () => this.#raw.delete(key));
  }

  #onFailure(error: Error & { code?: string }, socket: TLSSocket): void {
    // A probe of the port, such as a health check, ends without a handshake.
    if (error.code === "ECONNRESET") return;
    this.#refuse(peerFailureOf(error.code ?? ""), error.message, socket);
  }

  #refuse(reason: IngressRefusal["reason"], detail: string, socket: TLSSocket, caller?: string): void {
    const { namespace, service } = this.options;
    const { counters, onRefused } = this.#parts;
    const isRule = reason === "denied" || reason === "reported";
    if (!isRule) {
      counters.handshakeFailed(service, "ingress", reason);
      counters.ingress(service, "untrusted");
    }
    onRefused({ namespace, service, address: socket.remoteAddress ?? "", caller, reason, detail });
  }

  #onSecure(socket: TLSSocket): void {
    socket.on("error", () => {});
    const { credentials, isRevoked } = this.#parts.identity;
    const peer = checkClient(socket, { trustDomain: credentials?.trustDomain ?? "", isRevoked });
    if (peer.failure) {
      this.#refuse(peer.failure, peer.detail, socket);
      return this.#close(socket, "untrusted");
    }
    const caller = { ...peer, address: socket.remoteAddress ?? "" };
    const verdict = this.#judge(caller, socket);
    if (verdict !== "admitted") return this.#close(socket, verdict);
    this.#connect(socket, caller);
  }

  /** Asks the rules, and reports what they deny. */
  #judge({ workload, spiffeId, address }: Caller, socket?: TLSSocket): Admission {
    const { namespace, service } = this.options;
    const { counters } = this.#parts;
    if (this.#draining) return "draining";
    const book = this.#parts.book();
    if (!book) {
      counters.ingress(service, "busy");
      return "busy";
    }
    const { allowed, reportOnly, explanation } = book.decide(workload, service);
    if (allowed) return "admitted";
    counters.denial({ caller: spiffeId, namespace, service, explanation, reportOnly, address });
    counters.ingress(service, reportOnly ? "reported" : "denied");
    if (socket) this.#refuse(reportOnly ? "reported" : "denied", explanation, socket, spiffeId);
    return reportOnly ? "admitted" : "denied";
  }

  /** Ends a connection that is not admitted, with its byte if the caller knows the protocol. */
  #close(socket: TLSSocket, admission: Admission): void {
    const raw = this.#raw.get(peerKey(socket));
    const byte = socket.alpnProtocol === MESH_PROTOCOL ? admissionByte(admission) : undefined;
    const cancel = this.#host.clock.after(LINGER_MS, () => raw?.destroy());
    socket.once("close", cancel);
    socket.resume();
    if (byte) socket.end(byte);
    else socket.end();
  }

  #connect(socket: TLSSocket, caller: Caller): void {
    const { local, service } = this.options;
    const { counters } = this.#parts;
    const far = netConnect({ ...local, allowHalfOpen: true, noDelay: true });
    const cancel = this.#host.clock.after(LOCAL_CONNECT_MS_MAX, () => far.destroy(new Error("no answer in time")));
    const onGone = () => far.destroy();
    socket.once("close", onGone);
    far.once("close", () => {
      cancel();
      if (socket.destroyed) return;
      counters.ingress(service, "unreachable");
      this.#close(socket, "unreachable");
    });
    far.on("error", (error) => this.#host.log.debug({ service, ...local, err: error }, "the service is not reached"));
    far.once("connect", () => {
      cancel();
      far.removeAllListeners("close");
      socket.off("close", onGone);
      if (socket.destroyed) {
        far.destroy();
        return;
      }
      counters.ingress(service, "admitted");
      if (socket.alpnProtocol === MESH_PROTOCOL) socket.write(admissionByte("admitted"));
      this.#relay(socket, far, caller);
    });
  }

  #relay(socket: TLSSocket, far: Socket, caller: Caller): void {
    const raw = this.#raw.get(peerKey(socket)) ?? socket;
    this.#flow.opened();
    const relay = new Relay(
      { socket, reset: () => resetSocket(raw) },
      { socket: far, reset: () => resetSocket(far) },
      {
        onBytes: this.#flow.bytes,
        onEnd: () => {
          this.#relays.delete(relay);
          this.#flow.closed();
        },
      },
      this.#host.clock.monotonic(),
    );
    this.#relays.add(relay, caller);
    // By now it may be.
    if (this.#parts.identity.isRevoked(caller.serial)) this.#cutRevoked();
  }

  /** Ends the connections of callers whose certificates were revoked meanwhile. */
  #cutRevoked(): void {
    const { counters, identity } = this.#parts;
    const { namespace, service } = this.options;
    this.#relays.cutWhere(({ serial, spiffeId: caller, address }) => {
      if (!identity.isRevoked(serial)) return false;
      counters.handshakeFailed(service, "ingress", "revoked");
      const detail = revokedText(serial);
      this.#parts.onRefused({ namespace, service, address, caller, reason: "revoked", detail });
      return true;
    });
  }

  /** After a change of the rules: ends the connections that they no longer allow. */
  recheck(): void {
    const book = this.#parts.book();
    if (!book) return;
    const { namespace, service } = this.options;
    this.#relays.cutWhere(({ workload, spiffeId, address }) => {
      const { allowed, reportOnly, explanation } = book.decide(workload, service);
      if (allowed || reportOnly) return false;
      this.#parts.counters.denial({ caller: spiffeId, namespace, service, explanation, reportOnly, address });
      this.#parts.onRefused({ namespace, service, address, caller: spiffeId, reason: "denied", detail: explanation });
      return true;
    });
  }

  /** Takes no new connections, waits for those under way for at most `drainMs`, and cuts the rest. */
  async close(drainMs: number): Promise<void> {
    this.#draining = true;
    this.#server.close();
    await this.#relays.close(drainMs);
    this.#endRevoked();
    for (const raw of this.#raw.values()) raw.destroy();
  }
}

/** Milliseconds for a refused caller to take its byte and close. */
const LINGER_MS = 1_000;

function peerKey({ remoteAddress = "", remotePort = 0 }: Socket): string {
  return `${remoteAddress}|${remotePort}`;
}
