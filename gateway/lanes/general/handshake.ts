/** A WebSocket handshake as an exchange sees it, in every version of HTTP. */
import type { Duplex } from "node:stream";
import { refuse, type Refuse } from "../../core/decision/pipeline.ts";
import { firstHeaderValue } from "../../core/request/header-list.ts";
import type { ForwardRoute } from "../../core/routing/table.ts";

export interface Handshake {
  /** The status that gives the client its socket. In HTTP/2 the client takes any 2xx for it. */
  readonly status: 101 | 200;
  /** The service's answer to the key that the gateway made. Undefined: the key is the client's, and so is the check. */
  readonly accept?: string;
  /** Takes over the client's side once the upstream has switched protocols. `rest`: the bytes already received from it. */
  take(
    headers: readonly string[],
    upstream: Duplex,
    rest: Buffer,
    options: { readonly idleMs: number; readonly onIdle: () => void; readonly onClosed: () => void },
  ): void;
}

/** For a handshake whose upstream cannot switch protocols. */
export function refuseHttp2Only(route: ForwardRoute): Refuse {
  const detail = `Service "${route.cluster.service}" speaks HTTP/2 only. A WebSocket needs a cluster with protocol "http1".`;
  return refuse("UPGRADE_UNSUPPORTED", detail, { route });
}

/** Whether the client would take an answer of this status for its socket, although the upstream has not switched. */
export function isMisread(handshake: Handshake | undefined, status: number): boolean {
  return handshake?.status === 200 && status >= 200 && status < 300;
}

/** Why the headers of a switch do not complete the handshake, after the service's name; undefined: they do. */
export function switchProblem({ accept }: Handshake, headers: readonly string[]): string | undefined {
  if (firstHeaderValue(headers, "upgrade")?.toLowerCase() !== "websocket") {
    return "switched to a protocol other than the requested one";
  }
  return accept === undefined || firstHeaderValue(headers, "sec-websocket-accept") === accept
    ? undefined
    : "answered the handshake with the wrong Sec-WebSocket-Accept";
}
