/** Connections of probes, with or without TLS. */
import { connect, isIP, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { bracketedHost } from "#base";
import type { Network } from "../network.ts";

export interface TlsOptions {
  /** Name to send and to verify. Absent: the target's own. */
  readonly serverName?: string;
  /** Authorities to trust instead of the system's, in PEM. */
  readonly ca?: string;
  /** Accepts any certificate. TLS then hides the traffic from eavesdroppers, but not from a machine in the middle. */
  readonly skipVerify?: boolean;
}

export interface SocketPlace {
  readonly host: string;
  readonly port: number;
  /** Absent: without TLS. */
  readonly tls?: TlsOptions;
}

/** Starts a connection. `protocols` are offered by ALPN. */
export function openSocket({ host, port, tls }: SocketPlace, network: Network, protocols?: string[]): Socket {
  const lookup = network.lookup(port);
  if (!tls) return connect({ host, port, lookup });
  const serverName = tls.serverName ?? (isIP(host) === 0 ? host : undefined);
  return connectTls({
    host,
    port,
    lookup,
    rejectUnauthorized: tls.skipVerify !== true,
    ...(tls.ca === undefined ? {} : { ca: tls.ca }),
    ...(serverName === undefined ? {} : { servername: serverName }),
    ...(protocols === undefined ? {} : { ALPNProtocols: protocols }),
  });
}

export function addressOf({ host, port }: { host: string; port: number }): string {
  return `${bracketedHost(host)}:${port}`;
}
