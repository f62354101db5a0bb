/**
 * Probes by grpc.health.v1. Its two messages are a string and a number, so they are written and read here, and no
 * descriptor is loaded; neither is gRPC itself, before the first such check.
 * @see https://github.com/grpc/grpc/blob/master/doc/health-checking.md
 */
import { isIP } from "node:net";
import type { Client, ClientOptions } from "@grpc/grpc-js";
import type { GrpcTarget } from "./core/targets.ts";
import type { Reach } from "./reach.ts";
import { critical, failed, passing, PROBE_BODY_BYTES_MAX, type ProbeContext, type ProbeResult } from "./result.ts";

const CHECK = "/grpc.health.v1.Health/Check";
const WATCH = "/grpc.health.v1.Health/Watch";
const SERVING = 1;
const STATES = ["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"];
/** The field `service`, a string, of HealthCheckRequest; and `status`, a number, of HealthCheckResponse. */
const SERVICE_TAG = 0x0a;
const STATUS_TAG = 0x08;

/** `HealthCheckRequest`; a service's name has less than 128 × 128 bytes. */
export function encodeRequest(service: string): Buffer {
  const bytes = Buffer.from(service, "utf8");
  if (bytes.length === 0) return bytes;
  const length = bytes.length < 128 ? [bytes.length] : [(bytes.length & 127) | 128, bytes.length >> 7];
  return Buffer.concat([Buffer.from([SERVICE_TAG, ...length]), bytes]);
}

/** The status of a `HealthCheckResponse`. Zero is not sent, so an empty message is UNKNOWN. */
export function decodeStatus(bytes: Buffer): number {
  if (bytes.length === 0) return 0;
  if (bytes[0] !== STATUS_TAG || bytes[1] === undefined) throw new Error("the answer is no HealthCheckResponse");
  return bytes[1];
}

/** Asks once with Check. */
export async function probeGrpc(target: GrpcTarget, context: ProbeContext, reach: Reach): Promise<ProbeResult> {
  const name = nameOf(target);
  let client: Client | undefined;
  try {
    client = await open(target, reach);
    context.signal.throwIfAborted();
    return judge(name, await check(client, target, context.signal));
  } catch (error) {
    return failed(name, plain(error), context);
  } finally {
    client?.close();
  }
}

/**
 * Keeps a Watch open. Each state is told as it comes; the promise resolves with what ended it, or with what kept the
 * first state from coming in time.
 */
export async function watchGrpc(
  target: GrpcTarget,
  context: ProbeContext & { readonly told: (result: ProbeResult) => void },
  reach: Reach,
): Promise<ProbeResult> {
  const name = nameOf(target);
  let client: Client | undefined;
  try {
    client = await open(target, reach);
    context.signal.throwIfAborted();
    const call = client.makeServerStreamRequest(WATCH, identity, decodeStatus, encodeRequest(target.service));
    const cut = () => call.cancel();
    context.signal.addEventListener("abort", cut, { once: true });
    await new Promise<void>((resolve, reject) => {
      call.on("data", (status: number) => context.told(judge(name, status)));
      call.on("error", reject);
      call.on("end", resolve);
    });
    context.signal.removeEventListener("abort", cut);
    return critical(`${name}: the watch ended`);
  } catch (error) {
    return failed(name, plain(error), context);
  } finally {
    client?.close();
  }
}

function check(client: Client, { service }: GrpcTarget, signal: AbortSignal): Promise<number> {
  return new Promise((resolve, reject) => {
    const call = client.makeUnaryRequest(CHECK, identity, decodeStatus, encodeRequest(service), (error, status) => {
      signal.removeEventListener("abort", cut);
      if (error) reject(error);
      else resolve(status ?? 0);
    });
    const cut = () => call.cancel();
    signal.addEventListener("abort", cut, { once: true });
  });
}

const identity = (bytes: Buffer) => bytes;

async function open({ host, port, tls }: GrpcTarget, reach: Reach): Promise<Client> {
  reach.check(host);
  // Resolved here, so that the address connected to is the one that was judged.
  const { address, family } = await reach.resolve(host);
  const { Client, ChannelCredentials } = await import("@grpc/grpc-js");
  const serverName = tls?.serverName ?? (isIP(host) === 0 ? host : undefined);
  const options: ClientOptions = {
    "grpc.default_authority": host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`,
    "grpc.use_local_subchannel_pool": 1,
    "grpc.enable_http_proxy": 0,
    "grpc.enable_retries": 0,
    "grpc.max_receive_message_length": PROBE_BODY_BYTES_MAX,
    ...(tls && serverName !== undefined ? { "grpc.ssl_target_name_override": serverName } : {}),
  };
  const credentials = tls
    ? ChannelCredentials.createSsl(tls.ca === undefined ? null : Buffer.from(tls.ca), null, null, {
        rejectUnauthorized: tls.skipVerify !== true,
      })
    : ChannelCredentials.createInsecure();
  return new Client(family === 6 ? `ipv6:[${address}]:${port}` : `ipv4:${address}:${port}`, credentials, options);
}

function judge(name: string, status: number): ProbeResult {
  const state = `${name}: ${STATES[status] ?? `status ${status}`}`;
  return status === SERVING ? passing(state) : critical(state);
}

function nameOf({ host, port, service }: GrpcTarget): string {
  const at = host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
  return `grpc ${at}${service === "" ? "" : ` ${service}`}`;
}

/** Without the code, a number that reads as no code of the system. */
function plain(error: unknown): unknown {
  const { details, message } = error as { details?: string; message?: string };
  return new Error(details === undefined || details === "" ? message : details, { cause: error });
}
