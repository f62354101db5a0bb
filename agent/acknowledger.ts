/**
 * Tells the config server which release this host has applied, or why it could not: once for each thing there is to say, again when
 * the session is another one, and as often as it takes while the server is away.
 */
import {
  canonicalJson,
  messageOf,
  TaskGroup,
  Trigger,
  type CounterChild,
  type Family,
  type Host,
  startOf,
} from "#base";
import { ConfigErrors, type Acknowledge, type SetName } from "#config-server/api";
import { AgentErrors } from "./api.ts";
import type { ControlPlane } from "./caches.ts";
import { failureOf } from "./syncer.ts";

/** Back-off while the server is away. Milliseconds. */
const RETRY = { baseMs: 500, capMs: 30_000 };
/** Acknowledgements of programs on this host that wait to be passed on. */
const PASSED_ON_MAX = 1_000;
/** Characters of an error that the server takes. */
const ERROR_CHARS_MAX = 1024;

interface Entry {
  readonly name: SetName;
  readonly subscriber: string;
  /** Of this agent: it lives by its session. Of others: passed on as it came, and then forgotten. */
  readonly own: boolean;
  body: Acknowledge;
  /** What was told, with the session it lives by. */
  told: string | undefined;
}

export class Acknowledger implements AsyncDisposable {
  readonly #host: Host;
  readonly #client: ControlPlane["config"];
  readonly #subscriber: string;
  readonly #session: () => string | undefined;
  readonly #tasks: TaskGroup;
  readonly #news = new Trigger();
  readonly #entries = new Map<string, Entry>();
  readonly #results: Family<CounterChild>;

  /** `subscriber`: this host's name. `session`: the one that its own acknowledgements live by; without one they wait. */
  constructor(
    host: Host,
    client: ControlPlane["config"],
    options: { subscriber: string; session: () => string | undefined },
  ) {
    this.#host = host;
    this.#client = client;
    this.#subscriber = subscriber(options.subscriber);
    this.#session = options.session;
    this.#tasks = new TaskGroup(host.log);
    this.#results = host.metrics.counter({
      name: "posthouse_agent_acknowledgements_total",
      help: "Acknowledgements told to the config server, by outcome, and those that it did not take.",
      labelNames: ["outcome"],
    });
  }

  start(): void {
    this.#tasks.run("acknowledge", (signal) => this.#run(signal));
  }

  /** What this host says of a set; the latest stands. */
  say(name: SetName, body: Acknowledge): void {
    this.#put(name, this.#subscriber, { own: true, body });
  }

  /**
   * Passes on what a program on this host says of a set.
   * @throws AGENT_ACKNOWLEDGEMENT_INVALID for this host's own name, AGENT_ACKNOWLEDGEMENTS_FULL
   */
  passOn(name: SetName, subscriber: string, body: Acknowledge): void {
    if (subscriber === this.#subscriber) {
      throw AgentErrors.ACKNOWLEDGEMENT_INVALID(
        `"${subscriber}" is the agent itself, which acknowledges its own files. Choose another name.`,
      );
    }
    if (this.#entries.size >= PASSED_ON_MAX) {
      throw AgentErrors.ACKNOWLEDGEMENTS_FULL(
        `${PASSED_ON_MAX} acknowledgements wait for the control plane, the most there may be. Say it again later.`,
      );
    }
    this.#put(name, subscriber, { own: false, body });
  }

  /** The session may be another one. */
  sessionChanged(): void {
    this.#news.fire();
  }

  #put(name: SetName, subscriber: string, { own, body }: Pick<Entry, "own" | "body">): void {
    const key = `${name.namespace}/${name.app}/${name.profile}/${subscriber}`;
    const short = body.error === undefined ? body : { ...body, error: startOf(body.error, ERROR_CHARS_MAX) };
    const entry = this.#entries.get(key) ?? { name, subscriber, own, body: short, told: undefined };
    entry.body = short;
    this.#entries.set(key, entry);
    this.#news.fire();
  }

  async #run(signal: AbortSignal): Promise<void> {
    let attempt = 0;
    while (!signal.aborted) {
      const away = await this.#tellAll(signal);
      if (signal.aborted) return;
      attempt = away ? attempt + 1 : 0;
      const waitMs =
        Math.min(RETRY.capMs, RETRY.baseMs * 2 ** Math.min(attempt, 20)) * (0.5 + 0.5 * this.#host.random.float());
      const cancel = away ? this.#host.clock.after(waitMs, () => this.#news.fire()) : () => {};
      await this.#news.wait(signal);
      cancel();
    }
  }

  /** Whether the server was away. */
  async #tellAll(signal: AbortSignal): Promise<boolean> {
    for (const [key, entry] of this.#entries) {
      const session = entry.own ? this.#session() : entry.body.session;
      if (entry.own && session === undefined) continue;
      const said = entry.body;
      const body: Acknowledge = { ...said, ...(session === undefined ? {} : { session }) };
      const text = canonicalJson(body);
      if (entry.told === text) continue;
      try {
        await this.#client.acknowledge(entry.name, entry.subscriber, body, { signal });
        this.#results.labels(body.outcome).inc();
      } catch (error) {
        if (signal.aborted) return false;
        if (failureOf(error) === "away") return true;
        this.#results.labels("refused").inc();
        // A lapsed session is replaced soon, and it is said again with the next one; anything else stays as it is.
        const level = ConfigErrors.SESSION_NOT_FOUND.is(error) ? "debug" : "warn";
        this.#host.log[level]({ ...entry.name, err: error }, `acknowledgement not taken: ${messageOf(error)}`);
      }
      entry.told = text;
      if (!entry.own && entry.body === said) this.#entries.delete(key);
    }
    return false;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#tasks[Symbol.asyncDispose]();
  }
}

/** A host name may hold what a subscriber's may not. */
function subscriber(node: string): string {
  const name = node.replaceAll(/[^A-Za-z0-9._-]/g, "-").replace(/^[^A-Za-z0-9]+/, "");
  return name.slice(0, 128) || "host";
}
