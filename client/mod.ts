/** The typed client of the control API. Gateway, agent and program see the control plane through it only. */
import { deadline, type Host } from "#base";
import type { Frame } from "#http/frames";
import type { EffectiveConfig, Published, Publish, ReleaseList, Release, Rollback, SetName } from "#config-server/api";
import type { InstanceList, Registered, Registration, Report, ServiceDelta, ServiceList, Session } from "#registry/api";
import { errorFromProblem } from "./errors.ts";
import { watchFrames, type WatchOptions } from "./stream.ts";
import type { Transport, TransportRequest } from "./transport.ts";

export * from "./errors.ts";
export { STREAM_SILENCE_MS_MAX } from "./stream.ts";
export * from "./transport.ts";

/** Milliseconds a plain call may take before it counts as unreachable. */
export const CALL_TIMEOUT_MS = 10_000;

export interface CallOptions {
  readonly signal?: AbortSignal;
}

export interface InstanceName {
  readonly namespace: string;
  readonly service: string;
  readonly id: string;
}

export interface StreamOptions {
  readonly signal: AbortSignal;
  readonly after?: number;
  readonly onState?: WatchOptions["onState"];
}

export interface ClientOptions {
  readonly transport: Transport;
  /** Bearer token; a function is asked at each call, so that a token may be renewed. */
  readonly token?: string | (() => string | undefined) | undefined;
}

const enc = encodeURIComponent;

/** Errors keep the server's code (`REGISTRY_…`, `CONFIG_…`, `HTTP_…`); without an answer it is CLIENT_UNREACHABLE. */
export class Client {
  readonly #host: Host;
  readonly #options: ClientOptions;

  constructor(host: Host, options: ClientOptions) {
    this.#host = host;
    this.#options = options;
  }

  readonly registry = {
    /** Registers or replaces an instance. `ifRevision`: only when its modRevision is this (0: not there yet). */
    register: (name: InstanceName, body: Registration, options: CallOptions & { ifRevision?: number } = {}) =>
      this.#call<Registered>("PUT", instancePath(name), body, options, ifMatch(options.ifRevision)),
    deregister: (name: InstanceName, options: CallOptions = {}) =>
      this.#call<{ revision: number }>("DELETE", instancePath(name), undefined, options),
    /** Takes an instance out of rotation, or back, without touching its health. */
    drain: (name: InstanceName, draining: boolean, options: CallOptions = {}) =>
      this.#call<{ revision: number }>("PUT", instancePath(name, "/draining"), { draining }, options),
    /** Reports the verdict on one check. */
    report: (name: InstanceName, check: string, body: Report, options: CallOptions = {}) =>
      this.#call<{ revision: number }>("PUT", instancePath(name, `/checks/${enc(check)}`), body, options),
    openSession: (ttlSeconds: number, options: CallOptions = {}) =>
      this.#call<Session>("POST", "/v1/sessions", { ttlSeconds }, options),
    /** @throws REGISTRY_SESSION_NOT_FOUND when it has lapsed, with all that lived by it. */
    heartbeat: (session: string, options: CallOptions = {}) =>
      this.#call<Session>("PUT", `/v1/sessions/${enc(session)}/heartbeat`, undefined, options),
    closeSession: (session: string, options: CallOptions = {}) =>
      this.#call<void>("DELETE", `/v1/sessions/${enc(session)}`, undefined, options),
    services: (namespace: string, options: CallOptions = {}) =>
      this.#call<ServiceList>("GET", `/v1/services?namespace=${enc(namespace)}`, undefined, options),
    instances: (
      service: { namespace: string; service: string },
      options: CallOptions & { healthy?: boolean; revision?: number } = {},
    ) => {
      const query = new URLSearchParams({ namespace: service.namespace });
      if (options.healthy !== undefined) query.set("healthy", String(options.healthy));
      if (options.revision !== undefined) query.set("revision", String(options.revision));
      return this.#call<InstanceList>(
        "GET",
        `/v1/services/${enc(service.service)}/instances?${query.toString()}`,
        undefined,
        options,
      );
    },
    /**
     * The catalog of a namespace, or of the services named, as frames: snapshot frames (one service each), synced, then
     * deltas. Never ends by itself.
     */
    watch: (query: { namespace: string; services?: readonly string[] }, options: StreamOptions) => {
      const search = new URLSearchParams({ namespace: query.namespace });
      for (const service of query.services ?? []) search.append("service", service);
      return this.#watch<ServiceDelta>(`/v1/watch/services?${search.toString()}`, options);
    },
  };

  readonly config = {
    publish: (name: SetName, body: Publish, options: CallOptions = {}) =>
      this.#call<Published>("POST", `${setPath(name)}/releases`, body, options),
    rollback: (name: SetName, body: Rollback, options: CallOptions = {}) =>
      this.#call<Published>("POST", `${setPath(name)}/rollback`, body, options),
    releases: (name: SetName, options: CallOptions & { before?: number; limit?: number } = {}) => {
      const query = new URLSearchParams();
      if (options.before !== undefined) query.set("before", String(options.before));
      if (options.limit !== undefined) query.set("limit", String(options.limit));
      return this.#call<ReleaseList>("GET", `${setPath(name)}/releases?${query.toString()}`, undefined, options);
    },
    release: (name: SetName, version: number, options: CallOptions = {}) =>
      this.#call<Release>("GET", `${setPath(name)}/releases/${version}`, undefined, options),
    effective: (name: SetName, options: CallOptions = {}) =>
      this.#call<EffectiveConfig>("GET", setPath(name), undefined, options),
    /** The effective config as frames: one snapshot, synced, then a delta (again the whole) per change. Never ends by itself. */
    watch: (name: SetName, options: StreamOptions) =>
      this.#watch<EffectiveConfig>(`/v1/watch/config?${new URLSearchParams({ ...name }).toString()}`, options),
  };

  #headers(): Record<string, string> {
    const { token } = this.#options;
    const value = typeof token === "function" ? token() : token;
    return value === undefined ? {} : { authorization: `Bearer ${value}` };
  }

  async #call<T>(
    method: TransportRequest["method"],
    path: string,
    body: unknown,
    options: CallOptions,
    headers: Record<string, string> = {},
  ): Promise<T> {
    using late = deadline(this.#host.clock, CALL_TIMEOUT_MS);
    const answer = await this.#options.transport.request({
      method,
      path,
      headers: { ...this.#headers(), ...headers },
      ...(body === undefined ? {} : { body }),
      signal: options.signal ? AbortSignal.any([options.signal, late.signal]) : late.signal,
    });
    const text = await answer.text();
    if (answer.status >= 400) throw errorFromProblem(answer.status, text);
    return (text === "" ? undefined : JSON.parse(text)) as T;
  }

  #watch<Data>(path: string, options: StreamOptions): AsyncGenerator<Frame<Data>> {
    return watchFrames<Data>(this.#host, {
      transport: this.#options.transport,
      path,
      headers: () => this.#headers(),
      signal: options.signal,
      after: options.after,
      onState: options.onState,
    });
  }
}

function instancePath(name: InstanceName, rest = ""): string {
  return `/v1/services/${enc(name.service)}/instances/${enc(name.id)}${rest}?namespace=${enc(name.namespace)}`;
}

function setPath(name: SetName): string {
  return `/v1/config/${enc(name.namespace)}/${enc(name.app)}/${enc(name.profile)}`;
}

function ifMatch(revision: number | undefined): Record<string, string> {
  return revision === undefined ? {} : revision === 0 ? { "if-none-match": "*" } : { "if-match": `"${revision}"` };
}
