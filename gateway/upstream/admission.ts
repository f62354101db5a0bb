/** The greeting of an ingress: one byte that says whether a connection is admitted, before the first byte of the service. */
import type { TLSSocket } from "node:tls";
import { admissionOf, MESH_PROTOCOL, type Admission } from "#identity/core";
import { UpstreamError } from "./transfer.ts";

const REFUSALS: Readonly<Record<Exclude<Admission, "admitted">, UpstreamError["error"]>> = {
  denied: "UPSTREAM_UNTRUSTED",
  untrusted: "UPSTREAM_UNTRUSTED",
  unreachable: "UPSTREAM_UNREACHABLE",
  draining: "UPSTREAM_UNREACHABLE",
  busy: "UPSTREAM_UNREACHABLE",
};

const WORDS: Readonly<Record<Exclude<Admission, "admitted">, string>> = {
  denied: 'a service rule denies the gateways; to allow them, add "gateway may call SERVICE"',
  untrusted: "the ingress does not accept the gateway's certificate",
  unreachable: "the ingress does not reach its service",
  draining: "the ingress takes no new connections",
  busy: "the ingress is not ready, or has too many connections",
};

/** Calls `done` once, unless the socket closes first. The bytes after the greeting stay in the socket. */
export function awaitAdmission(socket: TLSSocket, done: (error?: UpstreamError) => void): void {
  // An ingress of another make greets by not closing the connection.
  if (socket.alpnProtocol !== MESH_PROTOCOL) return done();
  const onReadable = () => {
    const byte = (socket.read(1) as Buffer | null)?.[0];
    if (byte === undefined) return;
    socket.off("readable", onReadable);
    const admission = admissionOf(byte);
    if (admission !== "admitted")
      return done(new UpstreamError(REFUSALS[admission], WORDS[admission], { connecting: true }));
    // The socket is back in its first mode one tick after its listener is gone.
    process.nextTick(done);
  };
  socket.on("readable", onReadable);
}
