/** The typed client of the control API. Gateway, agent and program see the control plane through it only. */
import { type AppError, deadline, messageOf, type Host } from "#base";
import type { IssuedToken, TokenList, TokenRequest } from "#access/api";
import type { Frame } from "#http/frames";
import type {
  Acknowledge,
  AcknowledgementList,
  ConfigPatch,
  DiffResult,
  EffectiveConfig,
  ImportQuery,
  ImportReport,
  Published,
  Publish,
  Identity,
  ReleaseList,
  Release,
  Revealed,
  RevealRequest,
  Rollback,
  RolloutAction,
  RolloutList,
  RolloutView,
  SetList,
  SetName,
  SourceList,
  SourceStatus,
  SourceSync,
} from "#config-server/api";
import type { ExplainAnswer, ExplainRequest } from "#gateway/api";
import type {
  Batch,
  BatchRegistered,
  Deregistered,
  Drain,
  Health,
  InstanceList,
  LifecycleRequest,
  MemberList,
  Registered,
  Registration,
  Report,
  ServiceDelta,
  ServiceList,
  ServicePolicy,
  ServiceView,
  Session,
  Watcher,
} from "#registry/api";
import type {
  Lock,
  LockAnswer,
  LockBreak,
  LockList,
  LockRef,
  LockReleased,
  LockRequest,
  LockState,
  LockWasBroken,
} from "#locks/api";
import { Acknowledger } from "./acknowledger.ts";
import { acknowledged, wholeConfigs } from "./config-watch.ts";
import type { QuotaAnswer, QuotaRequest } from "#quotas/api";
import { errorFromProblem } from "./errors.ts";
import { holdLock, type HeldLock, type LockOptions } from "./lock.ts";
import { watchFrames, type Acknowledgement, type WatchOptions } from "./stream.ts";
import type { RawBody, Transport, TransportRequest } from "./transport.ts";

export { isMasked } from "#config-server/api";
export { catalogFold, type Catalog, type CatalogDelta } from "./core/catalog.ts";
export { FoldedWatch, type Fold } from "./core/fold.ts";
export * from "./errors.ts";
export { LOCK_SESSION_SECONDS, type HeldLock, type LockOptions } from "./lock.ts";
export { STREAM_SILENCE_MS_MAX } from "./stream.ts";
export * from "./transport.ts";
export { carry, type CarriedAnswer } from "./carry.ts";
export { FailoverTransport, type Way } from "./failover.ts";

/** Milliseconds a plain call may take before it counts as unreachable. */
export const CALL_TIMEOUT_MS = 10_000;
/** Milliseconds for a release: the server gives its checks up to thirty and five seconds, and they may wait for others. */
export const RELEASE_TIMEOUT_MS = 90_000;
/** Milliseconds for a call that moves many sets: each is checked and written by itself. */
export const TRANSFER_TIMEOUT_MS = 300_000;

export interface CallOptions {
  readonly signal?: AbortSignal | undefined;
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
  /**
   * A name of its own for who holds this client. Its watches of the catalog then acknowledge what they have taken over,
   * and a drain waits for them.
   */
  readonly subscriber?: string | undefined;
}

/** What discovery is asked for; see `GET /v1/services/{service}/instances`. */
export interface DiscoveryQuery {
  readonly healthy?: boolean;
  readonly filter?: string;
  readonly subset?: string;
  readonly near?: string;
  readonly failover?: boolean;
  readonly revision?: number;
}

/** Who asks for a config. */
export interface Instance {
  readonly id: string;
  readonly labels?: Identity["labels"] | undefined;
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
      this.#call<Registered>(
        "PUT",
        instancePath(name),
        body,
        { ...options, repeatable: options.ifRevision === undefined },
        ifMatch(options.ifRevision),
      ),
    /** All in one revision, or none. */
    registerBatch: (namespace: string, body: Batch, options: CallOptions = {}) =>
      this.#call<BatchRegistered>("POST", `/v1/batches?namespace=${enc(namespace)}`, body, options),
    /**
     * `owner`: it is deregistered by its owner, and not by somebody else for good. `drainSeconds`: drains first, until
     * every subscriber has seen it or so long.
     */
    deregister: (
      name: InstanceName,
      {
        owner,
        incarnation,
        drainSeconds,
        ...options
      }: CallOptions & { owner?: string | undefined; incarnation?: number; drainSeconds?: number } = {},
    ) => {
      const query = new URLSearchParams();
      if (owner !== undefined) query.set("owner", owner);
      if (incarnation !== undefined) query.set("incarnation", String(incarnation));
      if (drainSeconds !== undefined) query.set("drain", String(drainSeconds));
      const timeoutMs = CALL_TIMEOUT_MS + (drainSeconds ?? 0) * 1000;
      const path = `${instancePath(name)}&${query.toString()}`;
      return this.#call<Deregistered>("DELETE", path, undefined, { ...options, timeoutMs });
    },
    /** Says where an instance stands in its life, without touching its health. */
    setLifecycle: (name: InstanceName, body: LifecycleRequest, options: CallOptions = {}) =>
      this.#call<{ revision: number }>("PUT", instancePath(name, "/lifecycle"), body, options),
    /** How far the news of a drain has come; answers when everyone has seen it, or after so long. */
    drain: (name: InstanceName, waitSeconds: number, options: CallOptions = {}) =>
      this.#call<Drain>("GET", `${instancePath(name, "/drain")}&wait=${waitSeconds}`, undefined, {
        ...options,
        timeoutMs: CALL_TIMEOUT_MS + waitSeconds * 1000,
      }),
    /** Reports the verdict on one check. */
    report: (name: InstanceName, check: string, body: Report, options: CallOptions = {}) =>
      this.#call<{ revision: number }>("PUT", instancePath(name, `/checks/${enc(check)}`), body, {
        ...options,
        repeatable: true,
      }),
    openSession: (ttlSeconds: number, options: CallOptions = {}) =>
      this.#call<Session>("POST", "/v1/sessions", { ttlSeconds }, options),
    /** @throws REGISTRY_SESSION_NOT_FOUND when it has lapsed, with all that lived by it. */
    heartbeat: (session: string, options: CallOptions = {}) =>
      this.#call<Session>("PUT", `/v1/sessions/${enc(session)}/heartbeat`, undefined, { ...options, repeatable: true }),
    closeSession: (session: string, options: CallOptions = {}) =>
      this.#call<void>("DELETE", `/v1/sessions/${enc(session)}`, undefined, options),
    services: (namespace: string, options: CallOptions = {}) =>
      this.#call<ServiceList>("GET", `/v1/services?namespace=${enc(namespace)}`, undefined, options),
    service: (service: { namespace: string; service: string }, options: CallOptions = {}) =>
      this.#call<ServiceView>("GET", servicePath(service), undefined, options),
    setPolicy: (service: { namespace: string; service: string }, body: ServicePolicy, options: CallOptions = {}) =>
      this.#call<{ revision: number }>("PUT", servicePath(service, "/policy"), body, options),
    instances: (service: { namespace: string; service: string }, options: CallOptions & DiscoveryQuery = {}) => {
      const query = new URLSearchParams();
      for (const name of ["healthy", "filter", "subset", "near", "failover", "revision"] as const) {
        const value = options[name];
        if (value !== undefined) query.set(name, String(value));
      }
      const path = `${servicePath(service, "/instances")}&${query.toString()}`;
      return this.#call<InstanceList>("GET", path, undefined, options);
    },
    /** The checks of an instance, with what they last said. */
    health: (name: InstanceName, options: CallOptions = {}) =>
      this.#call<Health>("GET", instancePath(name, "/health"), undefined, options),
    /** The members of the control plane that are alive. */
    members: (options: CallOptions = {}) => this.#call<MemberList>("GET", "/v1/members", undefined, options),
    watchers: (namespace: string, options: CallOptions = {}) =>
      this.#call<{ watchers: Watcher[] }>("GET", `/v1/watches?namespace=${enc(namespace)}`, undefined, options),
    /**
     * The catalog of a namespace, or of the services named, as frames: snapshot frames (one service each), synced, then
     * deltas. Never ends by itself.
     */
    watch: (query: { namespace: string; services?: readonly string[] }, options: StreamOptions) => {
      const search = new URLSearchParams({ namespace: query.namespace });
      for (const service of query.services ?? []) search.append("service", service);
      const { subscriber } = this.#options;
      if (subscriber !== undefined) search.set("subscriber", subscriber);
      const path = `/v1/watch/services?${search.toString()}`;
      return this.#watch<ServiceDelta>(path, options, subscriber === undefined ? undefined : this.#acknowledgement());
    },
  };

  readonly locks = {
    /** Asks for a lock, or waits `waitSeconds` for it. Asking again keeps the place, and the token when it is held. */
    acquire: (lock: LockRef, body: LockRequest, options: CallOptions = {}) =>
      this.#call<LockAnswer>("PUT", lockPath(lock), body, {
        ...options,
        timeoutMs: CALL_TIMEOUT_MS + (body.waitSeconds ?? 0) * 1000,
      }),
    /** Lets go, or leaves the queue. @throws LOCKS_NOT_HELD */
    release: (lock: LockRef, session: string, options: CallOptions = {}) =>
      this.#call<LockReleased>("DELETE", `${lockPath(lock)}&session=${enc(session)}`, undefined, options),
    get: (lock: LockRef, options: CallOptions & { revision?: number } = {}) => {
      const at = options.revision === undefined ? "" : `&revision=${options.revision}`;
      return this.#call<Lock>("GET", `${lockPath(lock)}${at}`, undefined, options);
    },
    list: (
      query: { namespace: string; prefix?: string; after?: string; limit?: number },
      options: CallOptions = {},
    ) => {
      const search = new URLSearchParams(Object.entries(query).map(([name, value]) => [name, String(value)]));
      return this.#call<LockList>("GET", `/v1/locks?${search.toString()}`, undefined, options);
    },
    /** Takes a lock from its holder, for operators. */
    break: (lock: LockRef, body: LockBreak, options: CallOptions = {}) =>
      this.#call<LockWasBroken>("POST", lockPath(lock, "/break"), body, options),
    /** Who holds a lock, as frames: one snapshot, synced, then a delta (again the whole) per change. Never ends by itself. */
    watch: (lock: LockRef, options: StreamOptions) => this.#watch<LockState>(lockPath(lock, "/watch"), options),
  };

  /**
   * Waits for a lock and keeps it, under a session of its own, until it is released or lost; `signal` of what it returns
   * says when it is lost. Who campaigns for leadership calls the same.
   */
  lock(lock: LockRef, options: LockOptions = {}): Promise<HeldLock> {
    return holdLock(this.#host, this, lock, options);
  }

  readonly config = {
    publish: (name: SetName, body: Publish, options: CallOptions = {}) =>
      this.#call<Published>("POST", `${setPath(name)}/releases`, body, { ...options, timeoutMs: RELEASE_TIMEOUT_MS }),
    rollback: (name: SetName, body: Rollback, options: CallOptions = {}) =>
      this.#call<Published>("POST", `${setPath(name)}/rollback`, body, { ...options, timeoutMs: RELEASE_TIMEOUT_MS }),
    releases: (name: SetName, options: CallOptions & { before?: number; limit?: number } = {}) => {
      const query = new URLSearchParams();
      if (options.before !== undefined) query.set("before", String(options.before));
      if (options.limit !== undefined) query.set("limit", String(options.limit));
      return this.#call<ReleaseList>("GET", `${setPath(name)}/releases?${query.toString()}`, undefined, options);
    },
    release: (name: SetName, version: number, options: CallOptions = {}) =>
      this.#call<Release>("GET", `${setPath(name)}/releases/${version}`, undefined, options),
    /** `instance`: who asks; gradual releases reach it by its id and labels. */
    effective: (name: SetName, { instance, ...options }: CallOptions & { instance?: Instance } = {}) =>
      this.#call<EffectiveConfig>("GET", effectivePath(name, instance), undefined, options),
    /** The gradual release that is under way. @throws CONFIG_ROLLOUT_NOT_FOUND */
    rollout: (name: SetName, options: CallOptions = {}) =>
      this.#call<RolloutView>("GET", `${setPath(name)}/rollout`, undefined, options),
    /** @throws CONFIG_ROLLOUT_NOT_FOUND, CONFIG_ROLLOUT_STATE */
    steerRollout: (name: SetName, action: RolloutAction, reason = "", options: CallOptions = {}) =>
      this.#call<RolloutView>("POST", `${setPath(name)}/rollout/${action}`, { reason }, options),
    rollouts: (name: SetName, options: CallOptions = {}) =>
      this.#call<RolloutList>("GET", `${setPath(name)}/rollouts`, undefined, options),
    /** The effective config when it is another one than `releaseKey` names; else undefined, and little was sent. */
    effectiveOtherThan: async (
      name: SetName,
      releaseKey: string,
      { instance, ...options }: CallOptions & { instance?: Instance } = {},
    ) => {
      const headers = { "if-none-match": `"${releaseKey}"` };
      const path = effectivePath(name, instance);
      const said = await this.#call<EffectiveConfig | undefined>("GET", path, undefined, options, headers);
      // Whoever is shown masks is told by another tag than the content's own.
      return said?.releaseKey === releaseKey ? undefined : said;
    },
    /** One secret in the clear, for an operator; it is recorded who asked, and why. */
    reveal: (name: SetName, body: RevealRequest, options: CallOptions = {}) =>
      this.#call<Revealed>("POST", `${setPath(name)}/reveal`, body, options),
    /** Says that a release has been applied, or why it could not be. */
    acknowledge: (name: SetName, subscriber: string, body: Acknowledge, options: CallOptions = {}) =>
      this.#call<void>("PUT", `${setPath(name)}/acknowledgements/${enc(subscriber)}`, body, {
        ...options,
        repeatable: true,
      }),
    acknowledgements: (name: SetName, options: CallOptions = {}) =>
      this.#call<AcknowledgementList>("GET", `${setPath(name)}/acknowledgements`, undefined, options),
    /**
     * The effective config as frames: one snapshot, synced, then a delta (again the whole) per change. Never ends by itself.
     * `instance`: who asks; gradual releases reach it by its id and labels. `acknowledge`: say that a config is applied as
     * soon as the reader asks for the next frame; who knows better calls `config.acknowledge`.
     */
    watch: (name: SetName, options: StreamOptions & { instance?: Instance; acknowledge?: boolean }) => {
      const { after, instance, acknowledge = false, ...afresh } = options;
      const query = identityQuery(instance, { ...name, patches: "true" });
      const path = `/v1/watch/config?${query.toString()}`;
      const frames = wholeConfigs(
        (resume, signal) =>
          this.#watch<EffectiveConfig | ConfigPatch>(path, {
            ...afresh,
            signal,
            ...(resume && after !== undefined ? { after } : {}),
          }),
        options.signal,
      );
      if (!acknowledge || instance === undefined) return frames;
      return acknowledged(frames, this.config.acknowledger(name, instance, options.signal));
    },
    /**
     * What says that a config is applied, or why it could not be: until that is heard, again before it is forgotten, and no
     * more once the signal aborts.
     */
    acknowledger: (name: SetName, { id: subscriber, labels }: Instance, signal: AbortSignal) => {
      // A refusal, such as of a token that may not, is said once; a rollout that waits for it says for whom it waits.
      const tell = (problem: AppError) => this.#host.log.warn({ ...name, code: problem.code }, problem.message);
      const acknowledger = new Acknowledger(this.#host, { client: this, name, subscriber, labels, tell });
      const stand = acknowledger.join();
      signal.addEventListener("abort", () => void acknowledger[Symbol.asyncDispose](), { once: true });
      return (config: EffectiveConfig, error?: unknown) => {
        const delivery = stand.deliver(config);
        if (error === undefined) delivery.applied();
        else delivery.failed(error);
      };
    },
    /** Sets with a live release. */
    sets: (namespace: string | undefined, options: CallOptions = {}) =>
      this.#call<SetList>("GET", `/v1/config?${queryOf({ namespace })}`, undefined, options),
    /** States are a version, `live` or `drafts`. */
    diff: (
      name: SetName,
      { from, to, toNamespace, ...options }: CallOptions & { from?: string; to?: string; toNamespace?: string } = {},
    ) =>
      this.#call<DiffResult>("GET", `${setPath(name)}/diff?${queryOf({ from, to, toNamespace })}`, undefined, options),
    /** A release that differs from the live one in one key; its ending says the format. */
    putKey: (
      name: SetName,
      key: string,
      bytes: Uint8Array,
      { reason, secret, ...options }: CallOptions & { reason?: string; secret?: boolean } = {},
    ) =>
      this.#call<Published>("PUT", `${setPath(name)}/keys/${enc(key)}?${queryOf({ reason, secret })}`, undefined, {
        ...options,
        raw: { type: "application/octet-stream", bytes },
      }),
    /** A release without one of the keys of the live one. @throws CONFIG_KEY_NOT_FOUND */
    deleteKey: (
      name: SetName,
      key: string,
      { reason, emergency, ...options }: CallOptions & { reason?: string; emergency?: boolean } = {},
    ) => {
      const query = queryOf({ reason, emergency });
      return this.#call<Published>("DELETE", `${setPath(name)}/keys/${enc(key)}?${query}`, undefined, options);
    },
    /** One release of a set as a zip. Leaving the loop ends it. */
    exportSet: (name: SetName, { version, ...options }: CallOptions & { version?: number } = {}) =>
      this.#download(`${setPath(name)}/export?${queryOf({ version })}`, options),
    /** The live releases of many sets as a zip. Leaving the loop ends it. */
    exportSets: ({ namespace, app, ...options }: CallOptions & { namespace?: string; app?: string } = {}) =>
      this.#download(`/v1/config-export?${queryOf({ namespace, app })}`, options),
    /** @throws CONFIG_IMPORT_INVALID (`extra.problems`), CONFIG_IMPORT_INCOMPLETE (`extra.report`) */
    importZip: (zip: Uint8Array, query: ImportQuery, options: CallOptions = {}) =>
      this.#call<ImportReport>("POST", `/v1/config-import?${queryOf(query)}`, undefined, {
        ...options,
        timeoutMs: TRANSFER_TIMEOUT_MS,
        raw: { type: "application/zip", bytes: zip },
      }),
    sources: (options: CallOptions = {}) => this.#call<SourceList>("GET", "/v1/config-sources", undefined, options),
    /** Looks at a source now. @throws CONFIG_SOURCE_INVALID (`extra.problems`) */
    syncSource: (source: string, options: CallOptions = {}) =>
      this.#call<SourceSync>("POST", `/v1/config-sources/${enc(source)}/sync`, undefined, {
        ...options,
        timeoutMs: TRANSFER_TIMEOUT_MS,
      }),
    detachSource: (source: string, options: CallOptions = {}) =>
      this.#call<SourceStatus>("POST", `/v1/config-sources/${enc(source)}/detach`, undefined, options),
    attachSource: (source: string, options: CallOptions = {}) =>
      this.#call<SourceStatus>("POST", `/v1/config-sources/${enc(source)}/attach`, undefined, options),
  };

  readonly access = {
    tokens: (options: CallOptions = {}) => this.#call<TokenList>("GET", "/v1/tokens", undefined, options),
    /** The answer has the token, this once. */
    issueToken: (body: TokenRequest, options: CallOptions = {}) =>
      this.#call<IssuedToken>("POST", "/v1/tokens", body, options),
    /** @throws ACCESS_TOKEN_NOT_FOUND */
    revokeToken: (id: string, options: CallOptions = {}) =>
      this.#call<void>("DELETE", `/v1/tokens/${enc(id)}`, undefined, options),
  };

  readonly quotas = {
    /** Takes parts of limits that several processes share. */
    lease: (namespace: string, body: QuotaRequest, options: CallOptions = {}) =>
      this.#call<QuotaAnswer>("POST", `/v1/gateway/quotas?namespace=${enc(namespace)}`, body, options),
  };

  readonly gateway = {
    /** What the gateways of a namespace would do with a request, and why. */
    explain: (body: ExplainRequest, options: CallOptions = {}) =>
      this.#call<ExplainAnswer>("POST", "/v1/gateway/explain", body, options),
  };

  /** Sends one at a time, and then the latest: what lies between is covered by it. */
  #acknowledgement(): Acknowledgement {
    let next: { watch: string; revision: number } | undefined;
    let sending = false;
    const send = async () => {
      sending = true;
      while (next) {
        const { watch, revision } = next;
        next = undefined;
        await this.#call<void>("PUT", `/v1/watches/${enc(watch)}/seen`, { revision }, {}).catch((error: unknown) => {
          // The server that waits for it goes on without us after a while, and says for whom it waited.
          this.#host.log.debug({ err: error, revision }, `not acknowledged: ${messageOf(error)}`);
        });
      }
      sending = false;
    };
    return {
      isWaitedFor: ({ data }) => (data as ServiceDelta | undefined)?.instances.some(isDraining) ?? false,
      send: (watch, revision) => {
        next = { watch, revision };
        if (!sending) void send();
      },
    };
  }

  #headers(): Record<string, string> {
    const { token } = this.#options;
    const value = typeof token === "function" ? token() : token;
    return value === undefined ? {} : { authorization: `Bearer ${value}` };
  }

  async #call<T>(
    method: TransportRequest["method"],
    path: string,
    body: unknown,
    options: CallOptions & { timeoutMs?: number; raw?: RawBody; repeatable?: boolean },
    headers: Record<string, string> = {},
  ): Promise<T> {
    using late = deadline(this.#host.clock, options.timeoutMs ?? CALL_TIMEOUT_MS);
    const answer = await this.#options.transport.request({
      method,
      path,
      headers: { ...this.#headers(), ...headers },
      ...(body === undefined ? {} : { body }),
      ...(options.raw ? { raw: options.raw } : {}),
      ...(options.repeatable === undefined ? {} : { repeatable: options.repeatable }),
      signal: options.signal ? AbortSignal.any([options.signal, late.signal]) : late.signal,
    });
    const text = await answer.text();
    if (answer.status >= 400) throw errorFromProblem(answer.status, text);
    return (text === "" ? undefined : JSON.parse(text)) as T;
  }

  /** A body as it comes. */
  async *#download(path: string, options: CallOptions): AsyncGenerator<Uint8Array> {
    using late = deadline(this.#host.clock, TRANSFER_TIMEOUT_MS);
    const answer = await this.#options.transport.request({
      method: "GET",
      path,
      headers: this.#headers(),
      signal: options.signal ? AbortSignal.any([options.signal, late.signal]) : late.signal,
    });
    if (answer.status >= 400) throw errorFromProblem(answer.status, await answer.text());
    yield* answer.stream();
  }

  #watch<Data>(path: string, options: StreamOptions, acknowledgement?: Acknowledgement): AsyncGenerator<Frame<Data>> {
    return watchFrames<Data>(this.#host, {
      transport: this.#options.transport,
      path,
      headers: () => this.#headers(),
      signal: options.signal,
      after: options.after,
      onState: options.onState,
      acknowledgement,
    });
  }
}

function isDraining({ lifecycle }: { lifecycle: string }): boolean {
  return lifecycle === "draining";
}

function servicePath({ namespace, service }: { namespace: string; service: string }, rest = ""): string {
  return `/v1/services/${enc(service)}${rest}?namespace=${enc(namespace)}`;
}

function instancePath(name: InstanceName, rest = ""): string {
  return `/v1/services/${enc(name.service)}/instances/${enc(name.id)}${rest}?namespace=${enc(name.namespace)}`;
}

function lockPath({ namespace, name }: LockRef, rest = ""): string {
  return `/v1/locks/${enc(name)}${rest}?namespace=${enc(namespace)}`;
}

function identityQuery(instance: Instance | undefined, query: Record<string, string> = {}): URLSearchParams {
  const search = new URLSearchParams(query);
  if (instance === undefined) return search;
  search.set("instance", instance.id);
  for (const [name, value] of Object.entries(instance.labels ?? {})) search.append("labels", `${name}=${value}`);
  return search;
}

function effectivePath(name: SetName, instance: Instance | undefined): string {
  const query = identityQuery(instance).toString();
  return `${setPath(name)}${query === "" ? "" : `?${query}`}`;
}

function setPath(name: SetName): string {
  return `/v1/config/${enc(name.namespace)}/${enc(name.app)}/${enc(name.profile)}`;
}

/** A query of what is given. */
function queryOf(given: Readonly<Record<string, string | number | boolean | undefined>>): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(given)) if (value !== undefined) query.set(name, String(value));
  return query.toString();
}

function ifMatch(revision: number | undefined): Record<string, string> {
  return revision === undefined ? {} : revision === 0 ? { "if-none-match": "*" } : { "if-match": `"${revision}"` };
}
