/**
 * The ports of a gateway: its own two from the settings, and those of the config's listeners, which are opened and
 * closed as the config changes. A port that cannot be opened is a problem of its listeners only; the others serve.
 */
import { canonicalJson, messageOf, type Host } from "#base";
import type { OwnListeners } from "#base/address-class";
import { OWN_LISTENER, type ConfigProblem, type Listener } from "./api.ts";
import { GeneralLane } from "./lanes/general/lane.ts";
import type { LaneParts } from "./lanes/parts.ts";
import { modeOf, TlsFront } from "./lanes/tls-front.ts";
import type { GatewayPorts, TlsIdentity } from "./settings.ts";

/** Milliseconds between two checks whether all requests have ended. */
const DRAIN_LOOK_MS = 10;

/**
 * Milliseconds between two tries to open a port, and their number: the previous listener on it may still be closing.
 */
const OPEN_AGAIN_MS = 50;
const OPEN_TRIES = 40;
/** Milliseconds between two checks for idle connections of a closed listener. */
const IDLE_LOOK_MS = 100;

/** A port, and the listeners that share it. */
interface OpenPort {
  readonly port: number;
  /** As opened, or as changed since. */
  listeners: readonly Listener[];
  /** Undefined while it opens, and when that failed. */
  lane: GeneralLane | undefined;
  /** Resolves when it is open or given up. */
  opened: Promise<void>;
  /** No longer wanted. */
  closed: boolean;
}

export class Listeners {
  readonly #host: Host;
  readonly #parts: LaneParts;
  readonly #http: GeneralLane;
  readonly #https: GeneralLane | undefined;
  /** By port, like the problems. */
  readonly #others = new Map<number, OpenPort>();
  readonly #problems = new Map<number, ConfigProblem>();
  /** Lanes that are closing: a stop waits for them and then cuts them. */
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

  /** The problems of listeners that could not be opened. */
  get problems(): readonly ConfigProblem[] {
    return [...this.#problems.values()];
  }

  /** Opens the gateway's own ports. @throws the system's own error, with its `port`; nothing is left open. */
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

  /** The gateway does not dial its own open ports, until they are closed. */
  #noteOpen(lane: GeneralLane, port: number): void {
    lane.onClosed(this.#own.add({ host: this.#parts.settings.host, port }));
  }

  /** Uses the listeners of the config in force. They open once the gateway listens. */
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
    const open: OpenPort = { port, listeners, lane: undefined, opened: Promise.resolve(), closed: false };
    this.#others.set(port, open);
    open.opened = this.#try(open);
  }

  /** New connections get the changed certificates, and are checked by the changed CAs. */
  #change(open: OpenPort, wanted: readonly Listener[]): void {
    const before = open.listeners;
    open.listeners = wanted;
    if (canonicalJson(wanted.map(tlsOf)) !== canonicalJson(before.map(tlsOf))) this.#showTls(open);
  }

  #showTls(open: OpenPort): void {
    try {
      const front = this.#frontOf(open.listeners);
      if (front) open.lane?.setTls(front);
    } catch (error) {
      this.#failed(
        open,
        `Port ${open.port}, of ${namesOf(open.listeners)}, keeps its previous certificates: ${messageOf(error)}.`,
      );
    }
  }

  /** Undefined: in the clear. @throws when a certificate is missing or not valid */
  #frontOf(listeners: readonly Listener[]): TlsFront | undefined {
    if (listeners[0]?.tls !== true) return undefined;
    return new TlsFront({
      listeners: listeners.map(({ hosts, certificates }) => ({ hosts, identities: this.#identitiesOf(certificates) })),
      clients: listeners[0].clientCertificates,
    });
  }

  #identitiesOf(certificates: Listener["certificates"]): readonly TlsIdentity[] {
    if (certificates) return certificates.map(({ key = "", cert = "" }) => ({ key, cert }));
    if (!this.#tls) throw new Error("this gateway has no certificate of its own; give the listener certificates");
    return [this.#tls];
  }

  async #try(open: OpenPort): Promise<void> {
    const { port } = open;
    for (let tries = 1; !open.closed; tries++) {
      let lane: GeneralLane | undefined;
      try {
        lane = new GeneralLane(this.#parts, this.#frontOf(open.listeners), port);
        await lane.listen(this.#parts.settings.host, port);
        if (open.closed) return this.#close(lane);
        open.lane = lane;
        this.#noteOpen(lane, port);
        // The certificates may have changed in the meantime.
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

  #failed({ port, listeners }: OpenPort, message: string): void {
    this.#problems.set(port, { pointer: `/listeners/${listeners[0]?.name}`, message });
    this.#host.log.error({ port }, message);
  }

  /** Takes no new connections. Requests in progress finish, and their connections close after them. */
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

  /** Stops accepting, lets requests in flight finish until the deadline, then cuts the rest. */
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
    if (inFlight.count > 0) log.warn({ cut: inFlight.count }, "requests were cut at the end of the drain time");
    for (const lane of lanes) lane.destroy();
    await Promise.allSettled(closed);
  }
}

/** The TLS side of the process's own port. */
function ownFront(identity: TlsIdentity): TlsFront {
  return new TlsFront({ listeners: [{ hosts: undefined, identities: [identity] }], clients: undefined });
}

/**
 * Whether a port can stay open. A change of the mode for client certificates does not apply to established connections,
 * so the old port finishes its requests and closes. All listeners on one port have the same mode.
 */
function sameSocket([a]: readonly Listener[], [b]: readonly Listener[]): boolean {
  return (a?.tls ?? false) === (b?.tls ?? false) && modeOf(a?.clientCertificates) === modeOf(b?.clientCertificates);
}

/** The settings that affect a handshake. */
function tlsOf({ tls, hosts, certificates, clientCertificates }: Listener) {
  return tls === true ? { hosts, certificates, clientCertificates } : {};
}

function namesOf(listeners: readonly Listener[]): string {
  return `listener ${listeners.map(({ name }) => `"${name}"`).join(", ")}`;
}
