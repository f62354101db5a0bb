/**
 * The gateway's extension point. A filter is a name, a schema and a function: its config is checked by the schema with
 * the rest of the release, `build` runs once per snapshot, and its result is called for each request of the routes that
 * use the filter.
 */
import type { TSchema } from "typebox";
import type { ConfigProblem, GatewayErrorName } from "../../api.ts";
import type { Claims } from "../callers/claims.ts";
import type { CompiledConsumer, Consumers } from "../callers/consumers.ts";
import type { RequestHead } from "./head.ts";
import type { AnswerHeaders } from "./header-list.ts";

/** The parts of a request that a filter may read. */
export interface FilterRequest {
  readonly head: RequestHead;
  readonly route: string;
  /** The claims of the verified token, when the route requires one. */
  readonly claims: Claims | undefined;
  readonly consumer: CompiledConsumer | undefined;
  readonly consumers: Consumers;
}

/** The gateway answers with an error instead of forwarding. */
export interface FilterRefusal {
  readonly kind: "refuse";
  /** A row of the error table; for filters from outside usually FILTER_REFUSED. */
  readonly error: GatewayErrorName;
  /** A status that replaces the row's, 400 to 599. */
  readonly status?: number;
  readonly detail: string;
  readonly headers?: readonly (readonly [name: string, value: string])[];
}

/** The request continues: as this consumer, without the headers in `remove`, and with those in `set` added. */
export interface FilterPass {
  readonly kind: "pass";
  readonly consumer?: CompiledConsumer;
  /** In lower case. A filter that sets a header for some requests only removes it from all, so that no client sets it. */
  readonly remove?: readonly string[];
  /** They replace the request's own headers of these names. */
  readonly set?: readonly (readonly [name: string, value: string])[];
}

/** undefined: the request continues unchanged. */
export type FilterVerdict = FilterRefusal | FilterPass | undefined;

export interface BuiltFilter {
  /** Request headers, in lower case, that contain credentials. Their values are never shown. */
  readonly secrets?: readonly string[];
  /**
   * Must be synchronous: it runs for each request, possibly more than once, and for explanations. Any result that is not
   * a verdict, such as a promise, is a defect, and the request is answered with 500.
   */
  request?(request: FilterRequest): FilterVerdict;
  /** Checks the whole body. A request with more than `bytesMax` bytes is answered with 413. */
  readonly body?: {
    readonly bytesMax: number;
    check(body: Uint8Array, request: FilterRequest): FilterRefusal | undefined;
  };
  /** Changes the head of the service's answer in place. Names are in lower case. */
  answer?(answer: { readonly status: number; readonly headers: AnswerHeaders }, request: FilterRequest): void;
}

/** @throws when a filter returned anything else than its type allows; to treat that as a pass would admit every request. */
export function verdictOf<Verdict extends FilterVerdict>(name: string, said: Verdict, allowed: FilterKinds): Verdict {
  if (said === undefined || (said !== null && allowed.includes(said.kind))) return said;
  throw notSaid(name, said);
}

type FilterKinds = readonly NonNullable<FilterVerdict>["kind"][];
export const VERDICTS: FilterKinds = ["pass", "refuse"];
export const BODY_VERDICTS: FilterKinds = ["refuse"];

/** @throws when a filter is asynchronous, since the answer is sent before its change. */
export function notLater(name: string, said: unknown): void {
  if (said instanceof Promise) throw notSaid(name, said);
}

function notSaid(name: string, said: unknown): Error {
  // The promise is not awaited, and its failure must not end the process.
  if (said instanceof Promise) said.catch(() => {});
  const what = said instanceof Promise ? "a promise, but filters must be synchronous" : "a value that is not a verdict";
  return new Error(`The filter "${name}" returned ${what}.`);
}

export interface Filter {
  readonly name: string;
  readonly description: string;
  /**
   * When it runs: `connection` before credentials are read, `authenticate` with the route's tokens, `authorise` with its
   * access rules, `request` after the limits. Within a phase, filters run in the order of the config.
   */
  readonly phase: FilterPhase;
  /** The schema of `config`. */
  readonly schema: TSchema;
  /** Problems of a config that matches the schema, at the place where it is used. Pointers are into the config. */
  problems?(config: never, place: FilterPlace): Iterable<ConfigProblem>;
  /** Called with a config that matches the schema. @throws with the problem that remains, for the operator to read */
  build(config: never): BuiltFilter;
}

/** The parts of the gateway's config that matter where a filter is used. */
export interface FilterPlace {
  /** Names of all consumers. */
  readonly consumers: ReadonlySet<string>;
  /** Whether the route identifies its callers. */
  readonly identifies: boolean;
}

export const FILTER_PHASES = ["connection", "authenticate", "authorise", "request"] as const;
export type FilterPhase = (typeof FILTER_PHASES)[number];

/** By name. */
export type Filters = ReadonlyMap<string, Filter>;

export const NO_FILTERS: Filters = new Map();

export interface CompiledFilter {
  readonly name: string;
  readonly phase: FilterPhase;
  readonly built: BuiltFilter;
}
