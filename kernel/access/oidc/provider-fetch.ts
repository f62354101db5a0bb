/** Requests to the identity provider: verified TLS, a deadline and a size limit each, and no redirects. */
import { Agent, request } from "undici";
import { deadline, messageOf, type Host } from "#base";
import { isLoopback } from "#http";
import { OidcErrors } from "../api.ts";

/** Milliseconds for one request, from connecting to its last byte. A person waits for two or three of them. */
const REQUEST_MS = 5_000;
/** Bytes of one answer: many times the largest discovery document or key set. */
const ANSWER_BYTES_MAX = 512 * 1024;
/** Statuses whose answers have no body, which a Response must not have either. */
const NO_BODY: ReadonlySet<number> = new Set([204, 205, 304]);

/** The part of fetch that openid-client uses. */
export interface ProviderRequest {
  readonly method: string;
  readonly headers: Record<string, string>;
  readonly body?: unknown;
  readonly signal?: AbortSignal;
}

export class ProviderFetch implements AsyncDisposable {
  readonly #host: Host;
  readonly #agent: Agent;
  readonly #stop = new AbortController();

  /** `ca`: PEM of the CAs to trust in place of the system's. */
  constructor(host: Host, ca: string | undefined) {
    this.#host = host;
    this.#agent = new Agent({
      connect: { timeout: REQUEST_MS, rejectUnauthorized: true, ...(ca === undefined ? {} : { ca }) },
      allowH2: false,
      headersTimeout: REQUEST_MS,
      bodyTimeout: REQUEST_MS,
    });
  }

  /** @throws OIDC_PROVIDER_UNAVAILABLE, OIDC_PROVIDER_INVALID */
  async fetch(url: string, { method, headers, body, signal }: ProviderRequest): Promise<Response> {
    const { protocol, hostname, origin } = new URL(url);
    if (protocol !== "https:" && !(protocol === "http:" && isLoopback(hostname))) {
      throw OidcErrors.PROVIDER_INVALID(
        `The identity provider names ${url}, which has no TLS. Only https is used beyond this machine.`,
      );
    }
    using late = deadline(this.#host.clock, REQUEST_MS);
    const signals = [late.signal, this.#stop.signal, ...(signal === undefined ? [] : [signal])];
    try {
      const answer = await request(url, {
        method: method as "GET",
        headers,
        dispatcher: this.#agent,
        signal: AbortSignal.any(signals),
        ...(body === undefined || body === null ? {} : { body: textOf(body) }),
      });
      const bytes = await limited(answer.body, url);
      const kept = Object.entries(answer.headers).flatMap(([name, value]) =>
        value === undefined ? [] : [value].flat().map((one): [string, string] => [name, one]),
      );
      const { statusCode: status } = answer;
      return new Response(NO_BODY.has(status) ? null : bytes, { status, headers: kept });
    } catch (cause) {
      if (OidcErrors.PROVIDER_INVALID.is(cause)) throw cause;
      const reason = late.signal.aborted ? `no answer within ${REQUEST_MS / 1000} s` : reasonOf(cause);
      throw OidcErrors.PROVIDER_UNAVAILABLE(
        `The identity provider at ${origin} cannot be reached: ${reason}. Try again, or sign in by a token.`,
        { cause },
      );
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort(new Error("stopping"));
    await this.#agent.destroy();
  }
}

/** openid-client sends forms, and nothing else. */
function textOf(body: unknown): string {
  if (body instanceof URLSearchParams) return body.toString();
  if (typeof body === "string") return body;
  throw new TypeError("the body of a request to the identity provider is not a form");
}

/** Undici wraps the reason of a failed connection to several addresses. */
function reasonOf(error: unknown): string {
  const { errors, code } = error as { errors?: readonly unknown[]; code?: string };
  const [first] = errors ?? [];
  return first === undefined ? messageOf(error) || (code ?? "unknown") : messageOf(first);
}

async function limited(body: AsyncIterable<unknown>, url: string): Promise<Uint8Array<ArrayBuffer>> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of body) {
    bytes += (chunk as Buffer).length;
    // Leaving the loop destroys the body.
    if (bytes > ANSWER_BYTES_MAX) {
      throw OidcErrors.PROVIDER_INVALID(
        `The identity provider's answer at ${url} is larger than ${ANSWER_BYTES_MAX} bytes.`,
      );
    }
    chunks.push(chunk as Buffer);
  }
  return new Uint8Array(Buffer.concat(chunks));
}
