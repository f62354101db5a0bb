/** Probes over UDP: one datagram, and the start of the response. */
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { critical, failed, passing, PROBE_BODY_BYTES_MAX, type ProbeResult } from "../result.ts";
import type { ProbeKind } from "./kind.ts";
import { addressOf } from "./socket.ts";

/** Milliseconds of silence after which a datagram counts as accepted. A refusal arrives at once. */
const UDP_QUIET_MS = 500;

export interface UdpTarget {
  readonly type: "udp";
  readonly host: string;
  readonly port: number;
  readonly send: string;
  readonly expect?: string;
}

/**
 * Sends one datagram. A refusal (ICMP port unreachable) is critical. With `expect`, silence until the deadline is critical too.
 * Without it, silence passes, because many working services ignore requests that they do not understand.
 */
export const UDP_PROBE: ProbeKind<UdpTarget> = {
  connectsTo: (target) => target,
  writes: (target) => `text of a ${target.type} check`,
  async probe(target, { context, tools: { network, clock } }) {
    const name = `udp ${addressOf(target)}`;
    const stop = new AbortController();
    const signal = AbortSignal.any([context.signal, stop.signal]);
    try {
      const { address, family } = await network.resolve(target.host, target.port);
      context.signal.throwIfAborted();
      const socket = createSocket({ type: family === 6 ? "udp6" : "udp4", signal });
      // Listens before anything is sent, so that a quick response is not missed.
      const answered = new Promise<ProbeResult>((resolve, reject) => {
        let bytes = 0;
        socket.on("error", reject);
        socket.on("message", (message) => {
          bytes += message.length;
          const text = message.subarray(0, PROBE_BODY_BYTES_MAX).toString("utf8");
          if (target.expect === undefined) resolve(passing(`${name}: responded`));
          else if (text.includes(target.expect)) resolve(passing(`${name}: received the expected text`));
          else if (bytes >= PROBE_BODY_BYTES_MAX) {
            resolve(critical(`${name}: the response does not contain the expected text`));
          }
        });
        signal.addEventListener("abort", () => reject(signal.reason as Error), { once: true });
      });
      answered.catch(() => {});
      // A connected socket reports refusals, and ignores datagrams from other addresses.
      socket.connect(target.port, address);
      await Promise.race([once(socket, "connect", { signal }), answered]);
      socket.send(target.send);
      if (target.expect !== undefined) return await answered;
      const quietMs = Math.min(UDP_QUIET_MS, context.timeoutMs / 2);
      const quiet = clock.sleep(quietMs, signal).then(() => passing(`${name}: not refused within ${quietMs} ms`));
      quiet.catch(() => {});
      return await Promise.race([answered, quiet]);
    } catch (error) {
      return failed(name, error, context);
    } finally {
      // Closes the socket, too.
      stop.abort(new Error("done"));
    }
  },
};
