/**
 * Copies of requests for services that are to see real traffic: sent beside the primary, answered to nobody. The
 * primary never waits for one: a body is copied as it passes, and goes out once it has passed whole. What would be too
 * much is not copied, and counted.
 */
import type { CounterChild, Host } from "#base";
import type { Forward } from "../core/pipeline.ts";
import type { UpstreamAnswer, UpstreamCall, UpstreamFailure } from "../upstream/call.ts";
import { BufferedBody } from "./buffered-body.ts";

/** Copies on their way at once, of the whole gateway; a slow shadow must not gather them without end. */
export const MIRRORS_IN_FLIGHT_MAX = 256;
/** Bytes of a body that is copied. */
export const MIRRORED_BYTES_MAX = 64 * 1024;
/** Milliseconds for one copy, answer included. */
const MIRROR_MS = 30_000;
/** Marks a copy, for services that must not act on it. */
const MIRROR_HEADER = ["x-posthouse-mirror", "1"] as const;

export class Mirrors {
  readonly #host: Host;
  readonly #run: (call: UpstreamCall) => Promise<UpstreamAnswer | UpstreamFailure>;
  readonly #counts: Record<"sent" | "dropped" | "failed", CounterChild>;
  #inFlight = 0;

  constructor(host: Host, run: (call: UpstreamCall) => Promise<UpstreamAnswer | UpstreamFailure>) {
    this.#host = host;
    this.#run = run;
    const counter = host.metrics.counter({
      name: "posthouse_gateway_mirrored_total",
      help: "Copies of requests: sent, dropped for too much of them or too large a body, failed.",
      labelNames: ["result"],
    });
    this.#counts = {
      sent: counter.labels("sent"),
      dropped: counter.labels("dropped"),
      failed: counter.labels("failed"),
    };
  }

  /** The call, with its copies prepared. */
  beside(call: UpstreamCall): UpstreamCall {
    const { mirrors } = call.forward;
    if (mirrors.length === 0) return call;
    const { body } = call;
    if (!body) {
      for (const forward of mirrors) this.#send(call, forward, undefined);
      return call;
    }
    let watched = false;
    return {
      ...call,
      onBodyStart: () => {
        call.onBodyStart();
        if (watched) return;
        watched = true;
        this.#watch(call, body);
      },
    };
  }

  /** Gathers what passes. It listens only; how fast the body flows is for its one reader to say. */
  #watch(call: UpstreamCall, body: NonNullable<UpstreamCall["body"]>): void {
    const { mirrors } = call.forward;
    const chunks: Buffer[] = [];
    let bytes = 0;
    const onData = (chunk: Buffer) => {
      bytes += chunk.length;
      chunks.push(chunk);
      if (bytes <= MIRRORED_BYTES_MAX) return;
      this.#counts.dropped.inc(mirrors.length);
      chunks.length = 0;
      stop();
    };
    const onEnd = () => {
      stop();
      for (const forward of mirrors) this.#send(call, forward, Buffer.concat(chunks));
    };
    const stop = () => void body.off("data", onData).off("end", onEnd).off("close", stop);
    body.on("data", onData).on("end", onEnd).on("close", stop);
  }

  #send(call: UpstreamCall, forward: Forward, body: Buffer | undefined): void {
    if (this.#inFlight >= MIRRORS_IN_FLIGHT_MAX) return this.#counts.dropped.inc();
    this.#inFlight += 1;
    this.#counts.sent.inc();
    void this.#deliver(call, forward, body).finally(() => (this.#inFlight -= 1));
  }

  async #deliver(call: UpstreamCall, forward: Forward, body: Buffer | undefined): Promise<void> {
    const end = new AbortController();
    const cancel = this.#host.clock.after(MIRROR_MS, () => end.abort(new Error("the copy took too long")));
    try {
      const answer = await this.#run({
        ...call,
        forward,
        body: body && new BufferedBody(body),
        headers: (endpoint, span) => [...call.headers(endpoint, span), ...MIRROR_HEADER],
        onBodyStart: () => {},
        signal: end.signal,
      });
      if (!answer.ok) return this.#counts.failed.inc();
      answer.span.end();
      await new Promise<void>((resolve) =>
        answer.stream.on("error", resolve).on("close", resolve).on("end", resolve).resume(),
      );
      answer.release();
    } finally {
      cancel();
    }
  }
}
