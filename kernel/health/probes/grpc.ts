/**
 * Probes by grpc.health.v1, over Node's own HTTP/2. The two messages of the protocol are a string and a number, so they are
 * encoded and decoded here. A plain connection can be cut at the deadline whatever the target does, whereas a gRPC channel
 * continues to connect after it was closed.
 * @see https://github.com/grpc/grpc/blob/master/doc/health-checking.md
 * @see https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
 */
import { once } from "node:events";
import { connect as connectHttp2, type ClientHttp2Session, type IncomingHttpHeaders } from "node:http2";
import type { Socket } from "node:net";
import type { Clock } from "#base";
import type { Network } from "../network.ts";
import { critical, failed, passing, PROBE_BODY_BYTES_MAX, type ProbeContext, type ProbeResult } from "../result.ts";
import type { ProbeKind, ProbeSetting } from "./kind.ts";
import { addressOf, openSocket, type SocketPlace } from "./socket.ts";

const CHECK = "/grpc.health.v1.Health/Check";
const WATCH = "/grpc.health.v1.Health/Watch";
const SERVING = 1;
const STATES = ["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"];
/** The field `service`, a string, of HealthCheckRequest; and `status`, a number, of HealthCheckResponse. */
const SERVICE_TAG = 0x0a;
const STATUS_TAG = 0x08;
/** Bytes before each message: whether it is compressed, and its length. */
const PREFIX_BYTES = 5;
/** Milliseconds between two pings of a watch; the target is gone when one is still unanswered at the next. */
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
  if (message[0] !== STATUS_TAG || message[1] === undefined) throw new Error("the answer is not a HealthCheckResponse");
  return message[1];
}

export interface GrpcTarget extends SocketPlace {
  readonly type: "grpc";
  /** The service's name in grpc.health.v1. Empty: the whole server. */
  readonly service: string;
  /** Keeps a Watch open and receives changes at once, instead of calling Check each time. */
  readonly watch: boolean;
}

export const GRPC_PROBE: ProbeKind<GrpcTarget> = {
  connectsTo: (target) => target,
  staysOpen: ({ watch }) => watch,
  probe(target, setting) {
    const { report } = setting;
    return target.watch && report ? watchStatus(target, setting, report) : checkStatus(target, setting);
  },
};

/** Calls Check once. */
async function checkStatus(target: GrpcTarget, { context, tools }: ProbeSetting): Promise<ProbeResult> {
  const name = nameOf(target);
  try {
    let found: number | undefined;
    const onStatus = (status: number) => (found = status);
    await call(CHECK, { target, context, network: tools.network, onStatus, keepAlive: () => () => {} });
    if (found === undefined) throw new Error("the response is empty");
    return judge(name, found);
  } catch (error) {
    return failed(name, error, context);
  }
}

/** Keeps a Watch open and reports each state. The promise resolves with what ended the watch. */
async function watchStatus(
  target: GrpcTarget,
  { context, tools: { network, clock } }: ProbeSetting,
  report: (found: ProbeResult) => void,
): Promise<ProbeResult> {
  const name = nameOf(target);
  const onStatus = (status: number) => report(judge(name, status));
  try {
    const keepAlive: Call["keepAlive"] = (session, onDead) => ping(session, onDead, clock);
    await call(WATCH, { target, context, network, onStatus, keepAlive });
    return critical(`${name}: the watch ended`);
  } catch (error) {
    return failed(name, error, context);
  }
}

/** Pings until a ping stays unanswered, or the returned function is called. */
function ping(session: ClientHttp2Session, onDead: (error: Error) => void, clock: Clock): () => void {
  let cancel = () => {};
  const next = () => {
    let answered = false;
    session.ping((error) => (answered = error === null));
    cancel = clock.after(WATCH_PING_MS, () => (answered ? next() : onDead(new Error("a ping was not answered"))));
  };
  next();
  return () => cancel();
}

interface Call {
  readonly target: GrpcTarget;
  readonly context: ProbeContext;
  readonly network: Network;
  readonly onStatus: (status: number) => void;
  /** Watches over the session; the returned function ends that. */
  readonly keepAlive: (session: ClientHttp2Session, onDead: (error: Error) => void) => () => void;
}

/** One call on a connection of its own. Resolves when the call succeeds. */
async function call(path: string, { target, context: { signal }, network, onStatus, keepAlive }: Call): Promise<void> {
  let socket: Socket | undefined;
  let session: ClientHttp2Session | undefined;
  let stopKeepAlive = () => {};
  try {
    signal.throwIfAborted();
    const open = openSocket(target, network, ["h2"]);
    socket = open;
    const cut = () => open.destroy(signal.reason as Error);
    signal.addEventListener("abort", cut, { once: true });
    open.once("close", () => signal.removeEventListener("abort", cut));
    await once(open, target.tls ? "secureConnect" : "connect");
    const { port, tls, host } = target;
    const authority = `${target.tls ? "https" : "http"}://${addressOf({ host: tls?.serverName ?? host, port })}`;
    const opened = connectHttp2(authority, { createConnection: () => open, maxSessionMemory: 1 });
    session = opened;
    await new Promise<void>((resolve, reject) => {
      opened.on("error", reject);
      opened.on("close", () => reject(signal.reason ?? new Error("the target closed the connection")));
      stopKeepAlive = keepAlive(opened, reject);
      const stream = opened.request({
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
        if (headers[":status"] !== 200) reject(new Error(`the response is HTTP ${headers[":status"]}`));
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
    stopKeepAlive();
    session?.on("error", () => {}).destroy();
    socket?.on("error", () => {}).destroy();
  }
}

/** Handles the complete messages, and returns the remaining bytes. */
function eachMessage(bytes: Buffer, handle: (message: Buffer) => void): Buffer {
  let rest = bytes;
  while (rest.length >= PREFIX_BYTES) {
    const length = rest.readUInt32BE(1);
    if (length > PROBE_BODY_BYTES_MAX || rest[0] !== 0) throw new Error("the answer is not a HealthCheckResponse");
    if (rest.length < PREFIX_BYTES + length) break;
    handle(rest.subarray(PREFIX_BYTES, PREFIX_BYTES + length));
    rest = rest.subarray(PREFIX_BYTES + length);
  }
  return rest;
}

/** The target's message stays out: readers of the registry see the output, and may not be allowed to read the target. */
function reasonOf({ "grpc-status": status }: IncomingHttpHeaders): string {
  return status === undefined ? "the response has no gRPC status" : `gRPC status ${String(status)}`;
}

function judge(name: string, status: number): ProbeResult {
  const state = `${name}: ${STATES[status] ?? `status ${status}`}`;
  return status === SERVING ? passing(state) : critical(state);
}

function nameOf(target: GrpcTarget): string {
  return `grpc ${addressOf(target)}${target.service === "" ? "" : ` ${target.service}`}`;
}
