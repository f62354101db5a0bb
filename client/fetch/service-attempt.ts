/** One attempt of a call at one instance: how it counts while it runs, and what its end says about the instance. */
import type { Dispatcher } from "undici";
import type { Host } from "#base";
import {
  noteAnswer,
  noteOutcome,
  noteReached,
  noteRefused,
  noteSilent,
  type Endpoint,
  type FailedCall,
} from "#gateway/balancing";
import { callFailure, codeOf } from "../core/call-failure.ts";
import type { ServiceTarget } from "./service-target.ts";

/** The call that an attempt belongs to. */
export interface AttemptOwner {
  readonly host: Host;
  readonly target: ServiceTarget;
  readonly handler: Dispatcher.DispatchHandler;
  /** Whether a second request would be the same as the first. */
  readonly repeatable: boolean;
  /** The head of an answer has arrived, so no further attempt follows. */
  begun(attempt: ServiceAttempt, status: number): void;
  failed(attempt: ServiceAttempt, failed: FailedCall | undefined, error: Error): void;
  ended(): void;
  /** An attempt has an answer, or has failed without one (`status` 0). */
  count(endpoint: Endpoint, status: number, latencyMs: number): void;
  onSilent(endpoint: Endpoint): void;
}

/** undici's handler of one request. It passes the events of the attempt on to the caller's handler, without copies. */
export class ServiceAttempt implements Dispatcher.DispatchHandler {
  readonly endpoint: Endpoint;
  readonly number: number;
  readonly #call: AttemptOwner;
  readonly #fresh: boolean;
  readonly #startedMs: number;
  #abort: ((reason?: Error) => void) | undefined;
  #connected = false;
  #begun = false;
  #over = false;
  /** The caller ended it. */
  #left = false;

  constructor(call: AttemptOwner, endpoint: Endpoint, { number, fresh }: { number: number; fresh: boolean }) {
    this.#call = call;
    this.endpoint = endpoint;
    this.number = number;
    this.#fresh = fresh;
    this.#startedMs = call.host.clock.monotonic();
    const { load } = endpoint;
    load.inFlight += 1;
    load.cluster.inFlight += 1;
    if (number > 1) load.cluster.retrying += 1;
  }

  /** Ends it because the caller's time is up. `ownShare`: the part of that time that this instance had. */
  expire(error: Error, totalMs: number): void {
    if (this.#over) return;
    const nowMs = this.#call.host.clock.monotonic();
    const hadMs = nowMs - this.#startedMs;
    if (!this.#begun && hadMs * 2 >= totalMs) {
      noteAnswer(this.endpoint.load, true, hadMs, nowMs);
      this.#outcome(0, nowMs);
    }
    if (!this.#begun) this.#call.count(this.endpoint, 0, hadMs);
    this.#end();
    this.#abort?.(error);
  }

  onConnect(abort: (reason?: Error) => void): void {
    if (this.#over) return abort(new Error("the call is over"));
    this.#connected = true;
    this.#abort = abort;
    this.#call.handler.onConnect?.((reason) => {
      this.#left = true;
      abort(reason);
    });
  }

  onResponseStarted(): void {
    (this.#call.handler as { onResponseStarted?: () => void }).onResponseStarted?.();
  }

  onHeaders(status: number, headers: Buffer[], resume: () => void, text: string): boolean {
    if (this.#over) return false;
    if (status >= 200) {
      const { load } = this.endpoint;
      const nowMs = this.#call.host.clock.monotonic();
      this.#begun = true;
      noteReached(load);
      noteAnswer(load, status >= 500, nowMs - this.#startedMs, nowMs);
      this.#outcome(status, nowMs);
      this.#call.count(this.endpoint, status, nowMs - this.#startedMs);
      this.#call.target.answered.add(load);
      this.#call.begun(this, status);
    }
    return this.#call.handler.onHeaders?.(status, headers, resume, text) ?? true;
  }

  onData(chunk: Buffer): boolean {
    return this.#call.handler.onData?.(chunk) ?? true;
  }

  onComplete(trailers: string[] | null): void {
    if (this.#over) return;
    this.#end();
    this.#call.ended();
    this.#call.handler.onComplete?.(trailers);
  }

  onError(error: Error): void {
    if (this.#over) return;
    this.#end();
    if (this.#left) {
      this.#call.ended();
      this.#call.handler.onError?.(error);
      return;
    }
    const { target, repeatable } = this.#call;
    const reused = !this.#fresh && repeatable && target.answered.has(this.endpoint.load);
    const failed = callFailure(codeOf(error), { connected: this.#connected, reused });
    if (failed.error !== "INTERNAL") this.#blame(failed);
    if (!this.#begun) this.#call.count(this.endpoint, 0, this.#call.host.clock.monotonic() - this.#startedMs);
    if (!this.#begun) return this.#call.failed(this, failed, error);
    this.#call.failed(this, undefined, error);
  }

  /** The failure says something about the instance, unless an old connection was closing. */
  #blame(failed: FailedCall): void {
    const { load } = this.endpoint;
    const nowMs = this.#call.host.clock.monotonic();
    if (failed.connecting) {
      if (failed.error === "UPSTREAM_TIMEOUT") {
        noteSilent(load);
        this.#call.onSilent(this.endpoint);
      } else noteRefused(load, nowMs);
    }
    if (failed.reused && !failed.connecting) return;
    if (!this.#begun && !failed.connecting) noteAnswer(load, true, nowMs - this.#startedMs, nowMs);
    this.#outcome(0, nowMs);
  }

  #outcome(status: number, nowMs: number): void {
    const { target, host } = this.#call;
    const { endpoint } = this;
    const about = { set: target.endpoints, policy: target.rules.cluster.outlier, nowMs };
    if (!noteOutcome(endpoint.load, status, about)) return;
    const { service } = target.watched;
    host.log.warn({ service, endpoint: endpoint.id }, "instance ejected: too many of its answers failed");
  }

  #end(): void {
    this.#over = true;
    const { load } = this.endpoint;
    load.inFlight -= 1;
    load.cluster.inFlight -= 1;
    if (this.number > 1) load.cluster.retrying -= 1;
  }
}
