/** Calls of the registry. */
import type {
  Batch,
  BatchRegistered,
  Deregistered,
  Drain,
  Health,
  Instance,
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
  WeightRequest,
} from "#registry/api";
import { messageOf } from "#base";
import type { Acknowledgement } from "../stream.ts";
import { CALL_TIMEOUT_MS, enc, queryOf, type Caller, type CallOptions, type StreamOptions } from "./caller.ts";

export interface InstanceName {
  readonly namespace: string;
  readonly service: string;
  readonly id: string;
}

/** A discovery query; see `GET /v1/services/{service}/instances`. */
export interface DiscoveryQuery {
  readonly healthy?: boolean;
  readonly filter?: string;
  readonly subset?: string;
  readonly near?: string;
  readonly failover?: boolean;
  readonly revision?: number;
}

export type RegistryCalls = ReturnType<typeof registryCalls>;

/** Instances, services and sessions. */
export function registryCalls(caller: Caller) {
  return { ...instanceCalls(caller), ...serviceCalls(caller), ...sessionCalls(caller) };
}

/** Calls about single instances. */
function instanceCalls(caller: Caller) {
  return {
    /** Registers or replaces an instance. `ifRevision`: only when its modRevision equals this (0: it does not exist yet). */
    register: (name: InstanceName, body: Registration, options: CallOptions & { ifRevision?: number } = {}) =>
      caller.call<Registered>(
        "PUT",
        instancePath(name),
        body,
        { ...options, repeatable: options.ifRevision === undefined },
        ifMatch(options.ifRevision),
      ),
    /** All in one revision, or none. */
    registerBatch: (namespace: string, body: Batch, options: CallOptions = {}) =>
      caller.call<BatchRegistered>("POST", `/v1/batches?namespace=${enc(namespace)}`, body, options),
    /**
     * `owner`: the owner itself deregisters it. Without one it is deregistered for good. `drainSeconds`: drains first, until
     * every subscriber has seen it or for at most this long.
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
      const query = queryOf({ owner, incarnation, drain: drainSeconds });
      const timeoutMs = CALL_TIMEOUT_MS + (drainSeconds ?? 0) * 1000;
      const path = `${instancePath(name)}&${query}`;
      return caller.call<Deregistered>("DELETE", path, undefined, { ...options, timeoutMs });
    },
    /** Sets the lifecycle of an instance; its health stays as it is. */
    setLifecycle: (name: InstanceName, body: LifecycleRequest, options: CallOptions = {}) =>
      caller.call<{ revision: number }>("PUT", instancePath(name, "/lifecycle"), body, options),
    /** Sets the weight of an instance; the rest of its registration stays as it is. */
    setWeight: (name: InstanceName, body: WeightRequest, options: CallOptions = {}) =>
      caller.call<{ revision: number }>("PUT", instancePath(name, "/weight"), body, { ...options, repeatable: true }),
    /** The progress of a drain. The server answers once every subscriber has seen it, or after `waitSeconds`. */
    drain: (name: InstanceName, waitSeconds: number, options: CallOptions = {}) =>
      caller.call<Drain>("GET", `${instancePath(name, "/drain")}&wait=${waitSeconds}`, undefined, {
        ...options,
        timeoutMs: CALL_TIMEOUT_MS + waitSeconds * 1000,
      }),
    /** Reports the verdict of one check. */
    report: (name: InstanceName, check: string, body: Report, options: CallOptions = {}) =>
      caller.call<{ revision: number }>("PUT", instancePath(name, `/checks/${enc(check)}`), body, {
        ...options,
        repeatable: true,
      }),
    instance: (name: InstanceName, options: CallOptions = {}) =>
      caller.call<Instance>("GET", instancePath(name), undefined, options),
    /** The checks of an instance with their last output. */
    health: (name: InstanceName, options: CallOptions = {}) =>
      caller.call<Health>("GET", instancePath(name, "/health"), undefined, options),
  };
}

/** Calls about services, and their watch. */
function serviceCalls(caller: Caller) {
  return {
    services: (namespace: string, options: CallOptions = {}) =>
      caller.call<ServiceList>("GET", `/v1/services?namespace=${enc(namespace)}`, undefined, options),
    service: (service: { namespace: string; service: string }, options: CallOptions = {}) =>
      caller.call<ServiceView>("GET", servicePath(service), undefined, options),
    /** @throws REGISTRY_POLICY_NOT_FOUND */
    deletePolicy: (service: { namespace: string; service: string }, options: CallOptions = {}) =>
      caller.call<{ revision: number }>("DELETE", servicePath(service, "/policy"), undefined, options),
    setPolicy: (service: { namespace: string; service: string }, body: ServicePolicy, options: CallOptions = {}) =>
      caller.call<{ revision: number }>("PUT", servicePath(service, "/policy"), body, options),
    instances: (service: { namespace: string; service: string }, options: CallOptions & DiscoveryQuery = {}) => {
      const query = new URLSearchParams();
      for (const name of ["healthy", "filter", "subset", "near", "failover", "revision"] as const) {
        const value = options[name];
        if (value !== undefined) query.set(name, String(value));
      }
      const path = `${servicePath(service, "/instances")}&${query.toString()}`;
      return caller.call<InstanceList>("GET", path, undefined, options);
    },
    /** The members of the control plane that are alive. */
    members: (options: CallOptions = {}) => caller.call<MemberList>("GET", "/v1/members", undefined, options),
    watchers: (namespace: string, options: CallOptions = {}) =>
      caller.call<{ watchers: Watcher[] }>("GET", `/v1/watches?namespace=${enc(namespace)}`, undefined, options),
    /**
     * The catalog of a namespace, or of the services named, as frames: snapshot frames (one service each), synced, then
     * deltas. Never ends by itself.
     */
    watch: (query: { namespace: string; services?: readonly string[] }, options: StreamOptions) => {
      const search = new URLSearchParams({ namespace: query.namespace });
      for (const service of query.services ?? []) search.append("service", service);
      const { subscriber } = caller.options;
      if (subscriber !== undefined) search.set("subscriber", subscriber);
      const path = `/v1/watch/services?${search.toString()}`;
      return caller.watch<ServiceDelta>(
        path,
        options,
        subscriber === undefined ? undefined : acknowledgementOf(caller),
      );
    },
  };
}

/** Sessions, which instances and locks belong to. */
function sessionCalls(caller: Caller) {
  return {
    openSession: (ttlSeconds: number, options: CallOptions = {}) =>
      caller.call<Session>("POST", "/v1/sessions", { ttlSeconds }, options),
    /** @throws REGISTRY_SESSION_NOT_FOUND when it has lapsed, with everything that belonged to it. */
    heartbeat: (session: string, options: CallOptions = {}) =>
      caller.call<Session>("PUT", `/v1/sessions/${enc(session)}/heartbeat`, undefined, {
        ...options,
        repeatable: true,
      }),
    closeSession: (session: string, options: CallOptions = {}) =>
      caller.call<void>("DELETE", `/v1/sessions/${enc(session)}`, undefined, options),
  };
}

/** Sends one acknowledgement at a time, and then the latest, which covers those in between. */
function acknowledgementOf(caller: Caller): Acknowledgement {
  let next: { watch: string; revision: number } | undefined;
  let sending = false;
  const send = async () => {
    sending = true;
    while (next) {
      const { watch, revision } = next;
      next = undefined;
      await caller.call<void>("PUT", `/v1/watches/${enc(watch)}/seen`, { revision }, {}).catch((error: unknown) => {
        // The server continues after its deadline, and lists the subscribers that it waited for.
        caller.host.log.debug({ err: error, revision }, `not acknowledged: ${messageOf(error)}`);
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

function isDraining({ lifecycle }: { lifecycle: string }): boolean {
  return lifecycle === "draining";
}

function servicePath({ namespace, service }: { namespace: string; service: string }, rest = ""): string {
  return `/v1/services/${enc(service)}${rest}?namespace=${enc(namespace)}`;
}

function instancePath(name: InstanceName, rest = ""): string {
  return `/v1/services/${enc(name.service)}/instances/${enc(name.id)}${rest}?namespace=${enc(name.namespace)}`;
}

function ifMatch(revision: number | undefined): Record<string, string> {
  return revision === undefined ? {} : revision === 0 ? { "if-none-match": "*" } : { "if-match": `"${revision}"` };
}
