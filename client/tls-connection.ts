/** One verified TLS connection to the control plane. */
import { connect as connectTls, type TLSSocket } from "node:tls";
import type { Clock } from "#base";
import type { ServerTrust } from "./server-trust.ts";

/** Milliseconds of a handshake, after the connection. A busy member takes long, and a failover leaves it sooner. */
const HANDSHAKE_MS_MAX = 10_000;

export interface TlsConnectionOptions {
  readonly trust: ServerTrust;
  readonly clock: Clock;
  /** Milliseconds to connect. */
  readonly connectTimeoutMs: number;
  /** Protocols in the order of preference. */
  readonly protocols: readonly ("h2" | "http/1.1")[];
}

/** @throws CLIENT_UNTRUSTED; otherwise the system's own error, with a code that says that nothing was sent */
export async function openTls(url: URL, options: TlsConnectionOptions): Promise<TLSSocket> {
  const { trust, clock, connectTimeoutMs, protocols } = options;
  try {
    const verified = await trust.connectOptions(url);
    const socket = connectTls({ ...verified, ALPNProtocols: [...protocols] });
    return await new Promise<TLSSocket>((resolve, reject) => {
      const late = (what: string) => () =>
        socket.destroy(Object.assign(new Error(what), { code: "UND_ERR_CONNECT_TIMEOUT" }));
      let cancel = clock.after(connectTimeoutMs, late(`no connection within ${connectTimeoutMs} ms`));
      socket.once("connect", () => {
        cancel();
        cancel = clock.after(HANDSHAKE_MS_MAX, late(`no TLS handshake within ${HANDSHAKE_MS_MAX} ms`));
      });
      socket.once("close", () => {
        cancel();
        reject(new Error("the connection closed during the handshake"));
      });
      socket.once("error", reject);
      socket.once("secureConnect", () => {
        cancel();
        socket.off("error", reject);
        resolve(socket);
      });
    });
  } catch (error) {
    throw notSent(await trust.explained(url, error));
  }
}

/** Marks an error before anything was sent, so that another member may be tried whatever the call. */
function notSent(error: unknown): unknown {
  return error instanceof Error ? Object.assign(error, { isUnsent: true }) : error;
}
