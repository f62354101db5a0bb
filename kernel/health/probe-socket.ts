/**
 * Probes over TCP, with or without TLS, and over UDP. Connecting is enough unless the check says what to send and what
 * to hear; no more than a few bytes of what a target says are looked at.
 */
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { connect, isIP, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import type { Clock } from "#base";
import type { TcpTarget, UdpTarget } from "./core/targets.ts";
import type { Reach } from "./reach.ts";
import { critical, failed, passing, PROBE_BODY_BYTES_MAX, type ProbeContext, type ProbeResult } from "./result.ts";

/** Milliseconds of silence after which a datagram that needs no answer was not refused: a refusal comes at once. */
const UDP_QUIET_MS = 500;

export async function probeTcp(target: TcpTarget, context: ProbeContext, reach: Reach): Promise<ProbeResult> {
  const name = `tcp ${addressOf(target)}`;
  let socket: Socket | undefined;
  try {
    context.signal.throwIfAborted();
    socket = openSocket(target, reach);
    const cut = () => socket?.destroy(context.signal.reason as Error);
    context.signal.addEventListener("abort", cut, { once: true });
    socket.once("close", () => context.signal.removeEventListener("abort", cut));
    await once(socket, target.tls ? "secureConnect" : "connect");
    if (target.send !== undefined) socket.write(target.send);
    if (target.expect === undefined) return passing(`${name}: connected`);
    return await hear(socket, name, target.expect);
  } catch (error) {
    return failed(name, error, context);
  } finally {
    socket?.on("error", () => {}).destroy();
  }
}

/** A connection, with or without TLS, under way. `protocols` are offered by ALPN. */
export function openSocket(
  { host, port, tls }: Pick<TcpTarget, "host" | "port" | "tls">,
  reach: Reach,
  protocols?: string[],
): Socket {
  const lookup = reach.lookup(port);
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

async function hear(socket: Socket, name: string, expected: string): Promise<ProbeResult> {
  const heard: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of socket) {
    heard.push(chunk as Buffer);
    bytes += (chunk as Buffer).length;
    const text = Buffer.concat(heard).subarray(0, PROBE_BODY_BYTES_MAX).toString("utf8");
    if (text.includes(expected)) return passing(`${name}: heard what was expected`);
    if (bytes >= PROBE_BODY_BYTES_MAX) break;
  }
  // Without the answer itself: readers of the registry see the output, and may not be allowed to read the target.
  return critical(`${name}: the answer does not contain what is expected`);
}

/**
 * Sends one datagram. A refusal (ICMP port unreachable) is critical. With `expect`, so is silence until the deadline;
 * without, silence passes, since many a good service does not answer what it does not understand.
 */
export async function probeUdp(
  target: UdpTarget,
  context: ProbeContext,
  reach: Reach,
  clock: Clock,
): Promise<ProbeResult> {
  const name = `udp ${addressOf(target)}`;
  const stop = new AbortController();
  const signal = AbortSignal.any([context.signal, stop.signal]);
  try {
    const { address, family } = await reach.resolve(target.host, target.port);
    context.signal.throwIfAborted();
    const socket = createSocket({ type: family === 6 ? "udp6" : "udp4", signal });
    // Listened to before anything is sent, or a quick answer would come to nobody.
    const answered = new Promise<ProbeResult>((resolve, reject) => {
      let bytes = 0;
      socket.on("error", reject);
      socket.on("message", (message) => {
        bytes += message.length;
        const text = message.subarray(0, PROBE_BODY_BYTES_MAX).toString("utf8");
        if (target.expect === undefined) resolve(passing(`${name}: answered`));
        else if (text.includes(target.expect)) resolve(passing(`${name}: heard what was expected`));
        else if (bytes >= PROBE_BODY_BYTES_MAX) {
          resolve(critical(`${name}: the answer does not contain what is expected`));
        }
      });
      signal.addEventListener("abort", () => reject(signal.reason as Error), { once: true });
    });
    answered.catch(() => {});
    // Connected, so that a refusal is told, and answers of others are not heard.
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
}

export function addressOf({ host, port }: { host: string; port: number }): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}
