/** The shape of a balancing policy, and the options of a pick. */
import type { Balance } from "../../../api.ts";
import type { Endpoint, EndpointSet } from "../endpoints.ts";

/** A way to choose one endpoint of a set. */
export interface BalancingPolicy {
  /** Called with sets of two endpoints or more. It may choose an endpoint that is full: `pick` looks again then. */
  pick(set: EndpointSet, random: () => number, options: PickOptions): Endpoint | undefined;
  /** Data that the policy keeps with each new set of a cluster; absent: none. */
  readonly prepare?: (endpoints: readonly Endpoint[]) => Pick<EndpointSet, "maglev">;
}

export interface PickOptions {
  /** Requests in flight from which an endpoint counts as full. */
  readonly inFlightMax: number;
  readonly nowMs: number;
  /** Endpoints that were tried already. */
  readonly excluded?: readonly Endpoint[];
  /** Absent: `p2c`. */
  readonly balance?: Balance;
  /** For policies that use `hashBy`: requests with the same key get the same endpoint. */
  readonly hashKey?: string | undefined;
  /** Milliseconds over which a new endpoint rises to its full share; absent: it has it at once. */
  readonly slowStartMs?: number;
  /** With fewer percent of the set's endpoints not ejected, the ejected ones are used, too. Absent: never. */
  readonly panicPercent?: number;
}

/** Whether an endpoint has room, takes connections and is not ejected. */
export function isAvailable({ load }: Endpoint, { inFlightMax, nowMs }: PickOptions): boolean {
  return load.inFlight < inFlightMax && load.avoidUntilMs <= nowMs && load.ejectedUntilMs <= nowMs;
}
