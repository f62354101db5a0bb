/** A worker's end of the channel to the main process: dispatches received messages, and sends messages. */
import type { Metrics } from "#base";
import { OwnListeners } from "#base/address-class";
import { machineAddresses } from "#base/dial";
import type { Gateway, TlsIdentity } from "#gateway";
import { type IdentityMaterial, type IdentitySource, RevokedSerials } from "#identity/core";
import type { FromWorker, Listening, ToWorker, WorkerStart } from "./messages.ts";
import { RelayTransport } from "./relay.ts";

type NewsMessage = Extract<ToWorker, { readonly type: "news" }>;

export class WorkerChannel {
  /** Calls to the control plane, made by the main process. */
  readonly transport = new RelayTransport((message) => this.post(message));
  /** The ports of the main process, as of now. */
  readonly own = new OwnListeners(machineAddresses);
  /** The gateway's certificate, from the main process. */
  readonly identity = new ReceivedIdentity();
  readonly #started = Promise.withResolvers<WorkerStart>();
  readonly #stop = new AbortController();
  /** News that came before its listener. */
  readonly #news: NewsMessage[] = [];
  #onNews: (message: NewsMessage) => void = (message) => void this.#news.push(message);
  #metrics: Metrics | undefined;
  #gateway: Gateway | undefined;
  /** A certificate that was renewed after the start message. */
  #tls: TlsIdentity | undefined;
  #closeListeners: (() => void)[] = [];

  constructor() {
    process.on("message", (message: ToWorker) => this.#receive(message));
  }

  /** Aborts when the main process asks the worker to stop. */
  get stop(): AbortSignal {
    return this.#stop.signal;
  }

  /** Resolves with everything that the worker needs for its start. */
  start(): Promise<WorkerStart> {
    this.post({ type: "online" });
    return this.#started.promise;
  }

  /** The main process reads metrics from here, and the state of clusters once `serves` was called. */
  measures(metrics: Metrics): void {
    this.#metrics = metrics;
  }

  serves(gateway: Gateway): void {
    this.#gateway = gateway;
    if (this.#tls) gateway.setTls(this.#tls);
  }

  onNews(listener: (message: NewsMessage) => void): void {
    this.#onNews = listener;
    for (const message of this.#news.splice(0)) listener(message);
  }

  post(message: FromWorker): void {
    if (process.connected) process.send?.(message, undefined, undefined, () => {});
  }

  /** Resolves once the message has left, so that the process may end. */
  postLast(message: FromWorker): Promise<void> {
    return new Promise((resolve) => process.send?.(message, () => resolve()));
  }

  #receive(message: ToWorker): void {
    switch (message.type) {
      case "start":
        this.#follow(message.start.dial.own);
        this.#started.resolve(message.start);
        return;
      case "news":
        return this.#onNews(message);
      case "ports":
        return this.#follow(message.own);
      case "tls":
        this.#tls = message.tls;
        return this.#gateway?.setTls(message.tls);
      case "identity":
        return this.identity.receive(message.material);
      case "revoked":
        return void this.identity.revocations.replace(message.serials);
      case "stop":
        return this.#stop.abort(new Error("stopping"));
      case "values": {
        const { id } = message;
        void this.#metrics?.values().then((answer) => this.post({ type: "answer", id, answer }));
        return;
      }
      case "clusters":
        return this.post({ type: "answer", id: message.id, answer: this.#gateway?.clusterViews() ?? new Map() });
      case "head":
      case "chunk":
      case "end":
      case "failed":
        return this.transport.receive(message);
    }
  }

  #follow(listening: Listening): void {
    const before = this.#closeListeners;
    this.#closeListeners = listening.map((listener) => this.own.add(listener));
    for (const close of before) close();
  }
}

class ReceivedIdentity implements IdentitySource {
  readonly revocations = new RevokedSerials();
  readonly #listeners = new Set<() => void>();
  current: IdentityMaterial | undefined;

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  receive(material: IdentityMaterial): void {
    this.current = material;
    for (const listener of this.#listeners) listener();
  }
}
