/**
 * The ports that a gateway listens on: its own two from the settings, and those of the config's listeners, opened and
 * closed as the config says. A port that cannot be opened is a problem of that listener alone; the others serve.
 */
import { canonicalJson, messageOf, type Host } from "#base";
import { OWN_LISTENER, type ConfigProblem, type Listener } from "./api.ts";
import { GeneralLane } from "./lanes/general.ts";
import type { LaneParts } from "./lanes/parts.ts";
import { modeOf, TlsFront, type TlsPlan } from "./lanes/tls-front.ts";
import type { GatewayPorts, TlsIdentity } from "./settings.ts";

/** Milliseconds between two looks whether all requests have ended. */
const DRAIN_LOOK_MS = 10;

/** Milliseconds between two tries to open a port, and how many: the listener that had it may just be letting go. */
const OPEN_AGAIN_MS = 50;
const OPEN_TRIES = 40;
/** Milliseconds between two looks for connections of a closed listener that have become idle. */
const IDLE_LOOK_MS = 100;

interface Open {
  /** As it was opened, or changed since. */
  listener: Listener;
  /** undefined while it opens, and when that failed. */
  lane: GeneralLane | undefined;
  /** Resolves when it is open, or is given up. */
  opened: Promise<void>;
  /** No longer wanted. */
  closed: boolean;
}

export class Listeners {
  readonly #host: Host;
  readonly #parts: LaneParts;
  readonly #http: GeneralLane;
  readonly #https: GeneralLane | undefined;
  readonly #others = new Map<string, Open>();
  readonly #problems = new Map<string, ConfigProblem>();
  /** Closing, so that a stop waits for them and then cuts. */
  readonly #closing = new Map<Promise<void>, GeneralLane>();
  #tls: TlsIdentity | undefined;
  #wanted: readonly Listener[] = [];
  #listening = false;

  constructor(host: Host, parts: LaneParts, tls: TlsIdentity | undefined) {
    this.#host = host;
    this.#parts = parts;
    this.#tls = tls;
    this.#http = new GeneralLane(parts, undefined);
    this.#https = tls && new GeneralLane(parts, new TlsFront({ identity: tls, clients: undefined }));
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
      if (wanted && !this.#problems.has(name) && sameSocket(wanted, open.listener)) {
        this.#change(open, wanted);
        continue;
      }
      this.#others.delete(name);
      this.#problems.delete(name);
      open.closed = true;
      if (open.lane) this.#close(open.lane);
    }
    for (const listener of this.#wanted) if (!this.#others.has(listener.name)) this.#open(listener);
  }

  #open(listener: Listener): void {
    const open: Open = { listener, lane: undefined, opened: Promise.resolve(), closed: false };
    this.#others.set(listener.name, open);
    open.opened = this.#try(open);
  }

  /** New connections are asked for certificates of another CA. */
  #change(open: Open, wanted: Listener): void {
    const before = open.listener;
    open.listener = wanted;
    if (canonicalJson(tlsOf(wanted)) !== canonicalJson(tlsOf(before))) this.#showTls(open);
  }

  #showTls({ listener, lane }: Open): void {
    const plan = this.#planOf(listener);
    if (plan) lane?.setTls(new TlsFront(plan));
  }

  /** undefined: in the clear, or without a certificate. */
  #planOf({ tls, clientCertificates: clients }: Listener): TlsPlan | undefined {
    return tls && this.#tls ? { identity: this.#tls, clients } : undefined;
  }

  async #try(open: Open): Promise<void> {
    const { name, port = 0, tls } = open.listener;
    let reason = tls && !this.#tls ? "this gateway has no certificate" : undefined;
    for (let tries = 1; reason === undefined && !open.closed; tries++) {
      const plan = this.#planOf(open.listener);
      const lane = new GeneralLane(this.#parts, plan && new TlsFront(plan), name);
      try {
        await lane.listen(this.#parts.settings.host, port);
        if (open.closed) return this.#close(lane);
        open.lane = lane;
        // It may have changed meanwhile.
        this.#showTls(open);
        this.#host.log.info({ listener: name, port }, "listener open");
        return;
      } catch (error) {
        await lane.close();
        const again = (error as { code?: string }).code === "EADDRINUSE" && tries < OPEN_TRIES;
        if (again) await this.#host.clock.sleep(OPEN_AGAIN_MS);
        else reason = messageOf(error);
      }
    }
    if (reason === undefined) return;
    const message = `Port ${port} of listener "${name}" cannot be opened: ${reason}.`;
    this.#problems.set(name, { pointer: `/listeners/${name}`, message });
    this.#host.log.error({ listener: name, port }, message);
  }

  /** Takes no new connections; what is under way ends by itself, and its connection with it. */
  #close(lane: GeneralLane): void {
    const closed = this.#drain(lane).finally(() => this.#closing.delete(closed));
    this.#closing.set(closed, lane);
  }

  async #drain(lane: GeneralLane): Promise<void> {
    const closing = lane.close().then(() => true);
    do lane.closeIdle();
    while (!(await Promise.race([closing, this.#host.clock.sleep(IDLE_LOOK_MS).then(() => false)])));
  }

  setTls(identity: TlsIdentity): void {
    this.#tls = identity;
    this.#https?.setTls(new TlsFront({ identity, clients: undefined }));
    for (const open of this.#others.values()) this.#showTls(open);
  }

  #lanes(): GeneralLane[] {
    const others = [...this.#others.values()].map(({ lane }) => lane);
    return [this.#http, this.#https, ...others].filter((lane) => lane !== undefined);
  }

  /** Stop accepting, let what is in flight end up to the deadline, then cut. */
  async stop(drainMs: number): Promise<void> {
    const { clock, log } = this.#host;
    const { inFlight } = this.#parts;
    for (const open of this.#others.values()) open.closed = true;
    await Promise.all([...this.#others.values()].map(({ opened }) => opened));
    const leaving = [...this.#closing];
    const lanes = [...this.#lanes(), ...leaving.map(([, lane]) => lane)];
    const closed = [...this.#lanes().map((lane) => lane.close()), ...leaving.map(([drained]) => drained)];
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

/**
 * Whether one can serve as the other without being opened anew. What is asked of clients is not changed under connections
 * that stand: those of the old listener end with what is under way.
 */
function sameSocket(a: Listener, b: Listener): boolean {
  return (
    a.port === b.port &&
    (a.tls ?? false) === (b.tls ?? false) &&
    modeOf(a.clientCertificates) === modeOf(b.clientCertificates)
  );
}

function tlsOf({ tls, clientCertificates }: Listener) {
  return { tls, clientCertificates };
}
