/**
 * A gateway's own observations of an endpoint and of its cluster. These are the only objects here that change in
 * place. An endpoint keeps its load while it is in the set, through every replacement of tables and sets.
 */
import { invariant } from "#base";

import type { GradientLimit } from "./gradient.ts";

/** The state of a cluster as a whole. */
export interface ClusterState {
  /** Requests in flight to the cluster, retries included. */
  inFlight: number;
  /** How many of these are retries. */
  retrying: number;
  /** Established connections. */
  connections: number;
  /** Connections being established. */
  pending: number;
  /** When the success rates were last compared. */
  comparedMs: number;
  /** Usual milliseconds to the head of a successful answer, over all endpoints; 0: there was none yet. */
  usualMs: number;
  /** The same counts of the other workers of this gateway, some milliseconds ago. */
  others: { readonly inFlight: number; readonly retrying: number };
  /** The adaptive limit of requests; undefined: the cluster has none. */
  gradient?: GradientLimit | undefined;
}

export const NO_OTHERS: ClusterState["others"] = { inFlight: 0, retrying: 0 };

export function newClusterState(): ClusterState {
  return { inFlight: 0, retrying: 0, connections: 0, pending: 0, comparedMs: 0, usualMs: 0, others: NO_OTHERS };
}

export interface EndpointLoad {
  readonly cluster: ClusterState;
  inFlight: number;
  /** Consecutive connections that failed. */
  failures: number;
  /** Until then other endpoints with room come first, since this one refused a connection. Infinity: see noteSilent. */
  avoidUntilMs: number;
  /** When it joined a set that already had endpoints. */
  sinceMs: number;
  /** Milliseconds to the head of an answer. Rises at once and falls slowly; 0: none has arrived yet. */
  latencyMs: number;
  /** When `latencyMs` was last updated. */
  latencyAtMs: number;
  /** Its turn in round robin. */
  turn: number;
  /** Consecutive gateway errors. */
  errors: number;
  /** Answers since the success rates were last compared, and how many of them were successful. */
  answers: number;
  successes: number;
  /** How often it was ejected, minus one for each period of good behavior since. */
  ejections: number;
  ejectedUntilMs: number;
}

export function newLoad(cluster: ClusterState = newClusterState(), sinceMs = -Infinity): EndpointLoad {
  return {
    cluster,
    inFlight: 0,
    failures: 0,
    avoidUntilMs: 0,
    sinceMs,
    latencyMs: 0,
    latencyAtMs: 0,
    turn: 0,
    errors: 0,
    answers: 0,
    successes: 0,
    ejections: 0,
    ejectedUntilMs: 0,
  };
}

/** Milliseconds for which an endpoint is avoided after a refused connection. Doubles until a connection succeeds. */
export const AVOID_MS = { base: 500, cap: 30_000 } as const;
/** Milliseconds between two test connections to a silent endpoint. Doubles each time. */
export const PROBE_MS = { base: 250, cap: 4_000 } as const;

/** A connection was refused. Only this gateway uses that; the registry has its own health checks. */
export function noteRefused(load: EndpointLoad, nowMs: number): void {
  load.avoidUntilMs = nowMs + Math.min(AVOID_MS.cap, AVOID_MS.base * 2 ** Math.min(load.failures, 16));
  load.failures += 1;
}

/**
 * A connection timed out. Trying an endpoint that refuses costs a request less than a millisecond; trying a silent one
 * costs the whole connect timeout. So a silent endpoint receives no request until a test connection succeeds.
 */
export function noteSilent(load: EndpointLoad): void {
  load.avoidUntilMs = Infinity;
  load.failures += 1;
}

export function isSilent({ avoidUntilMs }: EndpointLoad): boolean {
  return avoidUntilMs === Infinity;
}

/** Milliseconds to the next test connection, shortened by a random part so that gateways do not test in step. */
export function probeMs({ failures }: EndpointLoad, random: () => number): number {
  const most = Math.min(PROBE_MS.cap, PROBE_MS.base * 2 ** Math.min(Math.max(0, failures - 1), 16));
  return most * (0.5 + random() / 2);
}

/** It answered, or accepted a connection. */
export function noteReached(load: EndpointLoad): void {
  load.failures = 0;
  load.avoidUntilMs = 0;
}

/** Milliseconds in which an observed latency loses two thirds of its weight. As in Finagle. */
export const LATENCY_DECAY_MS = 10_000;

/** Answers over which the usual latency of a cluster is averaged. */
const USUAL_ANSWERS = 64;
/**
 * The least latency of a failure, as a multiple of the usual latency. An endpoint that fails at once is idle and looks
 * fast, so it would attract most of the requests. With this factor it attracts few while the others have several in
 * flight each.
 */
const FAILURE_FACTOR = 5;

/** The head of an answer arrived, or the request failed without one. */
export function noteAnswer(load: EndpointLoad, failed: boolean, latencyMs: number, nowMs: number): void {
  const { cluster } = load;
  if (failed) return noteLatency(load, Math.max(latencyMs, FAILURE_FACTOR * cluster.usualMs), nowMs);
  cluster.usualMs += cluster.usualMs === 0 ? latencyMs : (latencyMs - cluster.usualMs) / USUAL_ANSWERS;
  noteLatency(load, latencyMs, nowMs);
}

/** A rise counts at once, so that few requests wait before a slow endpoint is noticed. @see Finagle, PeakEwma */
export function noteLatency(load: EndpointLoad, latencyMs: number, nowMs: number): void {
  const known = load.latencyMs;
  const kept = Math.exp(-Math.max(0, nowMs - load.latencyAtMs) / LATENCY_DECAY_MS);
  invariant(latencyMs >= 0, "a latency is not negative");
  load.latencyMs = latencyMs > known ? latencyMs : known * kept + latencyMs * (1 - kept);
  load.latencyAtMs = nowMs;
}

/** The latency as it counts now. An old value counts less, so that an endpoint that was slow gets requests again. */
export function latencyAt(load: EndpointLoad, nowMs: number): number {
  if (load.latencyMs === 0) return 0;
  return load.latencyMs * Math.exp(-Math.max(0, nowMs - load.latencyAtMs) / LATENCY_DECAY_MS);
}
