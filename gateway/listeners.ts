/**
 * The ports that a gateway listens on: its own two from the settings, and those of the config's listeners, opened and
 * closed as the config says. A port that cannot be opened is a problem of that listener alone; the others serve.
 */
import { messageOf, type Host } from "#base";
import { OWN_LISTENER, type ConfigProblem, type Listener } from "./api.ts";
import { GeneralLane } from "./lanes/general.ts";
import type { LaneParts } from "./lanes/parts.ts";
import type { GatewayPorts, TlsIdentity } from "./settings.ts";

/** Milliseconds between two looks whether all requests have ended. */
const DRAIN_LOOK_MS = 10;

interface Open {
  readonly lane: GeneralLane;
  readonly port: number;
  readonly tls: boolean;
  /** Resolves to what went wrong, or undefined. */
  readonly opened: Promise<string | undefined>;
}

export class Listeners {
  readonly #host: Host;
  readonly #parts: LaneParts;
  readonly #http: GeneralLane;
  readonly #https: GeneralLane | undefined;
  readonly #others = new Map<string, Open>();
  readonly #problems = new Map<string, ConfigProblem>();
  /** Closing, so that a stop waits for them. */
  readonly #closing = new Set<Promise<unknown>>();
  #tls: TlsIdentity | undefined;
  #wanted: readonly Listener[] = [];
  #listening = false;

  constructor(host: Host, parts: LaneParts, tls: TlsIdentity | undefined) {
    this.#host = host;
    this.#parts = parts;
    this.#tls = tls;
    this.#http = new GeneralLane(parts, undefined);
    this.#https = tls && new GeneralLane(parts, tls);
  }

  /** Of listeners that could not be opened. */
  get problems(): readonly ConfigProblem[] {
    return [...this.#problems.values()];
  }

  /** Opens the gateway's own. @throws the system's own error, with its `port`; nothing is left open. */
  async listen(): Promise<GatewayPorts> {
    const { host, port, tlsPort } = this.#parts.settings;
    const httpPort = await this.#http.listen(host, port);
    this.#listening = true;
    this.use(this.#wanted);
    if (!this.#https) return { httpPort };
    try {
      return { httpPort, httpsPort: await this.#https.listen(host, tlsPort) };
    } catch (error) {
      await Promise.all(this.#lanes().map((lane) => lane.close()));
      throw error;
    }
  }

  /** Those of the config now in force; they open once the gateway listens at all. */
  use(listeners: Iterable<Listener>): void {
    this.#wanted = [...listeners].filter(({ name }) => name !== OWN_LISTENER);
    if (!this.#listening) return;
    for (const [name, open] of this.#others) {
      const wanted = this.#wanted.find((one) => one.name === name);
      if (wanted?.port === open.port && (wanted.tls ?? false) === open.tls) continue;
      this.#others.delete(name);
      this.#problems.delete(name);
      this.#close(open.lane);
    }
    for (const listener of this.#wanted) if (!this.#others.has(listener.name)) this.#open(listener);
  }

  #open({ name, port = 0, tls = false }: Listener): void {
    if (tls && !this.#tls) {
      this.#problems.set(name, { pointer: `/listeners/${name}`, message: "This gateway has no certificate." });
      return;
    }
    const lane = new GeneralLane(this.#parts, tls ? this.#tls : undefined, name);
    // A port that another listener is just giving up is free once that one has closed.
    const opened = Promise.allSettled(this.#closing)
      .then(() => lane.listen(this.#parts.settings.host, port))
      .then(
        () => {
          this.#host.log.info({ listener: name, port }, "listener open");
          return undefined;
        },
        (error: unknown) => {
          const message = `Port ${port} of listener "${name}" cannot be opened: ${messageOf(error)}.`;
          this.#problems.set(name, { pointer: `/listeners/${name}`, message });
          this.#host.log.error({ listener: name, port }, message);
          return message;
        },
      );
    this.#others.set(name, { lane, port, tls, opened });
  }

  /** Takes no new connections; what is under way ends by itself, as at a stop. */
  #close(lane: GeneralLane): void {
    lane.closeIdle();
    const closed = lane.close().finally(() => this.#closing.delete(closed));
    this.#closing.add(closed);
  }

  setTls(identity: TlsIdentity): void {
    this.#tls = identity;
    for (const lane of this.#lanes()) lane.setTls(identity);
  }

  #lanes(): GeneralLane[] {
    const others = [...this.#others.values()].map(({ lane }) => lane);
    return [this.#http, this.#https, ...others].filter((lane) => lane !== undefined);
  }

  /** Stop accepting, let what is in flight end up to the deadline, then cut. */
  async stop(drainMs: number): Promise<void> {
    const { clock, log } = this.#host;
    const { inFlight } = this.#parts;
    await Promise.all([...this.#others.values()].map(({ opened }) => opened));
    const lanes = this.#lanes();
    const closed = [...lanes.map((lane) => lane.close()), ...this.#closing];
    const deadline = clock.monotonic() + drainMs;
    while (inFlight.count > 0 && clock.monotonic() < deadline) {
      for (const lane of lanes) lane.closeIdle();
      await clock.sleep(DRAIN_LOOK_MS);
    }
    if (inFlight.count > 0) log.warn({ cut: inFlight.count }, "requests cut: they outlasted the drain");
    for (const lane of lanes) lane.destroy();
    await Promise.allSettled(closed);
  }
}
