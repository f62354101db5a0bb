/**
 * Carries out what the anti-entropy core decides: one loop that asks it, sends its calls, and tells it how they ended.
 */
import {
  AppError,
  messageOf,
  TaskGroup,
  Trigger,
  type CounterChild,
  type Family,
  type GaugeChild,
  type Host,
} from "#base";
import { RegistryErrors } from "#registry/api";
import type { ControlPlane } from "./caches.ts";
import { markOf } from "./core/local-state.ts";
import {
  begin,
  decide,
  startSync,
  step,
  type Effect,
  type Failure,
  type SyncEvent,
  type SyncLimits,
  type SyncState,
} from "./core/sync.ts";

/** Longest sleep without looking, in milliseconds: also when a deadline was far and the clock jumped. */
const SLEEP_MS_MAX = 60_000;
/** Milliseconds that a clean stop waits for the session to close; the session lapses by itself otherwise. */
const CLOSE_MS_MAX = 2_000;

type Told = Pick<SyncEvent & { type: "done" }, "session" | "instances">;

export class Syncer implements AsyncDisposable {
  readonly #host: Host;
  readonly #client: ControlPlane;
  readonly #owner: string;
  readonly #onChange: () => void;
  readonly #tasks: TaskGroup;
  readonly #trigger = new Trigger();
  readonly #results: Family<CounterChild>;
  readonly #connected: GaugeChild;
  #state: SyncState;

  /** `owner`: the name under which it registers. `onChange` is called after every step that changed the state. */
  constructor(
    host: Host,
    client: ControlPlane,
    options: { owner: string; limits: SyncLimits; session: string | undefined; onChange: () => void },
  ) {
    this.#host = host;
    this.#client = client;
    this.#owner = options.owner;
    this.#onChange = options.onChange;
    this.#tasks = new TaskGroup(host.log);
    this.#state = startSync(options.limits, host.clock.monotonic(), options.session);
    const { metrics } = host;
    this.#results = metrics.counter({
      name: "posthouse_agent_sync_total",
      help: "Calls to the control plane that keep it in step with this host, by how they ended.",
      labelNames: ["result"],
    });
    this.#connected = metrics
      .gauge({ name: "posthouse_agent_connected", help: "1 while the control plane answers, else 0." })
      .labels();
    this.#connected.set(0);
    metrics.gauge({
      name: "posthouse_agent_services",
      help: "Services of this host, by whether the server has them as claimed here.",
      labelNames: ["state"],
      collect: (gauge) => {
        const counts = { inSync: 0, changed: 0, deleted: 0 };
        for (const claim of this.#state.claims.values()) counts[markOf(claim)]++;
        for (const [state, count] of Object.entries(counts)) gauge.labels(state).set(count);
      },
    });
  }

  get state(): SyncState {
    return this.#state;
  }

  start(): void {
    this.#tasks.run("anti-entropy", (signal) => this.#run(signal));
  }

  dispatch(event: SyncEvent): void {
    const before = this.#state;
    this.#state = step(before, event, { nowMs: this.#host.clock.monotonic(), chance: this.#host.random.float() });
    if (before.connected !== this.#state.connected) this.#tellConnected(event);
    if (before.session !== undefined && this.#state.session === undefined) {
      this.#host.log.warn({}, "the session with the server has lapsed; all services are registered again");
    }
    if (this.#state === before) return;
    this.#onChange();
    this.#trigger.fire();
  }

  async #run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const { state, effects, wakeAtMs } = decide(this.#state, this.#host.clock.monotonic());
      this.#state = state;
      for (const effect of effects) {
        this.#state = begin(this.#state, effect);
        this.#tasks.run(effect.type, () => this.#perform(effect, signal));
      }
      const sleepMs = Math.min(SLEEP_MS_MAX, Math.max(0, wakeAtMs - this.#host.clock.monotonic()));
      const cancel = this.#host.clock.after(sleepMs, () => this.#trigger.fire());
      await this.#trigger.wait(signal);
      cancel();
    }
  }

  async #perform(effect: Effect, signal: AbortSignal): Promise<void> {
    try {
      const told = await this.#send(effect, signal);
      this.#results.labels("ok").inc();
      this.dispatch({ type: "done", effect, ...told });
    } catch (error) {
      // A stop cuts calls under way; what became of them is for the next start to find out.
      if (signal.aborted) return;
      const failure = failureOf(error);
      this.#results.labels(failure).inc();
      const level = failure === "refused" ? "warn" : "debug";
      this.#host.log[level]({ effect: effect.type, key: effect.key, err: error }, messageOf(error));
      const { incarnation, evicted } = error instanceof AppError ? error.extra : {};
      const theirs = typeof incarnation === "number" ? { incarnation, evicted: evicted === true } : {};
      this.dispatch({ type: "failed", effect, failure, detail: messageOf(error), ...theirs });
    }
  }

  async #send(effect: Effect, signal: AbortSignal): Promise<Told> {
    const { registry } = this.#client;
    switch (effect.type) {
      case "openSession": {
        const ttlSeconds = Math.ceil(this.#state.limits.sessionTtlMs / 1000);
        return { session: (await registry.openSession(ttlSeconds, { signal })).id };
      }
      case "heartbeat":
        await registry.heartbeat(effect.session, { signal });
        return {};
      case "register":
        await registry.register(
          effect.name,
          {
            ...effect.registration,
            probedBy: "agent",
            ...(effect.verdicts.length > 0 ? { verdicts: [...effect.verdicts] } : {}),
            owner: this.#owner,
            incarnation: effect.incarnation,
            session: effect.session,
          },
          { signal },
        );
        return {};
      case "report":
        await registry.report(effect.name, effect.check, { status: effect.status, output: effect.output }, { signal });
        return {};
      case "deregister":
        await registry.deregister(effect.name, { owner: this.#owner, incarnation: effect.incarnation, signal });
        return {};
      case "inspect":
        return { instances: (await registry.instances(effect, { signal })).instances };
      default:
        return {};
    }
  }

  #tellConnected(event: SyncEvent): void {
    const { connected } = this.#state;
    this.#connected.set(connected ? 1 : 0);
    if (connected) this.#host.log.info({}, "the control plane answers");
    else if (event.type === "failed") {
      this.#host.log.warn({}, `the control plane is away; going on with what is known: ${event.detail}`);
    }
  }

  /** Closes the session, so that all it registered leaves at once. Stop the loop first. */
  async leave(): Promise<void> {
    const { session } = this.#state;
    if (session === undefined) return;
    const cut = new AbortController();
    const cancel = this.#host.clock.after(CLOSE_MS_MAX, () => cut.abort(new Error("no time left")));
    try {
      await this.#client.registry.closeSession(session, { signal: cut.signal });
    } catch (error) {
      if (!RegistryErrors.SESSION_NOT_FOUND.is(error)) {
        this.#host.log.warn({ err: error }, `the session was not closed and will lapse: ${messageOf(error)}`);
      }
    } finally {
      cancel();
    }
    this.#state = { ...this.#state, session: undefined };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#tasks[Symbol.asyncDispose]();
  }
}

const MISSING: ReadonlySet<string> = new Set([
  RegistryErrors.INSTANCE_NOT_FOUND.code,
  RegistryErrors.SERVICE_NOT_FOUND.code,
  RegistryErrors.CHECK_NOT_FOUND.code,
]);

/** What an error means for anti-entropy. No answer, or an answer that may be another one soon, counts as away. */
export function failureOf(error: unknown): Failure {
  if (!(error instanceof AppError)) return "away";
  if (error.code === RegistryErrors.SESSION_NOT_FOUND.code) return "session";
  if (error.code === RegistryErrors.CLAIM_OUTDATED.code) return "outdated";
  if (MISSING.has(error.code)) return "missing";
  return error.status >= 500 || error.status === 408 || error.status === 429 ? "away" : "refused";
}
