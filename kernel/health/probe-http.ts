/**
 * A probe over HTTP or HTTPS: a fresh connection and no more than a few bytes of the answer. It asks what a new client
 * would meet, so nothing is reused: not the connection, not a TLS session, not a redirect.
 */
import { STATUS_CODES } from "node:http";
import type { LookupFunction, Socket } from "node:net";
import { buildConnector, Client, type Dispatcher } from "undici";
import { patternMatches, statusExpected } from "./core/match.ts";
import type { HttpTarget, TlsOptions } from "./core/targets.ts";
import { portOf, type Reach } from "./reach.ts";
import {
  critical,
  failed,
  passing,
  PROBE_BODY_BYTES_MAX,
  warning,
  type ProbeContext,
  type ProbeResult,
} from "./result.ts";

/**
 * Without `expectStatus` 2xx is passing, 429 is warning (alive, but asking for less), all else is critical; so is a
 * redirect, which is not followed, a certificate that does not verify, and a body that is not as expected. The output contains
 * nothing of the answer but its status: readers of the registry see the output, and may not be allowed to read the target.
 */
export async function probeHttp(target: HttpTarget, context: ProbeContext, reach: Reach): Promise<ProbeResult> {
  const url = URL.parse(target.url);
  if (!url) return critical(`${target.method}: the address makes no URL: ${target.url}`);
  // Query and credentials stay out of what is logged and shown.
  const name = `${target.method} ${url.origin}${url.pathname}`;
  let client: Client | undefined;
  try {
    // The context's deadline is the only one; undici's own would be a second truth.
    client = new Client(url.origin, {
      connect: cuttableConnector(context.signal, target.tls, reach.lookup(portOf(url))),
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
 * A connector whose socket ends with the signal. undici notices an abort only once it is connected, so a target that
 * swallows packets would hold a socket for the minutes that the kernel tries.
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
    return critical(`${line}: a redirect is not followed; check where it leads instead`);
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
