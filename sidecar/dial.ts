/** Opens a connection to an ingress over mTLS, verified and admitted: only then has its caller something to send on. */
import { connect as netConnect, type Socket } from "node:net";
import { connect as tlsConnect, type ConnectionOptions, type TLSSocket } from "node:tls";
import { messageOf, type Clock } from "#base";
import type { DialGuard } from "#base/dial";
import { admissionOf, MESH_PROTOCOL, type Admission } from "#identity/core";
import { meshConnectOptions, type MeshCredentials, type RevocationTest } from "#identity/mesh";
import { peerFailureOf, type PeerFailure } from "./peer.ts";
import { resetSocket } from "./relay.ts";

export interface MeshDialing {
  readonly clock: Clock;
  readonly guard: DialGuard;
}

export interface MeshTarget {
  /** Address, IPv6 in brackets. */
  readonly hostname: string;
  readonly port: number;
  /** The workload that the certificate must be for. */
  readonly spiffeId: string;
  readonly isRevoked: RevocationTest;
}

/** The reason why a connection was not established. */
export class DialFailure extends Error {
  /** - `silent`: nothing answered in time. - `refused`: the address did not accept a connection, or the address must not be dialed. */
  readonly kind: "silent" | "refused" | "handshake" | Exclude<Admission, "admitted">;
  /** Of a failed handshake. */
  readonly peer: PeerFailure | undefined;

  constructor(kind: DialFailure["kind"], message: string, peer?: PeerFailure) {
    super(message);
    this.kind = kind;
    this.peer = peer;
  }
}

export interface Dialed {
  readonly socket: TLSSocket;
  /** Resets the connection. */
  readonly reset: () => void;
}

/** @throws DialFailure */
export async function dialIngress(
  { clock, guard }: MeshDialing,
  target: MeshTarget,
  { context }: MeshCredentials,
  { connectMs, signal }: { readonly connectMs: number; readonly signal: AbortSignal },
): Promise<Dialed> {
  const raw = openRaw(guard, target);
  const options: ConnectionOptions & { readonly allowHalfOpen: boolean } = {
    ...meshConnectOptions(context, target.spiffeId, target.isRevoked),
    socket: raw,
    allowHalfOpen: true,
  };
  const socket = tlsConnect(options);
  const { promise, resolve, reject } = Promise.withResolvers<Dialed>();
  let reached = false;
  const cancel = clock.after(connectMs, () => reject(new DialFailure("silent", `no admission within ${connectMs} ms`)));
  const onAbort = () => reject(new DialFailure("refused", "the caller has gone"));
  signal.addEventListener("abort", onAbort, { once: true });
  const onError = (error: Error) => reject(failureOf(error, reached));
  const onClose = () => reject(new DialFailure(reached ? "unreachable" : "refused", "the connection was closed"));
  const onAdmission = (chunk: Buffer) => {
    socket.pause();
    const admission = admissionOf(chunk[0] as number);
    if (admission !== "admitted") return reject(new DialFailure(admission, ADMISSION_WORDS[admission]));
    if (chunk.length > 1) socket.unshift(chunk.subarray(1));
    resolve({ socket, reset: () => resetSocket(raw) });
  };
  const onEnd = () => reject(new DialFailure("unreachable", "the ingress closed the connection"));
  raw.once("connect", () => (reached = true));
  socket.on("error", onError).once("close", onClose).once("end", onEnd);
  socket.once("secureConnect", () => {
    // An ingress of another make admits by not closing the connection.
    if (socket.alpnProtocol === MESH_PROTOCOL) socket.once("data", onAdmission);
    else resolve({ socket, reset: () => resetSocket(raw) });
  });
  try {
    if (signal.aborted) onAbort();
    return await promise;
  } catch (error) {
    socket.on("error", () => {});
    socket.destroy();
    raw.destroy();
    throw error;
  } finally {
    cancel();
    signal.removeEventListener("abort", onAbort);
    socket.off("error", onError).off("close", onClose).off("end", onEnd);
  }
}

const ADMISSION_WORDS: Readonly<Record<Exclude<Admission, "admitted">, string>> = {
  denied: "a rule of the destination denies the connection",
  untrusted: "the destination does not accept this service's certificate",
  unreachable: "the destination's service does not accept a connection",
  draining: "the destination takes no new connections",
  busy: "the destination is not ready, or has too many connections",
};

function openRaw(guard: DialGuard, { hostname, port }: Pick<MeshTarget, "hostname" | "port">): Socket {
  try {
    const raw = netConnect({ ...guard.target(hostname, port), allowHalfOpen: true, noDelay: true });
    raw.setKeepAlive(true, KEEP_ALIVE_PROBE_MS);
    return raw;
  } catch (error) {
    throw new DialFailure("refused", messageOf(error));
  }
}

/** Milliseconds for one test connection. */
const PROBE_MS_MAX = 2_000;
/** Milliseconds of silence before TCP probes the peer, so that a connection cut by the network is noticed. */
const KEEP_ALIVE_PROBE_MS = 30_000;

function failureOf(error: Error, reached: boolean): DialFailure {
  const { code = "" } = error as { code?: string };
  if (code === "ETIMEDOUT") return new DialFailure("silent", error.message);
  if (!reached) return new DialFailure("refused", error.message);
  // The ingress may have reset a connection that it could not admit.
  if (code === "ECONNRESET" || code === "EPIPE") return new DialFailure("unreachable", error.message);
  return new DialFailure("handshake", error.message, peerFailureOf(code));
}

/** Whether an address accepts a TCP connection now. */
export async function canReach(
  { clock, guard }: MeshDialing,
  { hostname, port }: Pick<MeshTarget, "hostname" | "port">,
): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  let socket: Socket;
  try {
    socket = openRaw(guard, { hostname, port });
  } catch {
    return false;
  }
  const cancel = clock.after(PROBE_MS_MAX, () => resolve(false));
  socket.on("connect", () => resolve(true)).on("error", () => resolve(false));
  try {
    return await promise;
  } finally {
    cancel();
    socket.destroy();
  }
}
