/** Carries out the decisions of the anti-entropy core: one loop that sends the calls that are due and reports their outcomes to it. */
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
import { isTransient } from "#client/follow";
import { RegistryErrors } from "#registry/api";
import type { ControlPlane } from "./caches.ts";
import { syncMarkOf } from "./core/local-state.ts";
import { decide } from "./core/decide.ts";
import {
  begin,
  startSync,
  type Effect,
  type Failure,
  type SyncEvent,
  type SyncLimits,
  type SyncState,
} from "./core/sync-state.ts";
import { step } from "./core/sync.ts";

/** Milliseconds that the loop sleeps at most, for a clock that jumps while the next deadline is far away. */
const SLEEP_MS_MAX = 60_000;
/** Milliseconds that a clean stop waits for the session to close. Otherwise the session lapses by itself. */
const CLOSE_MS_MAX = 2_000;

type CallResult = Pick<SyncEvent & { type: "done" }, "session" | "instances">;

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
      help: "Calls to the control plane that keep it in sync with this host, by result.",
      labelNames: ["result"],
    });
    this.#connected = metrics
      .gauge({ name: "posthouse_agent_connected", help: "1 while the control plane answers, else 0." })
      .labels();
    this.#connected.set(0);
    metrics.gauge({
      name: "posthouse_agent_services",
      help: "Services of this host, by whether the server has them as this host claims them.",
      labelNames: ["state"],
      collect: (gauge) => {
        const counts = { inSync: 0, changed: 0, deleted: 0 };
        for (const claim of this.#state.claims.values()) counts[syncMarkOf(claim)]++;
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
    if (before.connected !== this.#state.connected) this.#reportConnected(event);
    if (before.session !== undefined && this.#state.session === undefined) {
      this.#host.log.warn({}, "the session with the control plane has lapsed; the agent registers all services again");
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
      const result = await this.#send(effect, signal);
      this.#results.labels("ok").inc();
      this.dispatch({ type: "done", effect, ...result });
    } catch (error) {
      // A stop aborts calls under way. The next start finds out whether they succeeded.
      if (signal.aborted) return;
      const failure = syncFailureOf(error);
      this.#results.labels(failure).inc();
      const level = failure === "refused" ? "warn" : "debug";
      this.#host.log[level]({ effect: effect.type, key: effect.key, err: error }, messageOf(error));
      const { incarnation, evicted } = error instanceof AppError ? error.extra : {};
      const theirs = typeof incarnation === "number" ? { incarnation, evicted: evicted === true } : {};
      this.dispatch({ type: "failed", effect, failure, detail: messageOf(error), ...theirs });
    }
  }

  async #send(effect: Effect, signal: AbortSignal): Promise<CallResult> {
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

  #reportConnected(event: SyncEvent): void {
    const { connected } = this.#state;
    this.#connected.set(connected ? 1 : 0);
    if (connected) this.#host.log.info({}, "the control plane answers");
    else if (event.type === "failed") {
      this.#host.log.warn(
        {},
        `the control plane does not answer; the agent continues with what it knows: ${event.detail}`,
      );
    }
  }

  /** Closes the session, which deregisters all its instances at once. Stop the loop first. */
  async leave(): Promise<void> {
    const { session } = this.#state;
    if (session === undefined) return;
    const cut = new AbortController();
    const cancel = this.#host.clock.after(CLOSE_MS_MAX, () => cut.abort(new Error("no time left")));
    try {
      await this.#client.registry.closeSession(session, { signal: cut.signal });
    } catch (error) {
      if (!RegistryErrors.SESSION_NOT_FOUND.is(error)) {
        this.#host.log.warn({ err: error }, `the session could not be closed and will lapse: ${messageOf(error)}`);
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

/** The meaning of an error for anti-entropy. A transient error counts as away. */
function syncFailureOf(error: unknown): Failure {
  if (!(error instanceof AppError)) return "away";
  if (error.code === RegistryErrors.SESSION_NOT_FOUND.code) return "session";
  if (error.code === RegistryErrors.CLAIM_OUTDATED.code) return "outdated";
  if (MISSING.has(error.code)) return "missing";
  return isTransient(error) ? "away" : "refused";
}
