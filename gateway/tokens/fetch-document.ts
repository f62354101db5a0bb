/** Fetches small JSON documents of identity providers: in time, up to a size, TLS verified, and where may be dialled only. */
import { Agent, buildConnector, request } from "undici";
import { deadline, type Host } from "#base";
import type { DialGuard } from "#base/dial";

/** Milliseconds for one document, from its connection to its last byte. */
const FETCH_TIMEOUT_MS = 5_000;

export interface DocumentSource {
  readonly dial: DialGuard;
  /** PEM of the CAs to trust instead of the system's. */
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

  /** True once it was disposed of: what failed then failed for that. */
  get stopping(): boolean {
    return this.#abort.signal.aborted;
  }

  /** The document as it was parsed. A redirect is not followed. @throws with the reason */
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

/** As undici's own, to targets that the guard gives. */
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
