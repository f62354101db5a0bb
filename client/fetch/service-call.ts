/**
 * One call to a service: attempts at its instances, as the balancing core allows them, until a head arrives, no further attempt may
 * help, or the deadline passes. An error of the client reaches the caller, never a code of a library alone.
 */
import type { Dispatcher } from "undici";
import type { AppError, CancelTimer, Host } from "#base";
import {
  ATTEMPT_HEADER,
  backoffMs,
  chooseRetry,
  isRefusal,
  isRepeatable,
  pick,
  type Endpoint,
  type FailedCall,
} from "#gateway/balancing";
import { ServiceAttempt, type AttemptOwner } from "./service-attempt.ts";
import { callError, noEndpoint, tooLate } from "./call-errors.ts";
import type { ServiceTarget } from "./service-target.ts";
import type { TrafficReporter } from "./traffic-reporter.ts";

export interface CallParts {
  readonly host: Host;
  readonly dispatch: Dispatcher["dispatch"];
  readonly onSilent: (target: ServiceTarget, endpoint: Endpoint) => void;
  readonly traffic: TrafficReporter;
}

export interface CallLimits {
  /** Milliseconds to the head of the answer, over all attempts. */
  readonly deadlineMs: number;
  /** Whether a caller before this process retries already. */
  readonly isRetry: boolean;
}

export class ServiceCall implements AttemptOwner {
  readonly host: Host;
  readonly target: ServiceTarget;
  readonly handler: Dispatcher.DispatchHandler;
  readonly repeatable: boolean;
  readonly #parts: CallParts;
  readonly #options: Dispatcher.DispatchOptions;
  readonly #limits: CallLimits;
  readonly #hasBody: boolean;
  #current: ServiceAttempt | undefined;
  #cancelDeadline: CancelTimer | undefined;
  #cancelWait: CancelTimer | undefined;
  #tried: Endpoint[] | undefined;
  #moves = 0;
  #attempts = 0;
  #refreshed = false;
  #bodyStarted = false;

  constructor(
    parts: CallParts,
    target: ServiceTarget,
    options: Dispatcher.DispatchOptions,
    { handler, ...limits }: CallLimits & { handler: Dispatcher.DispatchHandler },
  ) {
    this.#parts = parts;
    this.host = parts.host;
    this.target = target;
    this.handler = handler;
    this.#limits = limits;
    const { body, method } = options;
    const hasBody = body !== undefined && body !== null;
    this.#hasBody = hasBody;
    this.repeatable = isRepeatable({ method, hasBody });
    this.#options = hasBody ? { ...options, body: this.#watched(body) as typeof body } : options;
  }

  start(): void {
    this.#cancelDeadline = this.host.clock.after(this.#limits.deadlineMs, () => this.#expire());
    this.target.watched.usedMs = this.host.clock.monotonic();
    if (this.target.watched.instances) this.#begin();
  }

  /** The instances are known now; or `error` says why they are not. */
  resolved(error?: unknown): void {
    if (this.#cancelDeadline === undefined) return;
    if (error === undefined) this.#begin();
    else this.#finish(error as Error);
  }

  #begin(): void {
    this.target.budget.deposit();
    const endpoint = this.#other([]);
    if (endpoint) this.#try(endpoint, false);
    else this.#finish(noEndpoint(this.target, this.host.clock.monotonic()));
  }

  #try(endpoint: Endpoint, fresh: boolean): void {
    const attempt = new ServiceAttempt(this, endpoint, { number: ++this.#attempts, fresh });
    this.#current = attempt;
    const headers = this.#options.headers as Record<string, string>;
    const numbered = this.#attempts > 1 ? { ...headers, [ATTEMPT_HEADER]: String(this.#attempts) } : headers;
    this.#parts.dispatch({ ...this.#options, headers: numbered, origin: endpoint.origin }, attempt);
  }

  #expire(): void {
    this.#cancelDeadline = undefined;
    this.#cancelWait?.();
    const error = tooLate(this.target, this.#limits.deadlineMs);
    this.#current?.expire(error, this.#limits.deadlineMs);
    this.handler.onError?.(error);
  }

  begun(): void {
    this.#stopClock();
  }

  ended(): void {
    this.#stopClock();
  }

  count({ id }: Endpoint, status: number, latencyMs: number): void {
    this.#parts.traffic.count(this.target.watched, id, status, latencyMs);
  }

  onSilent(endpoint: Endpoint): void {
    this.#parts.onSilent(this.target, endpoint);
  }

  failed(attempt: ServiceAttempt, failed: FailedCall | undefined, error: Error): void {
    if (failed && this.#retries(attempt, failed)) return;
    this.#finish(callError(this.target, error, { failed, attempts: this.#attempts }));
  }

  #retries({ endpoint }: ServiceAttempt, failed: FailedCall): boolean {
    const { retry, cluster } = this.target.rules;
    const tried = (this.#tried ??= []);
    const choice = chooseRetry(failed, {
      method: this.#options.method,
      hasBody: this.#hasBody,
      bodyStarted: this.#bodyStarted,
      retries: tried.length - this.#moves,
      moves: this.#moves,
      policy: retry,
      refreshed: this.#refreshed,
    });
    if (choice === "none") return false;
    if (choice === "fresh") {
      this.#refreshed = true;
      this.#try(endpoint, true);
      return true;
    }
    const { clock, random } = this.host;
    const other = this.#other([...tried, endpoint]) ?? (choice === "again" ? endpoint : undefined);
    if (!other) return false;
    // Where all others refuse connections, the caller need not wait for each refusal.
    if (choice === "move" && other.load.avoidUntilMs > clock.monotonic()) return false;
    if (choice === "again") {
      const busy = endpoint.load.cluster.retrying >= cluster.breaker.retriesMax;
      if (busy || this.#limits.isRetry || !this.target.budget.withdraw(clock.monotonic())) return false;
    }
    tried.push(endpoint);
    if (isRefusal(failed)) this.#moves += 1;
    this.#refreshed = false;
    if (choice === "move") this.#try(other, false);
    else {
      const waitMs = backoffMs(tried.length - this.#moves - 1, () => random.float());
      this.#cancelWait = clock.after(waitMs, () => this.#try(other, false));
    }
    return true;
  }

  #other(excluded: readonly Endpoint[]): Endpoint | undefined {
    const { cluster } = this.target.rules;
    const { random, clock } = this.host;
    const options = {
      inFlightMax: cluster.inFlightMax,
      balance: cluster.balance,
      slowStartMs: cluster.slowStartMs,
      panicPercent: cluster.panicPercent,
      nowMs: clock.monotonic(),
      excluded,
    };
    return pick(this.target.endpoints, () => random.float(), options);
  }

  #stopClock(): void {
    this.#cancelDeadline?.();
    this.#cancelDeadline = undefined;
  }

  #finish(error: Error | AppError): void {
    this.#stopClock();
    this.handler.onError?.(error);
  }

  /** The body, which notes that it is being read: from then on it cannot be sent again. */
  #watched(body: NonNullable<Dispatcher.DispatchOptions["body"]>): Dispatcher.DispatchOptions["body"] {
    if (!(Symbol.asyncIterator in Object(body))) return body;
    const source = body as unknown as AsyncIterable<Uint8Array>;
    const note = () => (this.#bodyStarted = true);
    const noting = (async function* () {
      note();
      yield* source;
    })();
    return noting as unknown as Dispatcher.DispatchOptions["body"];
  }
}
