/**
 * What this gateway itself sees of an endpoint and of its cluster: the only things here that change in place. An
 * endpoint's load lives as long as the endpoint is in its set, through every swap of tables and sets.
 */

import type { GradientLimit } from "./gradient.ts";

/** Of a cluster as a whole. */
export interface ClusterState {
  /** Requests to it, tries included. */
  inFlight: number;
  /** Of these, further tries. */
  retrying: number;
  /** Connections that stand. */
  connections: number;
  /** Connections on their way. */
  pending: number;
  /** When the success rates were last compared. */
  comparedMs: number;
  /** Milliseconds to the head of an answer that was no failure, over all endpoints; 0: none came yet. */
  usualMs: number;
  /** Of the other workers of this gateway, some milliseconds ago. */
  others: { readonly inFlight: number; readonly retrying: number };
  /** How many requests it bears, when that is to be found out. */
  gradient?: GradientLimit | undefined;
}

export const NO_OTHERS: ClusterState["others"] = { inFlight: 0, retrying: 0 };

export function newClusterState(): ClusterState {
  return { inFlight: 0, retrying: 0, connections: 0, pending: 0, comparedMs: 0, usualMs: 0, others: NO_OTHERS };
}

export interface EndpointLoad {
  readonly cluster: ClusterState;
  inFlight: number;
  /** Connections in a row that did not come to stand. */
  failures: number;
  /** Sent nothing until then, while others have room: it refused the last connection. Infinity: see noteSilent. */
  avoidUntilMs: number;
  /** When it came into a set that had others before. */
  sinceMs: number;
  /** Milliseconds to the head of an answer, rising at once and falling slowly; 0: none came yet. */
  latencyMs: number;
  /** When that was so. */
  latencyAtMs: number;
  /** Its turn in round robin. */
  turn: number;
  /** Gateway errors in a row. */
  errors: number;
  /** Answers since the success rates were last compared, and those that were good. */
  answers: number;
  successes: number;
  /** How often it was ejected, less those that good behaviour has paid off. */
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

/** Milliseconds an endpoint is passed over after a refused connection: doubled each time, until one stands. */
export const AVOID_MS = { base: 500, cap: 30_000 } as const;
/** Milliseconds between two connections that ask whether a silent endpoint is there again: doubled each time. */
export const PROBE_MS = { base: 250, cap: 4_000 } as const;

/** A connection was refused. An opinion of this gateway only; the registry's verdict comes by its own way. */
export function noteRefused(load: EndpointLoad, nowMs: number): void {
  load.avoidUntilMs = nowMs + Math.min(AVOID_MS.cap, AVOID_MS.base * 2 ** Math.min(load.failures, 16));
  load.failures += 1;
}

/**
 * A connection did not come to stand in time. To ask a refuser costs a request less than a millisecond, to ask a silent
 * one all of its connect timeout: so it gets no request at all before a connection that nobody waits for has stood.
 */
export function noteSilent(load: EndpointLoad): void {
  load.avoidUntilMs = Infinity;
  load.failures += 1;
}

export function isSilent({ avoidUntilMs }: EndpointLoad): boolean {
  return avoidUntilMs === Infinity;
}

/** Milliseconds to the next connection that asks. A random part of it off, so that gateways do not ask in step. */
export function probeMs({ failures }: EndpointLoad, random: () => number): number {
  const most = Math.min(PROBE_MS.cap, PROBE_MS.base * 2 ** Math.min(Math.max(0, failures - 1), 16));
  return most * (0.5 + random() / 2);
}

/** It answered, or let a connection stand. */
export function noteReached(load: EndpointLoad): void {
  load.failures = 0;
  load.avoidUntilMs = 0;
}

/** Milliseconds in which a latency that was seen loses two thirds of its weight. Finagle's, too. */
export const LATENCY_DECAY_MS = 10_000;

/** Answers over which the usual latency of a cluster is taken. */
const USUAL_ANSWERS = 64;
/**
 * How many times the usual a failure counts at least. Who fails at once is idle and seems quick, and would draw most of
 * the requests to itself; with several in flight at each of the others it draws few of them at this.
 */
const FAILURE_FACTOR = 5;

/** An answer's head came, or a failure in the place of one. */
export function noteAnswer(load: EndpointLoad, failed: boolean, latencyMs: number, nowMs: number): void {
  const { cluster } = load;
  if (failed) return noteLatency(load, Math.max(latencyMs, FAILURE_FACTOR * cluster.usualMs), nowMs);
  cluster.usualMs += cluster.usualMs === 0 ? latencyMs : (latencyMs - cluster.usualMs) / USUAL_ANSWERS;
  noteLatency(load, latencyMs, nowMs);
}

/** A rise counts at once, or a slow endpoint would be found out only after many have waited. @see Finagle, PeakEwma */
export function noteLatency(load: EndpointLoad, latencyMs: number, nowMs: number): void {
  const known = load.latencyMs;
  const kept = Math.exp(-Math.max(0, nowMs - load.latencyAtMs) / LATENCY_DECAY_MS);
  load.latencyMs = latencyMs > known ? latencyMs : known * kept + latencyMs * (1 - kept);
  load.latencyAtMs = nowMs;
}

/** As it counts now: what was seen long ago counts less, so that a slow endpoint gets to show that it no longer is. */
export function latencyAt(load: EndpointLoad, nowMs: number): number {
  if (load.latencyMs === 0) return 0;
  return load.latencyMs * Math.exp(-Math.max(0, nowMs - load.latencyAtMs) / LATENCY_DECAY_MS);
}
