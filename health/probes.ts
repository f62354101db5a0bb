/**
 * One probe over HTTP: a fresh connection, a deadline, and no more than a few bytes of the answer. A probe asks what a
 * new client would meet, so nothing is reused: not the connection, not a TLS session, not a redirect. A target that
 * hangs, streams garbage or answers without end costs one socket until the deadline, and 4 KiB.
 */
import { STATUS_CODES } from "node:http";
import type { Socket } from "node:net";
import { buildConnector, Client, type Dispatcher } from "undici";
import { messageOf, type Host } from "#base";
import type { HealthResult } from "./core/state.ts";

/** Bytes of an answer that are read before the connection is closed: enough to say why, for people. */
export const PROBE_BODY_BYTES_MAX = 4 * 1024;
/** Characters of the output kept with a verdict: one or two lines on a screen. */
export const PROBE_OUTPUT_CHARS_MAX = 512;

export interface HttpProbe {
  readonly url: string;
  readonly method: "GET" | "HEAD";
  /** Milliseconds from the first packet to the last byte read. */
  readonly timeoutMs: number;
}

export interface ProbeResult {
  /** `undefined`: the probe could not be made for want of means on this side, and says nothing about the target. */
  readonly result: HealthResult | undefined;
  /** Why, for people. At most PROBE_OUTPUT_CHARS_MAX. */
  readonly output: string;
}

export interface HttpProbeOptions {
  readonly signal: AbortSignal;
  /** Authorities to trust for https instead of the system's, in PEM. Certificates are always verified. */
  readonly ca?: string | readonly string[];
}

/** Trouble of this process, not of the target: judging by it would turn the whole fleet critical at once. */
const OWN_TROUBLE = new Set(["EMFILE", "ENFILE", "ENOMEM", "ENOBUFS", "EADDRNOTAVAIL"]);

/**
 * Probes once. 2xx is passing, 429 is warning (alive, but asking for less), all else is critical: other statuses, a
 * redirect (it is not followed), a certificate that does not verify, no end of the answer before the deadline.
 * Never rejects.
 */
export async function probeHttp(host: Host, probe: HttpProbe, options: HttpProbeOptions): Promise<ProbeResult> {
  const url = new URL(probe.url);
  // Query and credentials stay out of what is logged and shown.
  const name = `${probe.method} ${url.origin}${url.pathname}`;
  const deadline = new AbortController();
  const cancel = host.clock.after(probe.timeoutMs, () => deadline.abort(new Error("deadline")));
  const signal = AbortSignal.any([options.signal, deadline.signal]);
  // The deadline above is the only one; undici's own would be a second truth.
  const client = new Client(url.origin, {
    connect: cuttableConnector(signal, options),
    headersTimeout: 0,
    bodyTimeout: 0,
    pipelining: 1,
    allowH2: false,
  });
  try {
    const answer = await client.request({
      method: probe.method,
      path: url.pathname + url.search,
      headers: { "user-agent": "posthouse-probe", accept: "*/*" },
      reset: true,
      signal,
    });
    const text = await readStart(answer);
    return judge(name, answer, text);
  } catch (error) {
    if (deadline.signal.aborted) return bad(`${name}: no complete answer within ${probe.timeoutMs} ms`);
    const code = (error as { code?: unknown }).code;
    if (options.signal.aborted || (typeof code === "string" && OWN_TROUBLE.has(code))) {
      return { result: undefined, output: short(`${name}: not probed: ${messageOf(error)}`) };
    }
    return bad(`${name}: ${reasonOf(error)}`);
  } finally {
    cancel();
    await client.destroy();
  }
}

/**
 * A connector whose socket ends with the signal. undici notices an abort only once it is connected, so a target that
 * swallows packets would hold a socket for the minutes that the kernel tries.
 */
function cuttableConnector(signal: AbortSignal, { ca }: HttpProbeOptions): buildConnector.connector {
  const connect = buildConnector({
    timeout: 0,
    maxCachedSessions: 0,
    rejectUnauthorized: true,
    ...(ca === undefined ? {} : { ca: [ca].flat() }),
  }) as (...args: Parameters<buildConnector.connector>) => Socket;
  return (target, callback) => {
    const socket = connect(target, callback);
    const cut = () => socket.destroy(new Error("cut"));
    if (signal.aborted) cut();
    else signal.addEventListener("abort", cut, { once: true });
    socket.once("close", () => signal.removeEventListener("abort", cut));
  };
}

/** The start of the body; reading stops at the limit, and closing the connection discards the rest. */
async function readStart(answer: Dispatcher.ResponseData): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of answer.body) {
    chunks.push(chunk as Buffer);
    bytes += (chunk as Buffer).length;
    if (bytes >= PROBE_BODY_BYTES_MAX) break;
  }
  return Buffer.concat(chunks).subarray(0, PROBE_BODY_BYTES_MAX).toString("utf8");
}

function judge(name: string, { statusCode, headers }: Dispatcher.ResponseData, text: string): ProbeResult {
  const line = `${name}: ${statusCode} ${STATUS_CODES[statusCode] ?? ""}`.trimEnd();
  if (statusCode >= 200 && statusCode < 300) return { result: "passing", output: short(line) };
  if (statusCode === 429) return { result: "warning", output: short(`${line} ${text}`) };
  if (statusCode >= 300 && statusCode < 400) {
    return bad(`${line}: a redirect is not followed; check ${String(headers["location"] ?? "where it leads")} instead`);
  }
  return bad(`${line} ${text}`);
}

function bad(output: string): ProbeResult {
  return { result: "critical", output: short(output) };
}

/** Several addresses of one name fail together as an error without a message; its first cause has one. */
function reasonOf(error: unknown): string {
  if (error instanceof AggregateError && error.errors.length > 0) return error.errors.map(messageOf).join("; ");
  return messageOf(error);
}

/** One printable line: what a target says ends up in logs and on screens. */
function short(text: string): string {
  return text
    .replaceAll(/[\p{Cc}\p{Cf}\s]+/gu, " ")
    .trim()
    .slice(0, PROBE_OUTPUT_CHARS_MAX);
}
