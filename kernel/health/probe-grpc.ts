/**
 * Probes by grpc.health.v1, over HTTP/2 as Node has it. The two messages of the protocol are a string and a number, so
 * they are written and read here; and a connection of our own can be cut at the deadline, whatever the target does,
 * where a gRPC channel goes on connecting after it was closed.
 * @see https://github.com/grpc/grpc/blob/master/doc/health-checking.md
 * @see https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
 */
import { once } from "node:events";
import { connect as connectHttp2, type ClientHttp2Session, type IncomingHttpHeaders } from "node:http2";
import type { Socket } from "node:net";
import type { Clock } from "#base";
import type { GrpcTarget } from "./core/targets.ts";
import { addressOf, openSocket } from "./probe-socket.ts";
import type { Reach } from "./reach.ts";
import { critical, failed, passing, PROBE_BODY_BYTES_MAX, type ProbeContext, type ProbeResult } from "./result.ts";

const CHECK = "/grpc.health.v1.Health/Check";
const WATCH = "/grpc.health.v1.Health/Watch";
const SERVING = 1;
const STATES = ["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"];
/** The field `service`, a string, of HealthCheckRequest; and `status`, a number, of HealthCheckResponse. */
const SERVICE_TAG = 0x0a;
const STATUS_TAG = 0x08;
/** Bytes before each message: whether it is compressed, and its length. */
const PREFIX_BYTES = 5;
/** Milliseconds between two pings of a watch; one that was not answered by the next means that nobody is there. */
const WATCH_PING_MS = 20_000;

/** `HealthCheckRequest` with its prefix; a service's name has less than 128 × 128 bytes. */
function requestOf(service: string): Buffer {
  const name = Buffer.from(service, "utf8");
  const length = name.length < 128 ? [name.length] : [(name.length & 127) | 128, name.length >> 7];
  const message = name.length === 0 ? name : Buffer.concat([Buffer.from([SERVICE_TAG, ...length]), name]);
  const prefix = Buffer.alloc(PREFIX_BYTES);
  prefix.writeUInt32BE(message.length, 1);
  return Buffer.concat([prefix, message]);
}

/** The status of a `HealthCheckResponse`. Zero is not sent, so an empty message is UNKNOWN. */
function statusOf(message: Buffer): number {
  if (message.length === 0) return 0;
  if (message[0] !== STATUS_TAG || message[1] === undefined) throw new Error("the answer is no HealthCheckResponse");
  return message[1];
}

/** Asks once with Check. */
export async function probeGrpc(target: GrpcTarget, context: ProbeContext, reach: Reach): Promise<ProbeResult> {
  const name = nameOf(target);
  try {
    let heard: number | undefined;
    await call(CHECK, { target, context, reach, onStatus: (status) => (heard = status), alive: () => () => {} });
    if (heard === undefined) throw new Error("it answered nothing");
    return judge(name, heard);
  } catch (error) {
    return failed(name, error, context);
  }
}

/** Keeps a Watch open. Each state is told as it comes; the promise resolves with what ended it. */
export async function watchGrpc(
  target: GrpcTarget,
  context: ProbeContext & { readonly told: (result: ProbeResult) => void },
  { reach, clock }: { reach: Reach; clock: Clock },
): Promise<ProbeResult> {
  const name = nameOf(target);
  const onStatus = (status: number) => context.told(judge(name, status));
  try {
    await call(WATCH, { target, context, reach, onStatus, alive: (session, dead) => pinged(session, dead, clock) });
    return critical(`${name}: the watch ended`);
  } catch (error) {
    return failed(name, error, context);
  }
}

/** Notices that nobody is there any more; the function returned ends that. */
function pinged(session: ClientHttp2Session, dead: (error: Error) => void, clock: Clock): () => void {
  let cancel = () => {};
  const ping = () => {
    let answered = false;
    session.ping((error) => (answered = error === null));
    cancel = clock.after(WATCH_PING_MS, () => (answered ? ping() : dead(new Error("it answers no ping"))));
  };
  ping();
  return () => cancel();
}

interface Call {
  readonly target: GrpcTarget;
  readonly context: ProbeContext;
  readonly reach: Reach;
  readonly onStatus: (status: number) => void;
  readonly alive: (session: ClientHttp2Session, dead: (error: Error) => void) => () => void;
}

/** One call on a connection of its own. Resolves when it ends well. */
async function call(path: string, { target, context: { signal }, reach, onStatus, alive }: Call): Promise<void> {
  let socket: Socket | undefined;
  let session: ClientHttp2Session | undefined;
  let rest = () => {};
  try {
    signal.throwIfAborted();
    const open = openSocket(target, reach, ["h2"]);
    socket = open;
    const cut = () => open.destroy(signal.reason as Error);
    signal.addEventListener("abort", cut, { once: true });
    open.once("close", () => signal.removeEventListener("abort", cut));
    await once(open, target.tls ? "secureConnect" : "connect");
    const { port, tls, host } = target;
    const authority = `${target.tls ? "https" : "http"}://${addressOf({ host: tls?.serverName ?? host, port })}`;
    const speaking = connectHttp2(authority, { createConnection: () => open, maxSessionMemory: 1 });
    session = speaking;
    await new Promise<void>((resolve, reject) => {
      speaking.on("error", reject);
      speaking.on("close", () => reject(signal.reason ?? new Error("it closed the connection")));
      rest = alive(speaking, reject);
      const stream = speaking.request({
        ":method": "POST",
        ":path": path,
        "content-type": "application/grpc",
        te: "trailers",
        "user-agent": "posthouse-probe",
      });
      let ended: IncomingHttpHeaders = {};
      let bytes = Buffer.alloc(0);
      stream.on("error", reject);
      stream.on("response", (headers) => {
        if (headers[":status"] !== 200) reject(new Error(`it answered HTTP ${headers[":status"]}`));
        ended = headers;
      });
      stream.on("trailers", (trailers) => (ended = trailers));
      stream.on("data", (chunk: Buffer) => {
        bytes = Buffer.concat([bytes, chunk]);
        try {
          bytes = Buffer.from(eachMessage(bytes, (message) => onStatus(statusOf(message))));
        } catch (error) {
          reject(error);
        }
      });
      stream.on("end", () => {
        if (ended["grpc-status"] === "0") resolve();
        else reject(new Error(reasonOf(ended)));
      });
      stream.end(requestOf(target.service));
    });
  } finally {
    rest();
    session?.on("error", () => {}).destroy();
    socket?.on("error", () => {}).destroy();
  }
}

/** Hands over the whole messages, and returns what is left. */
function eachMessage(bytes: Buffer, handle: (message: Buffer) => void): Buffer {
  let rest = bytes;
  while (rest.length >= PREFIX_BYTES) {
    const length = rest.readUInt32BE(1);
    if (length > PROBE_BODY_BYTES_MAX || rest[0] !== 0) throw new Error("the answer is no HealthCheckResponse");
    if (rest.length < PREFIX_BYTES + length) break;
    handle(rest.subarray(PREFIX_BYTES, PREFIX_BYTES + length));
    rest = rest.subarray(PREFIX_BYTES + length);
  }
  return rest;
}

/** Without the target's message: readers of the registry see the output, and may not be allowed to read the target. */
function reasonOf({ "grpc-status": status }: IncomingHttpHeaders): string {
  return status === undefined ? "it ended without a gRPC status" : `gRPC status ${String(status)}`;
}

function judge(name: string, status: number): ProbeResult {
  const state = `${name}: ${STATES[status] ?? `status ${status}`}`;
  return status === SERVING ? passing(state) : critical(state);
}

function nameOf(target: GrpcTarget): string {
  return `grpc ${addressOf(target)}${target.service === "" ? "" : ` ${target.service}`}`;
}
