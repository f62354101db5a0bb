/**
 * Fetches small JSON documents of identity providers: within a time and size limit, over verified TLS, and only from
 * allowed addresses.
 */
import { Agent, buildConnector, request } from "undici";
import { deadline, type Host } from "#base";
import type { DialGuard } from "#base/dial";

/** Milliseconds for one document, from connecting to its last byte. */
const FETCH_TIMEOUT_MS = 5_000;

export interface DocumentSource {
  readonly dial: DialGuard;
  /** PEM of the CAs to trust in place of the system's. */
  readonly ca?: string | undefined;
}

export class DocumentFetcher implements AsyncDisposable {
  readonly #host: Host;
  readonly #agent: Agent;
  readonly #abort = new AbortController();

  constructor(host: Host, source: DocumentSource) {
    this.#host = host;
    this.#agent = new Agent({
      connect: guardedConnector(source),
      allowH2: false,
      headersTimeout: FETCH_TIMEOUT_MS,
      bodyTimeout: FETCH_TIMEOUT_MS,
      connections: 1,
    });
  }

  /** True once it was disposed of, which explains failures after that. */
  get stopping(): boolean {
    return this.#abort.signal.aborted;
  }

  /** The parsed document. Redirects are not followed. @throws with the reason */
  async load(url: string, { accept, bytesMax }: { accept: string; bytesMax: number }): Promise<unknown> {
    using late = deadline(this.#host.clock, FETCH_TIMEOUT_MS);
    const { statusCode, body } = await request(url, {
      dispatcher: this.#agent,
      headers: { accept },
      signal: AbortSignal.any([this.#abort.signal, late.signal]),
    });
    const chunks: Buffer[] = [];
    let bytes = 0;
    for await (const chunk of body) {
      bytes += (chunk as Buffer).length;
      // Leaving the loop destroys the body.
      if (bytes > bytesMax) throw new Error(`the document is larger than ${bytesMax} bytes`);
      chunks.push(chunk as Buffer);
    }
    if (statusCode !== 200) throw new Error(`status ${statusCode}`);
    return JSON.parse(Buffer.concat(chunks).toString("utf8"));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#abort.abort(new Error("stopping"));
    await this.#agent.destroy();
  }
}

/** Like undici's own connector, but only to targets that the guard allows. */
function guardedConnector({ dial, ca }: DocumentSource): buildConnector.connector {
  return (asked, callback) => {
    const port = Number(asked.port) || (asked.protocol === "https:" ? 443 : 80);
    try {
      const { lookup } = dial.target(asked.hostname, port);
      const connect = buildConnector({
        timeout: FETCH_TIMEOUT_MS,
        rejectUnauthorized: true,
        allowH2: false,
        lookup,
        ...(ca === undefined ? {} : { ca }),
      });
      connect(asked, callback);
    } catch (error) {
      callback(error as Error, null);
    }
  };
}
