/** Opens sockets to endpoints: in time, TLS verified always, and to no address that a gateway must not be a door to. */
import { connect as netConnect, isIP, type Socket } from "node:net";
import { connect as tlsConnect, type PeerCertificate, type TLSSocket } from "node:tls";
import { type Clock, messageOf } from "#base";
import type { DialGuard } from "#base/dial";
import { hasAltName } from "../core/callers/certificates.ts";
import type { Endpoint } from "../core/balancing/endpoints.ts";
import { UpstreamError } from "./transfer.ts";

/** Milliseconds between probes of a connection that is silent, so that one cut in the middle is noticed. */
const KEEP_ALIVE_PROBE_MS = 30_000;

/** What OpenSSL and Node say of a certificate that they do not trust, or of a handshake that was none. */
const UNTRUSTED = /CERT|SELF_SIGNED|UNABLE_TO_(GET|VERIFY)|ALTNAME|HOSTNAME_MISMATCH|ERR_SSL|ERR_TLS|EPROTO/;

export interface Connected {
  readonly socket: Socket;
  /** What both sides chose by ALPN; undefined in the clear, and when the upstream has no opinion. */
  readonly protocol: string | undefined;
}

/** In the place of the name that was asked for: one of several that a service may have. */
function namesProblem({ subjectaltname }: PeerCertificate, wanted: readonly string[]): Error | undefined {
  if (hasAltName(subjectaltname, wanted)) return undefined;
  const error = new Error(`the certificate is for ${subjectaltname || "nobody"}, not for ${wanted.join(" or ")}`);
  return Object.assign(error, { code: "ERR_TLS_CERT_ALTNAME_INVALID" });
}

/** What opening a socket needs of its surroundings. */
export interface Dialling {
  readonly clock: Clock;
  readonly dial: DialGuard;
}

/** Calls back once. The answer is a function that gives up; nothing is called back then. */
export function openSocket(
  { clock, dial }: Dialling,
  endpoint: Endpoint,
  options: {
    /** Milliseconds for it to stand, TLS included. */
    readonly connectMs: number;
    readonly alpn: readonly string[];
    readonly session?: Buffer | undefined;
    onSession?: (session: Buffer) => void;
  },
  done: (error: UpstreamError | undefined, connected?: Connected) => void,
): () => void {
  const { cluster, hostname, port, secure } = endpoint;
  const { ca, serverName, subjectAltNames } = cluster.tls;
  let target: ReturnType<DialGuard["target"]>;
  try {
    target = dial.target(hostname, port);
  } catch (error) {
    let given = false;
    queueMicrotask(() => {
      if (!given) done(new UpstreamError("UPSTREAM_UNREACHABLE", messageOf(error), { connecting: true }));
    });
    return () => void (given = true);
  }
  const { host } = target;
  const socket: Socket | TLSSocket = secure
    ? tlsConnect({
        ...target,
        // Without a name Node verifies the certificate against the address.
        servername: serverName ?? endpoint.serverName ?? (isIP(host) === 0 ? host : ""),
        ALPNProtocols: [...options.alpn],
        rejectUnauthorized: true,
        minVersion: "TLSv1.2",
        ...(ca === undefined ? {} : { ca }),
        ...(subjectAltNames === undefined
          ? {}
          : { checkServerIdentity: (_name, certificate) => namesProblem(certificate, subjectAltNames) }),
        ...(options.session ? { session: options.session } : {}),
      })
    : netConnect(target);
  socket.setNoDelay(true);
  socket.setKeepAlive(true, KEEP_ALIVE_PROBE_MS);
  let failure: Error | undefined;
  const cancel = clock.after(options.connectMs, () =>
    settle(new UpstreamError("UPSTREAM_TIMEOUT", "the connection did not stand in time", { connecting: true })),
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
    const { alpnProtocol } = socket as Partial<TLSSocket>;
    done(undefined, { socket, protocol: typeof alpnProtocol === "string" ? alpnProtocol : undefined });
  };
  const onConnect = () => settle(undefined);
  const onError = (error: Error) => {
    failure = error;
  };
  const onClose = () => {
    const code = (failure as { code?: string } | undefined)?.code ?? "";
    const name = UNTRUSTED.test(code)
      ? ("UPSTREAM_UNTRUSTED" as const)
      : code === "ETIMEDOUT"
        ? ("UPSTREAM_TIMEOUT" as const)
        : // It took the connection, and let it go before TLS stood or we had looked.
          code === "ECONNRESET"
          ? ("UPSTREAM_RESET" as const)
          : ("UPSTREAM_UNREACHABLE" as const);
    settle(new UpstreamError(name, failure?.message ?? "the connection was closed", { connecting: true }));
  };
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
