/**
 * The first byte of each connection to a TLS port. A client that speaks plain HTTP receives an answer that names the scheme, unless it is
 * on this machine and may do so. A client that sends nothing is cut.
 */
import type { Server as NetServer, Socket } from "node:net";
import type { Host } from "#base";
import { isLoopback } from "./loopback.ts";
import { rawAnswer } from "./raw-answer.ts";

/** Milliseconds for the first byte, and again for the handshake. A healthy client needs two round trips. */
export const HANDSHAKE_MS_MAX = 10_000;
/** The first byte of TLS: a record of type handshake (RFC 8446, section 5.1). */
const HANDSHAKE = 0x16;

/** Takes over the connections of a TLS server that does not listen yet. */
export function takeConnections(host: Host, server: NetServer, isPlainOnLoopback: boolean): void {
  const [onTls, ...others] = server.listeners("connection");
  if (!onTls || others.length > 0) throw new Error(`the server has ${others.length + 1} listeners of connections`);
  server.removeAllListeners("connection");
  server.on("connection", (socket: Socket) => {
    const onError = () => {};
    const cut = () => socket.destroy();
    const cancel = host.clock.after(HANDSHAKE_MS_MAX, cut);
    const onReadable = () => {
      const first = socket.read() as Buffer | null;
      if (first === null) return;
      forget();
      const isTls = first[0] === HANDSHAKE;
      if (!isTls && !(isPlainOnLoopback && isLocal(socket))) return refusePlain(socket);
      socket.unshift(first);
      if (isTls) onTls.call(server, socket);
      // Node's server takes a connection without ALPN for HTTP/1.1, whatever encrypts it.
      else server.emit("secureConnection", Object.assign(socket, { alpnProtocol: false }));
    };
    const forget = () => {
      cancel();
      socket.off("readable", onReadable).off("error", onError).off("close", forget).off("end", cut);
    };
    socket.on("readable", onReadable).on("error", onError).on("close", forget).on("end", cut);
  });
}

/** Both ends are loopback addresses, so what is sent stays on this machine. */
function isLocal({ remoteAddress = "", localAddress = "" }: Socket): boolean {
  return isLoopback(remoteAddress) && isLoopback(localAddress);
}

function refusePlain(socket: Socket): void {
  const detail = "This port accepts TLS only. Use https:// in the URL, and another token if this request had one.";
  socket.on("error", () => {});
  socket.resume().end(rawAnswer("TLS_ONLY", { detail }), () => socket.destroy());
}
