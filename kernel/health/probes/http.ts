/**
 * Probes over HTTP and HTTPS. A probe sees what a new client would see, so it reuses neither connections nor TLS sessions, and
 * follows no redirects.
 */
import { STATUS_CODES } from "node:http";
import type { LookupFunction, Socket } from "node:net";
import { buildConnector, Client, type Dispatcher } from "undici";
import { patternMatches, statusExpected } from "../core/match.ts";
import { critical, failed, passing, PROBE_BODY_BYTES_MAX, warning, type ProbeResult } from "../result.ts";
import type { ProbeKind } from "./kind.ts";
import type { TlsOptions } from "./socket.ts";

export interface HttpTarget {
  readonly type: "http";
  readonly url: string;
  readonly method: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  /** Numbers and ranges such as "200-299". Absent: 2xx passes and 429 warns. */
  readonly expectStatus?: readonly (number | string)[];
  /** Text that the start of the response must contain. */
  readonly bodyContains?: string;
  /** The start of the response as a whole; `*` matches any text. */
  readonly bodyPattern?: string;
  readonly tls?: TlsOptions;
}

/**
 * Without `expectStatus`, 2xx is passing, 429 is warning (alive, but asking for less), and everything else is critical. So is a
 * redirect, a certificate that does not verify, and an unexpected body. The output contains nothing of the response except its
 * status: readers of the registry see the output, and may not be allowed to read the target.
 */
export const HTTP_PROBE: ProbeKind<HttpTarget> = {
  connectsTo(target) {
    const url = URL.parse(target.url);
    return url ? { host: url.hostname, port: portOf(url) } : undefined;
  },
  writes({ method, body }) {
    if (method !== "GET" && method !== "HEAD") return `method ${method}`;
    return body === undefined ? undefined : "a body";
  },
  async probe(target, { context, tools: { network } }) {
    const url = URL.parse(target.url);
    if (!url) return critical(`${target.method}: not a valid URL: ${target.url}`);
    // Query and credentials stay out of logs and screens.
    const name = `${target.method} ${url.origin}${url.pathname}`;
    let client: Client | undefined;
    try {
      // The context's deadline is the only one, so undici's own timeouts are off.
      client = new Client(url.origin, {
        connect: cuttableConnector(context.signal, target.tls, network.lookup(portOf(url))),
        headersTimeout: 0,
        bodyTimeout: 0,
        pipelining: 1,
        allowH2: false,
      });
      const answer = await client.request({
        method: target.method,
        path: url.pathname + url.search,
        headers: { "user-agent": "posthouse-probe", accept: "*/*", ...authOf(url), ...lowerCased(target.headers) },
        ...(target.body === undefined ? {} : { body: target.body }),
        reset: true,
        signal: context.signal,
      });
      return judge(name, target, answer, await readStart(answer));
    } catch (error) {
      return failed(name, error, context);
    } finally {
      await client?.destroy();
    }
  },
};

/** The port of a URL over HTTP or HTTPS. */
function portOf({ port, protocol }: URL): number {
  if (port !== "") return Number(port);
  return protocol === "https:" ? 443 : 80;
}

function lowerCased(headers: HttpTarget["headers"] = {}): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]));
}

function authOf({ username, password }: URL): Record<string, string> {
  if (username === "" && password === "") return {};
  const pair = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`;
  return { authorization: `Basic ${Buffer.from(pair).toString("base64")}` };
}

/**
 * A connector whose socket ends with the signal. undici notices an abort only after it has connected, so a target that drops
 * packets would hold a socket for as many minutes as the kernel tries.
 */
function cuttableConnector(
  signal: AbortSignal,
  tls: TlsOptions = {},
  lookup: LookupFunction,
): buildConnector.connector {
  const connect = buildConnector({
    timeout: 0,
    maxCachedSessions: 0,
    lookup,
    rejectUnauthorized: tls.skipVerify !== true,
    ...(tls.ca === undefined ? {} : { ca: tls.ca }),
    ...(tls.serverName === undefined ? {} : { servername: tls.serverName }),
  }) as (...args: Parameters<buildConnector.connector>) => Socket;
  return (target, callback) => {
    const named = tls.serverName === undefined ? target : { ...target, servername: tls.serverName };
    const socket = connect(named, callback);
    const cut = () => socket.destroy(new Error("cut"));
    if (signal.aborted) cut();
    else signal.addEventListener("abort", cut, { once: true });
    socket.once("close", () => signal.removeEventListener("abort", cut));
  };
}

/** The start of the body. Closing the connection discards the rest. */
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

function judge(
  name: string,
  { expectStatus, bodyContains, bodyPattern }: HttpTarget,
  { statusCode }: Dispatcher.ResponseData,
  text: string,
): ProbeResult {
  const line = `${name}: ${statusCode} ${STATUS_CODES[statusCode] ?? ""}`.trimEnd();
  if (expectStatus ? !statusExpected(statusCode, expectStatus) : statusCode < 200 || statusCode > 299) {
    if (expectStatus) return critical(`${line}, not one of ${expectStatus.join(", ")}`);
    if (statusCode === 429) return warning(line);
    if (statusCode < 300 || statusCode > 399) return critical(line);
    return critical(`${line}: redirects are not followed; check the target of the redirect instead`);
  }
  if (bodyContains !== undefined && !text.includes(bodyContains)) {
    return critical(
      `${line}, but its first ${PROBE_BODY_BYTES_MAX} bytes do not contain "${bodyContains.slice(0, 80)}"`,
    );
  }
  if (bodyPattern !== undefined && !patternMatches(bodyPattern, text)) {
    return critical(`${line}, but its first ${PROBE_BODY_BYTES_MAX} bytes do not match "${bodyPattern.slice(0, 80)}"`);
  }
  return passing(line);
}
