/**
 * Sends copies of requests to other services, so that they see real traffic. Their answers are discarded. The primary
 * request never waits for a copy: its body is recorded as it passes, and the copy is sent afterwards. Copies beyond the
 * limits are dropped and counted.
 */
import type { CounterChild, Host } from "#base";
import type { Duplex } from "node:stream";
import type { Forward } from "../core/decision/pipeline.ts";
import type { BodyWriter, RequestBody } from "../upstream/body.ts";
import type { CallPlan, CallSink } from "../upstream/call-plan.ts";
import { bufferedBody, type Gathered } from "./buffered-body.ts";
import { changedPlan } from "./relay.ts";
import type { StartCall } from "./start-call.ts";

/** Copies in flight, in the whole gateway, so that a slow mirror cannot accumulate them without limit. */
const MIRRORS_IN_FLIGHT_MAX = 256;
/** Bytes of a body up to which it is copied. */
const MIRRORED_BYTES_MAX = 64 * 1024;
/** Milliseconds for one copy, answer included. */
const MIRROR_MS = 30_000;
/** Marks a copy, for services that must not act on it. */
const MIRROR_HEADER = ["x-posthouse-mirror", "1"] as const;

export class Mirrors {
  readonly #host: Host;
  readonly #call: StartCall;
  readonly #counts: Record<"sent" | "dropped" | "failed", CounterChild>;
  #inFlight = 0;

  constructor(host: Host, call: StartCall) {
    this.#host = host;
    this.#call = call;
    const counter = host.metrics.counter({
      name: "posthouse_gateway_mirrored_total",
      help: "Copies of requests: sent, dropped (too many, or the body was too large), or failed.",
      labelNames: ["result"],
    });
    this.#counts = {
      sent: counter.labels("sent"),
      dropped: counter.labels("dropped"),
      failed: counter.labels("failed"),
    };
  }

  /**
   * Sends the copies of a call that is about to start; a body is copied once it has passed. Handshakes are not copied.
   */
  beside(plan: CallPlan): void {
    const { mirrors, request } = plan.forward;
    if (request.head.header("upgrade").length > 0) return;
    if (plan.body) plan.body.watch(this.#copying(plan));
    else for (const forward of mirrors) this.#send(plan, forward, undefined);
  }

  /** Records the body as it passes. It only listens: the primary writer controls the flow. */
  #copying(plan: CallPlan): BodyWriter {
    const { mirrors } = plan.forward;
    const chunks: Buffer[] = [];
    let bytes = 0;
    return {
      writeBody: (chunk) => {
        const fitted = bytes <= MIRRORED_BYTES_MAX;
        bytes += chunk.length;
        if (bytes <= MIRRORED_BYTES_MAX) return chunks.push(chunk) > 0;
        if (fitted) this.#counts.dropped.inc(mirrors.length);
        chunks.length = 0;
        return true;
      },
      endBody: (trailers) => {
        if (bytes > MIRRORED_BYTES_MAX) return;
        for (const forward of mirrors) this.#send(plan, forward, { bytes: Buffer.concat(chunks), trailers });
      },
      cutBody: () => {},
    };
  }

  #send(plan: CallPlan, forward: Forward, gathered: Gathered | undefined): void {
    if (this.#inFlight >= MIRRORS_IN_FLIGHT_MAX) return this.#counts.dropped.inc();
    this.#inFlight += 1;
    this.#counts.sent.inc();
    let over = false;
    const done = () => {
      if (over) return;
      over = true;
      cancel();
      this.#inFlight -= 1;
    };
    const fail = () => {
      if (!over) this.#counts.failed.inc();
      done();
    };
    const cancel = this.#host.clock.after(MIRROR_MS, () => {
      transfer?.abort();
      fail();
    });
    const copy = copyOf(plan, forward, gathered && bufferedBody(gathered));
    const transfer = this.#call(copy, discardingSink(done, fail));
  }
}

function copyOf(plan: CallPlan, forward: Forward, body: RequestBody | undefined): CallPlan {
  const { connectMs, headersMs, idleMs } = forward.route;
  return changedPlan(plan, { forward, body }, (request) => ({
    ...request,
    connectMs,
    headersMs,
    idleMs,
    body,
    headers: [...request.headers, ...MIRROR_HEADER],
  }));
}

/** Discards an answer. */
function discardingSink(done: () => void, fail: () => void): CallSink {
  return {
    onEndpoint() {},
    onInform() {},
    onHead() {},
    onData: () => true,
    onEnd: done,
    onWhole: done,
    onSwitch(_status: number, _headers: readonly string[], socket: Duplex) {
      socket.destroy();
      done();
    },
    onFailure: fail,
  };
}
