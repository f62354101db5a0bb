/** Probes over TCP, with or without TLS. Connecting is enough, unless the check says what to send and what to expect. */
import { once } from "node:events";
import type { Socket } from "node:net";
import { critical, failed, passing, PROBE_BODY_BYTES_MAX, type ProbeResult } from "../result.ts";
import type { ProbeKind } from "./kind.ts";
import { addressOf, openSocket, type SocketPlace } from "./socket.ts";

export interface TcpTarget extends SocketPlace {
  readonly type: "tcp";
  readonly send?: string;
  readonly expect?: string;
}

export const TCP_PROBE: ProbeKind<TcpTarget> = {
  connectsTo: (target) => target,
  writes: ({ type, send }) => (send === undefined ? undefined : `text of a ${type} check`),
  async probe(target, { context, tools: { network } }) {
    const name = `tcp ${addressOf(target)}`;
    let socket: Socket | undefined;
    try {
      context.signal.throwIfAborted();
      socket = openSocket(target, network);
      const cut = () => socket?.destroy(context.signal.reason as Error);
      context.signal.addEventListener("abort", cut, { once: true });
      socket.once("close", () => context.signal.removeEventListener("abort", cut));
      await once(socket, target.tls ? "secureConnect" : "connect");
      if (target.send !== undefined) socket.write(target.send);
      if (target.expect === undefined) return passing(`${name}: connected`);
      return await readUntil(socket, name, target.expect);
    } catch (error) {
      return failed(name, error, context);
    } finally {
      socket?.on("error", () => {}).destroy();
    }
  },
};

async function readUntil(socket: Socket, name: string, expected: string): Promise<ProbeResult> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of socket) {
    chunks.push(chunk as Buffer);
    bytes += (chunk as Buffer).length;
    const text = Buffer.concat(chunks).subarray(0, PROBE_BODY_BYTES_MAX).toString("utf8");
    if (text.includes(expected)) return passing(`${name}: received the expected text`);
    if (bytes >= PROBE_BODY_BYTES_MAX) break;
  }
  // The response itself stays out: readers of the registry see the output, and may not be allowed to read the target.
  return critical(`${name}: the response does not contain the expected text`);
}
