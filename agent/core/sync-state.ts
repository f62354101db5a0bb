/**
 * The state of anti-entropy between this host and the control plane: the claims, the calls under way, and the times of the next
 * ones; with the events that change it and the effects that it asks for.
 */
import { invariant } from "#base";
import type { HealthResult } from "#health/core";
import type { ClaimName, Instance, KnownVerdict, LocalRegistration } from "../api.ts";
import { settled, type Claims } from "./local-state.ts";

/** Share of a session's time to live after which it is renewed: two heartbeats may be lost before it lapses. */
export const HEARTBEAT_SHARE = 1 / 3;

export interface SyncLimits {
  readonly sessionTtlMs: number;
  readonly fullSyncMs: number;
}

export interface SyncState {
  readonly limits: SyncLimits;
  readonly session: string | undefined;
  readonly claims: Claims;
  /** Keys of effects under way. Two effects with one key are never under way together, so this host decides their order. */
  readonly busy: ReadonlySet<string>;
  readonly heartbeatAtMs: number;
  readonly fullSyncAtMs: number;
  /**
   * Services with a registration under this session. A registration may arrive after its claim was withdrawn, so each full sync
   * inspects these services until the session ends.
   */
  readonly served: ReadonlySet<string>;
  /** Services that this full sync has yet to inspect. */
  readonly toInspect: ReadonlySet<string>;
  /** Consecutive calls without an answer, and the earliest time of the next one. */
  readonly attempt: number;
  readonly notBeforeMs: number;
  /** Whether the latest call was answered; undefined before the first. */
  readonly connected: boolean | undefined;
  /** Why the server rejects a session or its renewal, most likely for lack of permission. */
  readonly refusal: string | undefined;
}

export type Effect =
  | { readonly type: "openSession"; readonly key: string }
  | { readonly type: "heartbeat"; readonly key: string; readonly session: string }
  | {
      readonly type: "register";
      readonly key: string;
      readonly name: ClaimName;
      readonly registration: LocalRegistration;
      readonly incarnation: number;
      readonly session: string;
      readonly version: number;
      /** The verdicts of its checks so far, so that it is healthy at once. Reports with their output follow. */
      readonly verdicts: readonly KnownVerdict[];
    }
  | {
      readonly type: "report";
      readonly key: string;
      readonly name: ClaimName;
      readonly check: string;
      readonly status: HealthResult;
      readonly output: string;
      readonly version: number;
    }
  | { readonly type: "deregister"; readonly key: string; readonly name: ClaimName; readonly incarnation: number }
  | {
      readonly type: "inspect";
      readonly key: string;
      readonly namespace: string;
      readonly service: string;
      /** Versions of the claims at the time of the request. The answer does not judge a claim that has changed since. */
      readonly asOf: ReadonlyMap<string, number>;
    };

/** Why a call failed: no answer · the session is gone · no such instance or check · a later claim or none exists · rejected. */
export type Failure = "away" | "session" | "missing" | "outdated" | "refused";

export type SyncEvent =
  | {
      readonly type: "claim";
      readonly name: ClaimName;
      readonly registration: LocalRegistration;
      readonly incarnation: number;
      /** Whether the server accepted this claim before a restart. */
      readonly taken?: boolean;
    }
  | { readonly type: "withdraw"; readonly key: string }
  /** An instance that the server knows from before a restart, and that is not claimed (yet). */
  | { readonly type: "leftover"; readonly name: ClaimName }
  | {
      readonly type: "verdict";
      readonly key: string;
      readonly check: string;
      readonly status: HealthResult;
      readonly output: string;
    }
  | { readonly type: "fullSync" }
  | {
      readonly type: "done";
      readonly effect: Effect;
      /** Of openSession. */
      readonly session?: string;
      /** Of inspect. */
      readonly instances?: readonly Instance[];
    }
  | {
      readonly type: "failed";
      readonly effect: Effect;
      readonly failure: Failure;
      readonly detail: string;
      readonly incarnation?: number;
      readonly evicted?: boolean;
    };

export interface Moment {
  readonly nowMs: number;
  /** In [0, 1): for jitter. */
  readonly chance: number;
}

export function startSync(limits: SyncLimits, nowMs: number, session?: string): SyncState {
  return {
    limits,
    session,
    claims: new Map(),
    busy: new Set(),
    heartbeatAtMs: nowMs,
    fullSyncAtMs: nowMs,
    served: new Set(),
    toInspect: new Set(),
    attempt: 0,
    notBeforeMs: 0,
    connected: undefined,
    refusal: undefined,
  };
}

/** Marks an effect as under way. */
export function begin(state: SyncState, effect: Effect): SyncState {
  invariant(!state.busy.has(effect.key), "two calls for one key are never under way together");
  const busy = new Set(state.busy).add(effect.key);
  if (effect.type !== "register") return { ...state, busy };
  return { ...state, busy, served: new Set(state.served).add(serviceKeyOf(effect.name)) };
}

/** Marks an effect as ended. */
export function end(state: SyncState, effect: Effect): SyncState {
  const busy = new Set(state.busy);
  busy.delete(effect.key);
  return { ...state, busy };
}

/** Notes that the server answered. */
export function answered(state: SyncState): SyncState {
  return { ...state, attempt: 0, notBeforeMs: 0, connected: true };
}

/** Whether the server has exactly what this host claims, as far as is known. */
export function inSync(state: SyncState): boolean {
  return state.session !== undefined && [...state.claims.values()].every(settled);
}

/** Names a service of a namespace. */
export function serviceKeyOf({ namespace, service }: Pick<ClaimName, "namespace" | "service">): string {
  return `${namespace}/${service}`;
}

/** Between nine tenths and eleven tenths of a period. */
export function jittered(periodMs: number, chance: number): number {
  return periodMs * (0.9 + 0.2 * chance);
}
