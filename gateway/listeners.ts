/**
 * The ports that a gateway listens on: its own two from the settings, and those of the config's listeners, opened and
 * closed as the config says. A port that cannot be opened is a problem of that listener alone; the others serve.
 */
import { canonicalJson, messageOf, type Host } from "#base";
import type { OwnListeners } from "#base/address-class";
import { OWN_LISTENER, type ConfigProblem, type Listener } from "./api.ts";
import { GeneralLane } from "./lanes/general/lane.ts";
import type { LaneParts } from "./lanes/parts.ts";
import { modeOf, TlsFront } from "./lanes/tls-front.ts";
import type { GatewayPorts, TlsIdentity } from "./settings.ts";

/** Milliseconds between two looks whether all requests have ended. */
const DRAIN_LOOK_MS = 10;

/** Milliseconds between two tries to open a port, and how many: the listener that had it may just be letting go. */
const OPEN_AGAIN_MS = 50;
const OPEN_TRIES = 40;
/** Milliseconds between two looks for connections of a closed listener that have become idle. */
const IDLE_LOOK_MS = 100;

/** A port, and the listeners that share it. */
interface Open {
  readonly port: number;
  /** As it was opened, or changed since. */
  listeners: readonly Listener[];
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
  /** By port, as the problems are. */
  readonly #others = new Map<number, Open>();
  readonly #problems = new Map<number, ConfigProblem>();
  /** Closing, so that a stop waits for them and then cuts. */
  readonly #closing = new Map<Promise<void>, GeneralLane>();
  readonly #own: OwnListeners;
  #tls: TlsIdentity | undefined;
  #wanted: readonly Listener[] = [];
  #listening = false;

  constructor(host: Host, parts: LaneParts, { tls, own }: { tls: TlsIdentity | undefined; own: OwnListeners }) {
    this.#host = host;
    this.#parts = parts;
    this.#own = own;
    this.#tls = tls;
    this.#http = new GeneralLane(parts, undefined);
    this.#https = tls && new GeneralLane(parts, ownFront(tls));
  }

  /** Of listeners that could not be opened. */
  get problems(): readonly ConfigProblem[] {
    return [...this.#problems.values()];
  }

  /** Opens the gateway's own. @throws the system's own error, with its `port`; nothing is left open. */
  async listen(): Promise<GatewayPorts> {
    const { host, port, tlsPort } = this.#parts.settings;
    const httpPort = await this.#http.listen(host, port);
    this.#noteOpen(this.#http, httpPort);
    this.#listening = true;
    this.use(this.#wanted);
    if (!this.#https) return { httpPort };
    try {
      const httpsPort = await this.#https.listen(host, tlsPort);
      this.#noteOpen(this.#https, httpsPort);
      return { httpPort, httpsPort };
    } catch (error) {
      await Promise.all(this.#lanes().map((lane) => lane.close()));
      throw error;
    }
  }

  /** A lane that is open is not dialled by its own gateway, until it is closed. */
  #noteOpen(lane: GeneralLane, port: number): void {
    lane.onClosed(this.#own.add({ host: this.#parts.settings.host, port }));
  }

  /** Those of the config now in force; they open once the gateway listens at all. */
  use(listeners: Iterable<Listener>): void {
    this.#wanted = [...listeners].filter(({ name }) => name !== OWN_LISTENER);
    if (!this.#listening) return;
    const ports = Map.groupBy(this.#wanted, ({ port = 0 }) => port);
    for (const [port, open] of this.#others) {
      const wanted = ports.get(port);
      if (wanted && !this.#problems.has(port) && sameSocket(wanted, open.listeners)) {
        this.#change(open, wanted);
        continue;
      }
      this.#others.delete(port);
      this.#problems.delete(port);
      open.closed = true;
      if (open.lane) this.#close(open.lane);
    }
    for (const [port, sharing] of ports) if (!this.#others.has(port)) this.#open(port, sharing);
  }

  #open(port: number, listeners: readonly Listener[]): void {
    const open: Open = { port, listeners, lane: undefined, opened: Promise.resolve(), closed: false };
    this.#others.set(port, open);
    open.opened = this.#try(open);
  }

  /** New connections are shown other certificates, or asked for them of other CAs. */
  #change(open: Open, wanted: readonly Listener[]): void {
    const before = open.listeners;
    open.listeners = wanted;
    if (canonicalJson(wanted.map(tlsOf)) !== canonicalJson(before.map(tlsOf))) this.#showTls(open);
  }

  #showTls(open: Open): void {
    try {
      const front = this.#frontOf(open.listeners);
      if (front) open.lane?.setTls(front);
    } catch (error) {
      this.#failed(
        open,
        `Port ${open.port}, of ${namesOf(open.listeners)}, keeps its certificates: ${messageOf(error)}.`,
      );
    }
  }

  /** undefined: in the clear. @throws when a certificate is missing, or none */
  #frontOf(listeners: readonly Listener[]): TlsFront | undefined {
    if (listeners[0]?.tls !== true) return undefined;
    return new TlsFront({
      listeners: listeners.map(({ hosts, certificates }) => ({ hosts, identities: this.#identitiesOf(certificates) })),
      clients: listeners[0].clientCertificates,
    });
  }

  #identitiesOf(certificates: Listener["certificates"]): readonly TlsIdentity[] {
    if (certificates) return certificates.map(({ key = "", cert = "" }) => ({ key, cert }));
    if (!this.#tls) throw new Error("this gateway has no certificate");
    return [this.#tls];
  }

  async #try(open: Open): Promise<void> {
    const { port } = open;
    for (let tries = 1; !open.closed; tries++) {
      let lane: GeneralLane | undefined;
      try {
        lane = new GeneralLane(this.#parts, this.#frontOf(open.listeners), port);
        await lane.listen(this.#parts.settings.host, port);
        if (open.closed) return this.#close(lane);
        open.lane = lane;
        this.#noteOpen(lane, port);
        // They may have changed meanwhile.
        this.#showTls(open);
        this.#host.log.info({ listeners: open.listeners.map(({ name }) => name), port }, "listener open");
        return;
      } catch (error) {
        await lane?.close();
        if (open.closed) return;
        const again = (error as { code?: string }).code === "EADDRINUSE" && tries < OPEN_TRIES;
        if (again) await this.#host.clock.sleep(OPEN_AGAIN_MS);
        else {
          const message = `Port ${port} of ${namesOf(open.listeners)} cannot be opened: ${messageOf(error)}.`;
          return this.#failed(open, message);
        }
      }
    }
  }

  #failed({ port, listeners }: Open, message: string): void {
    this.#problems.set(port, { pointer: `/listeners/${listeners[0]?.name}`, message });
    this.#host.log.error({ port }, message);
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
    this.#https?.setTls(ownFront(identity));
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

/** Of the process's own port. */
function ownFront(identity: TlsIdentity): TlsFront {
  return new TlsFront({ listeners: [{ hosts: undefined, identities: [identity] }], clients: undefined });
}

/**
 * Whether a port can go on without being opened anew. Whether clients are asked is not changed under connections that
 * stand: those of the old port end with what is under way. On one port it is the same for all.
 */
function sameSocket([a]: readonly Listener[], [b]: readonly Listener[]): boolean {
  return (a?.tls ?? false) === (b?.tls ?? false) && modeOf(a?.clientCertificates) === modeOf(b?.clientCertificates);
}

/** What a handshake depends on. */
function tlsOf({ tls, hosts, certificates, clientCertificates }: Listener) {
  return tls === true ? { hosts, certificates, clientCertificates } : {};
}

function namesOf(listeners: readonly Listener[]): string {
  return `listener ${listeners.map(({ name }) => `"${name}"`).join(", ")}`;
}
