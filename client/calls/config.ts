/** Calls of the config server. */
import type {
  Acknowledge,
  AcknowledgementList,
  ConfigPatch,
  DiffResult,
  EffectiveConfig,
  Identity,
  ImportQuery,
  ImportReport,
  PromoteRequest,
  Proposal,
  Publish,
  Published,
  Release,
  ReleaseList,
  RevealRequest,
  Revealed,
  Rollback,
  RolloutAction,
  RolloutList,
  RolloutView,
  Rules,
  SetList,
  SetName,
  SourceList,
  SourceStatus,
  SourceSync,
} from "#config-server/api";
import type { AppError } from "#base";
import { Acknowledger } from "../follow/acknowledger.ts";
import { acknowledged, wholeConfigs } from "../follow/whole-configs.ts";
import {
  RELEASE_TIMEOUT_MS,
  TRANSFER_TIMEOUT_MS,
  queryOf,
  enc,
  type Caller,
  type CallOptions,
  type StreamOptions,
} from "./caller.ts";
import { configChangeCalls } from "./config-changes.ts";
import { setPath } from "./config-paths.ts";

/** The caller that asks for a config: gradual releases select it by its id and labels. */
export interface Instance {
  readonly id: string;
  readonly labels?: Identity["labels"] | undefined;
}

export type ConfigCalls = ReturnType<typeof configCalls>;

/** Calls about changes, releases, rollouts, effective configs and transfer. */
export function configCalls(caller: Caller) {
  return {
    ...configChangeCalls(caller),
    ...releaseCalls(caller),
    ...rolloutCalls(caller),
    ...followCalls(caller),
    ...watchCalls(caller),
    ...transferCalls(caller),
  };
}

/** Releases and their keys. */
function releaseCalls(caller: Caller) {
  return {
    publish: (name: SetName, body: Publish, options: CallOptions = {}) =>
      caller.call<Published>("POST", `${setPath(name)}/releases`, body, { ...options, timeoutMs: RELEASE_TIMEOUT_MS }),
    rollback: (name: SetName, body: Rollback, options: CallOptions = {}) =>
      caller.call<Published>("POST", `${setPath(name)}/rollback`, body, { ...options, timeoutMs: RELEASE_TIMEOUT_MS }),
    releases: (name: SetName, { before, limit, ...options }: CallOptions & { before?: number; limit?: number } = {}) =>
      caller.call<ReleaseList>("GET", `${setPath(name)}/releases?${queryOf({ before, limit })}`, undefined, options),
    release: (name: SetName, version: number, options: CallOptions = {}) =>
      caller.call<Release>("GET", `${setPath(name)}/releases/${version}`, undefined, options),
    /** Sets with a live release. */
    sets: (namespace: string | undefined, options: CallOptions = {}) =>
      caller.call<SetList>("GET", `/v1/config?${queryOf({ namespace })}`, undefined, options),
    /** A release in another environment; a proposal there where a review is required. */
    promote: (name: SetName, body: PromoteRequest, options: CallOptions = {}) =>
      caller.call<Published | Proposal>("POST", `${setPath(name)}/promote`, body, {
        ...options,
        timeoutMs: RELEASE_TIMEOUT_MS,
      }),
    /** The rules of an environment, and the revision for changing them. */
    rules: async (namespace: string, options: CallOptions = {}) => {
      const answer = await caller.answer<Rules>("GET", rulesPath(namespace), undefined, options);
      return { rules: answer.body, revision: Number(answer.header("etag")?.slice(1, -1) ?? 0) };
    },
    setRules: (namespace: string, body: Rules, { ifRevision, ...options }: CallOptions & { ifRevision: number }) =>
      caller.call<Rules>("PUT", rulesPath(namespace), body, options, { "if-match": `"${ifRevision}"` }),
    /** States are a version, `live` or `drafts`. */
    diff: (
      name: SetName,
      { from, to, toNamespace, ...options }: CallOptions & { from?: string; to?: string; toNamespace?: string } = {},
    ) =>
      caller.call<DiffResult>("GET", `${setPath(name)}/diff?${queryOf({ from, to, toNamespace })}`, undefined, options),
    /** A release that differs from the live one in one key; its ending says the format. */
    putKey: (
      name: SetName,
      key: string,
      bytes: Uint8Array,
      { reason, secret, ...options }: CallOptions & { reason?: string; secret?: boolean } = {},
    ) =>
      caller.call<Published>("PUT", `${setPath(name)}/keys/${enc(key)}?${queryOf({ reason, secret })}`, undefined, {
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
      return caller.call<Published>("DELETE", `${setPath(name)}/keys/${enc(key)}?${query}`, undefined, options);
    },
    /** One secret in the clear, for an operator. The server records who asked, and why. */
    reveal: (name: SetName, body: RevealRequest, options: CallOptions = {}) =>
      caller.call<Revealed>("POST", `${setPath(name)}/reveal`, body, options),
  };
}

/** Gradual releases. */
function rolloutCalls(caller: Caller) {
  return {
    /** The gradual release that is under way. @throws CONFIG_ROLLOUT_NOT_FOUND */
    rollout: (name: SetName, options: CallOptions = {}) =>
      caller.call<RolloutView>("GET", `${setPath(name)}/rollout`, undefined, options),
    /** @throws CONFIG_ROLLOUT_NOT_FOUND, CONFIG_ROLLOUT_STATE */
    steerRollout: (name: SetName, action: RolloutAction, reason = "", options: CallOptions = {}) =>
      caller.call<RolloutView>("POST", `${setPath(name)}/rollout/${action}`, { reason }, options),
    rollouts: (name: SetName, options: CallOptions = {}) =>
      caller.call<RolloutList>("GET", `${setPath(name)}/rollouts`, undefined, options),
  };
}

/** Reading the effective config, and acknowledging it. */
function followCalls(caller: Caller) {
  return {
    /** `instance`: the caller; gradual releases select it by its id and labels. */
    effective: (name: SetName, { instance, ...options }: CallOptions & { instance?: Instance } = {}) =>
      caller.call<EffectiveConfig>("GET", effectivePath(name, instance), undefined, options),
    /** The effective config; undefined, without a body, when it is the one that `releaseKey` names. */
    effectiveOtherThan: async (
      name: SetName,
      releaseKey: string,
      { instance, ...options }: CallOptions & { instance?: Instance } = {},
    ) => {
      const headers = { "if-none-match": `"${releaseKey}"` };
      const path = effectivePath(name, instance);
      const answer = await caller.call<EffectiveConfig | undefined>("GET", path, undefined, options, headers);
      // Masked content has its own tag, so the server may send a body although nothing changed.
      return answer?.releaseKey === releaseKey ? undefined : answer;
    },
    /** Acknowledges that a release is applied, or says why it could not be. */
    acknowledge: (name: SetName, subscriber: string, body: Acknowledge, options: CallOptions = {}) =>
      caller.call<void>("PUT", `${setPath(name)}/acknowledgements/${enc(subscriber)}`, body, {
        ...options,
        repeatable: true,
      }),
    acknowledgements: (name: SetName, options: CallOptions = {}) =>
      caller.call<AcknowledgementList>("GET", `${setPath(name)}/acknowledgements`, undefined, options),
  };
}

/** Following a config and acknowledging it. */
function watchCalls(caller: Caller) {
  return {
    /**
     * The effective config as frames: one snapshot, synced, then a delta (again the whole) per change. Never ends by itself.
     * `instance`: the caller; gradual releases select it by its id and labels. `acknowledge`: acknowledges a config as applied
     * as soon as the reader asks for the next frame; a reader that applies it later calls `config.acknowledge` itself.
     */
    watch: (name: SetName, options: StreamOptions & { instance?: Instance; acknowledge?: boolean }) => {
      const { after, instance, acknowledge = false, ...afresh } = options;
      const query = identityQuery(instance, { ...name, patches: "true" });
      const path = `/v1/watch/config?${query.toString()}`;
      const frames = wholeConfigs(
        (resume, signal) =>
          caller.watch<EffectiveConfig | ConfigPatch>(path, {
            ...afresh,
            signal,
            ...(resume && after !== undefined ? { after } : {}),
          }),
        options.signal,
      );
      if (!acknowledge || instance === undefined) return frames;
      return acknowledged(frames, acknowledgerOf(caller, name, instance, options.signal));
    },
    /**
     * A function that acknowledges a config as applied, or as failed with the reason. It repeats until the server accepts or
     * rejects that, sends it again before the server forgets it, and ends when the signal aborts.
     */
    acknowledger: (name: SetName, instance: Instance, signal: AbortSignal) =>
      acknowledgerOf(caller, name, instance, signal),
  };
}

/** Import and export of sets, and the sources that they mirror. */
function transferCalls(caller: Caller) {
  return {
    /** One release of a set as a zip. Leaving the loop ends it. */
    exportSet: (name: SetName, { version, ...options }: CallOptions & { version?: number } = {}) =>
      caller.download(`${setPath(name)}/export?${queryOf({ version })}`, options),
    /** The live releases of many sets as a zip. Leaving the loop ends it. */
    exportSets: ({ namespace, app, ...options }: CallOptions & { namespace?: string; app?: string } = {}) =>
      caller.download(`/v1/config-export?${queryOf({ namespace, app })}`, options),
    /** @throws CONFIG_IMPORT_INVALID (`extra.problems`), CONFIG_IMPORT_INCOMPLETE (`extra.report`) */
    importZip: (zip: Uint8Array, query: ImportQuery, options: CallOptions = {}) =>
      caller.call<ImportReport>("POST", `/v1/config-import?${queryOf(query)}`, undefined, {
        ...options,
        timeoutMs: TRANSFER_TIMEOUT_MS,
        raw: { type: "application/zip", bytes: zip },
      }),
    sources: (options: CallOptions = {}) => caller.call<SourceList>("GET", "/v1/config-sources", undefined, options),
    /** Reads a source now. @throws CONFIG_SOURCE_INVALID (`extra.problems`) */
    syncSource: (source: string, options: CallOptions = {}) =>
      caller.call<SourceSync>("POST", `/v1/config-sources/${enc(source)}/sync`, undefined, {
        ...options,
        timeoutMs: TRANSFER_TIMEOUT_MS,
      }),
    detachSource: (source: string, options: CallOptions = {}) =>
      caller.call<SourceStatus>("POST", `/v1/config-sources/${enc(source)}/detach`, undefined, options),
    attachSource: (source: string, options: CallOptions = {}) =>
      caller.call<SourceStatus>("POST", `/v1/config-sources/${enc(source)}/attach`, undefined, options),
  };
}

function acknowledgerOf(
  caller: Caller,
  name: SetName,
  { id: subscriber, labels }: Instance,
  signal: AbortSignal,
): (config: EffectiveConfig, error?: unknown) => void {
  // A rejection, such as for a token without permission, is logged once; a waiting rollout lists the missing subscribers.
  const tell = (problem: AppError) => caller.host.log.warn({ ...name, code: problem.code }, problem.message);
  const { acknowledge } = followCalls(caller);
  const acknowledger = new Acknowledger(caller.host, { acknowledge, name, subscriber, labels, tell });
  const watch = acknowledger.join();
  signal.addEventListener("abort", () => void acknowledger[Symbol.asyncDispose](), { once: true });
  return (config, error) => {
    const delivery = watch.deliver(config);
    if (error === undefined) delivery.applied();
    else delivery.failed(error);
  };
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

function rulesPath(namespace: string): string {
  return `/v1/config/${enc(namespace)}/rules`;
}
