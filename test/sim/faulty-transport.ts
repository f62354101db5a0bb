/**
 * How one client reaches the members, with each way's own weather: as over a network, a request or its answer may be lost or
 * late, a stream may break between any two bytes, and a member may be gone. Behind it is the product's own transport into a
 * server of this process.
 */
import {
  ClientErrors,
  injectTransport,
  type Injectable,
  type Transport,
  type TransportRequest,
  type TransportResponse,
} from "#client";
import type { History } from "./history.ts";
import { never, type Life, type SimTime } from "./host.ts";
import type { Link } from "./weather.ts";

/** As the network's transport gives up: on a connection, and on the head of an answer. Milliseconds. */
const CONNECT_MS = 3_000;
const ANSWER_MS = 9_000;

/** Where a member listens; its server changes with its restarts. */
export interface Door {
  readonly name: string;
  open: { readonly app: Injectable; readonly life: Life } | undefined;
}

export interface FaultyTransportOptions {
  readonly time: SimTime;
  readonly history: History;
  readonly life: Life;
  readonly ways: readonly { readonly door: Door; readonly link: Link }[];
}

type Way = FaultyTransportOptions["ways"][number];

export class FaultyTransport implements Transport {
  readonly #options: FaultyTransportOptions;
  #preferred = 0;

  constructor(options: FaultyTransportOptions, preferred: number) {
    this.#options = options;
    this.#preferred = preferred % options.ways.length;
  }

  async request(request: TransportRequest): Promise<TransportResponse> {
    const { life, history, time, ways } = this.#options;
    const watching = request.headers?.["accept"] === "text/event-stream";
    const { method, path, body } = request;
    const call = watching ? undefined : history.call({ client: life.name, method, path, body, startMs: time.nowMs });
    for (let i = 0; i < ways.length; i++) {
      const index = (this.#preferred + i) % ways.length;
      const way = ways[index] as Way;
      const reached = await orAborted(this.#try(way, request, watching), request.signal);
      if (!life.alive) return never();
      // A write whose answer was lost may have happened: only a connection that never stood is safe to try elsewhere.
      if (reached === "unconnected" || (reached === "lost" && method === "GET")) continue;
      if (reached === "lost") break;
      this.#preferred = index;
      if (!watching && call) {
        const text = await reached.text();
        history.answered(call, reached.status, text === "" ? undefined : JSON.parse(text));
        return { ...reached, text: async () => text };
      }
      return reached;
    }
    throw ClientErrors.UNREACHABLE("No member answered.");
  }

  async #try(
    { door, link }: Way,
    request: TransportRequest,
    watching: boolean,
  ): Promise<TransportResponse | "unconnected" | "lost"> {
    const { life, time } = this.#options;
    if (link.partitioned) {
      await time.sleep(life, CONNECT_MS);
      return "unconnected";
    }
    await link.travel(life);
    const server = door.open;
    if (!server?.life.alive) return "unconnected";
    if (link.happens("lose")) {
      await time.sleep(life, link.random.float() * ANSWER_MS);
      return "lost";
    }
    const gone = Promise.withResolvers<"lost">();
    const forget = server.life.onKill(() => gone.resolve("lost"));
    // A request under way arrives, whatever the caller does meanwhile; a watch ends with its reader.
    const cut = new AbortController();
    if (watching) request.signal.addEventListener("abort", () => cut.abort(request.signal.reason), { once: true });
    const asked = injectTransport(server.app).request({ ...request, signal: cut.signal });
    try {
      const answer = await Promise.race([asked, gone.promise]);
      if (answer === "lost") return "lost";
      if (watching) return this.#streamed(link, server.life, answer, cut);
      const text = await Promise.race([answer.text(), gone.promise.then(() => undefined)]);
      if (text === undefined || link.happens("loseAnswer")) {
        await time.sleep(life, link.random.float() * ANSWER_MS);
        return "lost";
      }
      await link.travel(life);
      if (link.partitioned) return "lost";
      return { ...answer, text: async () => text };
    } catch (error) {
      if (cut.signal.aborted) return "lost";
      throw error;
    } finally {
      forget();
    }
  }

  #streamed(link: Link, server: Life, answer: TransportResponse, cut: AbortController): TransportResponse {
    const { life } = this.#options;
    const stream = async function* (): AsyncGenerator<Uint8Array> {
      const broken = Promise.withResolvers<never>();
      broken.promise.catch(() => {});
      // A process that is killed takes its connections with it; a machine that is, leaves them silent.
      const silent = link.random.float() < 0.3;
      const forget = server.onKill(() => {
        if (!silent) broken.reject(new Error("connection reset"));
      });
      const chunks = answer.stream()[Symbol.asyncIterator]();
      try {
        for (;;) {
          const { done, value } = await Promise.race([chunks.next(), broken.promise]);
          if (done) return;
          await link.travel(life);
          if (link.partitioned) {
            await link.open();
            if (link.random.float() < 0.5) throw new Error("connection reset");
          }
          if (!life.alive) await never();
          if (cut.signal.aborted) throw cut.signal.reason;
          const half = Math.floor(link.random.float() * value.length);
          yield value.subarray(0, half);
          if (link.happens("cut")) throw new Error("connection reset");
          yield value.subarray(half);
        }
      } finally {
        forget();
        cut.abort(new Error("the stream ended"));
        // After a kill this is never answered, so it is not waited for.
        void Promise.resolve(chunks.return?.()).catch(() => {});
      }
    };
    return { ...answer, text: () => answer.text(), stream };
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}

function orAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason as Error);
    const abort = () => reject(signal.reason as Error);
    signal.addEventListener("abort", abort, { once: true });
    void work.then(resolve, reject).finally(() => signal.removeEventListener("abort", abort));
  });
}
