/** Opens sockets to endpoints: within a time limit, over verified TLS, and never to an address that the guard refuses. */
import { connect as netConnect, isIP, type Socket } from "node:net";
import { connect as tlsConnect, type PeerCertificate, type TLSSocket } from "node:tls";
import { type Clock, messageOf } from "#base";
import type { DialGuard, DialTarget } from "#base/dial";
import { serviceSpiffeId } from "#identity/core";
import { meshConnectOptions, type MeshCredentials, type MeshIdentity } from "#identity/mesh";
import { hasAltName } from "../core/callers/certificates.ts";
import type { Endpoint } from "../core/balancing/endpoints.ts";
import { awaitAdmission } from "./admission.ts";
import { UpstreamError } from "./transfer.ts";

/** Milliseconds between probes of a silent connection, so that a connection cut by the network is noticed. */
const KEEP_ALIVE_PROBE_MS = 30_000;

/** Error codes of OpenSSL and Node for a certificate that is not trusted, and for a failed handshake. */
const UNTRUSTED = /CERT|SELF_SIGNED|UNABLE_TO_(GET|VERIFY)|ALTNAME|HOSTNAME_MISMATCH|ERR_SSL|ERR_TLS|EPROTO/;

export interface Connected {
  readonly socket: Socket;
  /** The protocol that both sides chose by ALPN; undefined in the clear, and for an upstream without ALPN. */
  readonly protocol: string | undefined;
}

export interface Dialing {
  readonly clock: Clock;
  readonly dial: DialGuard;
  /** The gateway's own certificate, for the ingresses of sidecars. Absent: they are not used. */
  readonly identity?: MeshIdentity | undefined;
}

interface SocketOptions {
  /** Milliseconds for the connection to be established, TLS included. */
  readonly connectMs: number;
  readonly alpn: readonly string[];
  readonly session?: Buffer | undefined;
  onSession?: (session: Buffer) => void;
}

type Done = (error: UpstreamError | undefined, connected?: Connected) => void;

/** Calls `done` once. Returns a function that gives up; `done` is not called after that. */
export function openSocket(
  { clock, dial, identity }: Dialing,
  endpoint: Endpoint,
  options: SocketOptions,
  done: Done,
): () => void {
  const mesh = meshWay(endpoint, identity);
  if (endpoint.cluster.mesh === "required" && !mesh)
    return refuseLater("UPSTREAM_UNTRUSTED", "the cluster requires the mesh, and the gateway has no certificate", done);
  let target: DialTarget;
  try {
    target = dial.target(endpoint.hostname, mesh ? mesh.ingress.port : endpoint.port);
  } catch (error) {
    return refuseLater("UPSTREAM_UNREACHABLE", messageOf(error), done);
  }
  const secure = endpoint.secure || mesh !== undefined;
  const socket: Socket | TLSSocket = mesh
    ? connectMesh(target, mesh)
    : secure
      ? connectTls(target, endpoint, options)
      : netConnect(target);
  socket.setNoDelay(true);
  socket.setKeepAlive(true, KEEP_ALIVE_PROBE_MS);
  let failure: Error | undefined;
  const cancel = clock.after(options.connectMs, () =>
    settle(new UpstreamError("UPSTREAM_TIMEOUT", "the connection was not established in time", { connecting: true })),
  );
  let settled = false;
  const settle = (error: UpstreamError | undefined) => {
    if (settled) return;
    settled = true;
    cancel();
    socket.off("close", onClose);
    socket.off(secure ? "secureConnect" : "connect", onConnect);
    if (error) {
      socket.destroy();
      done(error);
      return;
    }
    socket.off("error", onError);
    if (mesh) {
      // After those who hand the socket on have their listeners, since a peer may be revoked by now.
      done(undefined, { socket, protocol: undefined });
      return mesh.identity.cutWhenRevoked(socket as TLSSocket);
    }
    const { alpnProtocol } = socket as Partial<TLSSocket>;
    done(undefined, { socket, protocol: typeof alpnProtocol === "string" ? alpnProtocol : undefined });
  };
  const onConnect = () => {
    if (mesh) awaitAdmission(socket as TLSSocket, settle);
    else settle(undefined);
  };
  const onError = (error: Error) => {
    failure = error;
  };
  const onClose = () => settle(closedError(failure));
  socket.on("error", onError);
  socket.on("close", onClose);
  socket.on(secure ? "secureConnect" : "connect", onConnect);
  if (secure && options.onSession) socket.on("session", options.onSession);
  return () => {
    if (settled) return;
    settled = true;
    cancel();
    socket.destroy();
  };
}

/** A refused address fails like a socket: after this call has returned. */
function refuseLater(error: UpstreamError["error"], message: string, done: Done): () => void {
  let givenUp = false;
  queueMicrotask(() => {
    if (!givenUp) done(new UpstreamError(error, message, { connecting: true }));
  });
  return () => void (givenUp = true);
}

function connectTls(target: DialTarget, { cluster, serverName }: Endpoint, options: SocketOptions): TLSSocket {
  const { ca, serverName: clusterName, subjectAltNames } = cluster.tls;
  return tlsConnect({
    ...target,
    // Without a name Node verifies the certificate against the address.
    servername: clusterName ?? serverName ?? (isIP(target.host) === 0 ? target.host : ""),
    ALPNProtocols: [...options.alpn],
    rejectUnauthorized: true,
    minVersion: "TLSv1.2",
    ...(ca === undefined ? {} : { ca }),
    ...(subjectAltNames === undefined
      ? {}
      : { checkServerIdentity: (_name, certificate) => namesProblem(certificate, subjectAltNames) }),
    ...(options.session ? { session: options.session } : {}),
  });
}

/** The ingress of an endpoint, and the gateway's certificate for it. */
interface MeshWay {
  readonly ingress: NonNullable<Endpoint["ingress"]>;
  readonly identity: MeshIdentity;
  readonly credentials: MeshCredentials;
}

/** Undefined: the endpoint has no ingress to use, or the gateway has no certificate. */
function meshWay({ ingress }: Endpoint, identity: MeshIdentity | undefined): MeshWay | undefined {
  const credentials = identity?.credentials;
  return ingress && identity && credentials ? { ingress, identity, credentials } : undefined;
}

/** To the ingress of a sidecar: with the gateway's own certificate, and only to the service that was registered. */
function connectMesh(target: DialTarget, { ingress, identity, credentials }: MeshWay): TLSSocket {
  const spiffeId = serviceSpiffeId(credentials.trustDomain, ingress.namespace, ingress.service);
  return tlsConnect({ ...target, ...meshConnectOptions(credentials.context, spiffeId, identity.isRevoked) });
}

/** Replaces Node's check of the requested name: the certificate must carry one of several names. */
function namesProblem({ subjectaltname }: PeerCertificate, wanted: readonly string[]): Error | undefined {
  if (hasAltName(subjectaltname, wanted)) return undefined;
  const names = subjectaltname ? `is for ${subjectaltname}` : "has no names";
  const error = new Error(`the certificate ${names}, but ${wanted.join(" or ")} is required`);
  return Object.assign(error, { code: "ERR_TLS_CERT_ALTNAME_INVALID" });
}

function closedError(failure: Error | undefined): UpstreamError {
  const { code = "" } = (failure ?? {}) as { readonly code?: string };
  return new UpstreamError(errorNameOf(code), failure?.message ?? "the connection was closed", { connecting: true });
}

function errorNameOf(code: string) {
  if (UNTRUSTED.test(code)) return "UPSTREAM_UNTRUSTED";
  if (code === "ETIMEDOUT") return "UPSTREAM_TIMEOUT";
  // The upstream accepted the connection, and closed it before TLS was established or before we had looked.
  if (code === "ECONNRESET") return "UPSTREAM_RESET";
  return "UPSTREAM_UNREACHABLE";
}
