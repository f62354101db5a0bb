/**
 * The gateway's extension point. A filter is a name, a schema and a function: its config is checked by the schema with
 * the rest of the release, `build` runs once per snapshot, and what it returns is asked with every request of the
 * routes that use it.
 */
import type { TSchema } from "typebox";
import type { ConfigProblem, GatewayErrorName } from "../../api.ts";
import type { Claims } from "../callers/claims.ts";
import type { CompiledConsumer, Consumers } from "../callers/consumers.ts";
import type { RequestHead } from "./head.ts";
import type { AnswerHeaders } from "./header-list.ts";

/** What a filter may know of a request. */
export interface FilterRequest {
  readonly head: RequestHead;
  readonly route: string;
  /** Of the verified token, when the route asks for one. */
  readonly claims: Claims | undefined;
  readonly consumer: CompiledConsumer | undefined;
  readonly consumers: Consumers;
}

/** The gateway's answer in the place of the service's. */
export interface FilterRefusal {
  readonly kind: "refuse";
  /** A row of the error table; for filters from outside usually FILTER_REFUSED. */
  readonly error: GatewayErrorName;
  /** Another status than the row's, 400 to 599. */
  readonly status?: number;
  readonly detail: string;
  readonly headers?: readonly (readonly [name: string, value: string])[];
}

/** The request goes on: as this consumer, without these headers, with those beside its own. */
export interface FilterPass {
  readonly kind: "pass";
  readonly consumer?: CompiledConsumer;
  /** In lower case. */
  readonly remove?: readonly string[];
  readonly set?: readonly (readonly [name: string, value: string])[];
}

/** undefined: nothing to say. */
export type FilterVerdict = FilterRefusal | FilterPass | undefined;

export interface BuiltFilter {
  /** Request headers, in lower case, that hold credentials of its kind: nobody is told what is in them. */
  readonly secrets?: readonly string[];
  /**
   * Without waiting: it is asked in the request's path, and by whoever has a decision explained. May be asked more than
   * once. What is no verdict, such as a promise of one, is a defect, and the request ends in a 500.
   */
  request?(request: FilterRequest): FilterVerdict;
  /** The whole body, when it is not larger than `bytesMax`; else the request is 413. */
  readonly body?: {
    readonly bytesMax: number;
    check(body: Uint8Array, request: FilterRequest): FilterRefusal | undefined;
  };
  /** The head of the service's answer, names in lower case, to be changed in place. */
  answer?(answer: { readonly status: number; readonly headers: AnswerHeaders }, request: FilterRequest): void;
}

/** @throws when a filter said something else than its type allows: to take that for a pass would let everybody in. */
export function verdictOf<Verdict extends FilterVerdict>(name: string, said: Verdict, allowed: FilterKinds): Verdict {
  if (said === undefined || (said !== null && allowed.includes(said.kind))) return said;
  throw notSaid(name, said);
}

type FilterKinds = readonly NonNullable<FilterVerdict>["kind"][];
export const VERDICTS: FilterKinds = ["pass", "refuse"];
export const BODY_VERDICTS: FilterKinds = ["refuse"];

/** @throws when a filter means to change the answer later, for by then it is gone. */
export function notLater(name: string, said: unknown): void {
  if (said instanceof Promise) throw notSaid(name, said);
}

function notSaid(name: string, said: unknown): Error {
  // Nobody waits for it, and what nobody waits for must not end the process when it fails.
  if (said instanceof Promise) said.catch(() => {});
  const what = said instanceof Promise ? "a promise, and nobody waits for it" : "no verdict";
  return new Error(`The filter "${name}" gave ${what}.`);
}

export interface Filter {
  readonly name: string;
  readonly description: string;
  /**
   * When it is asked: `connection` before any credential is looked at, `authenticate` beside the route's tokens,
   * `authorise` beside its access rules, `request` after limits. Within one, in the order of the config.
   */
  readonly phase: FilterPhase;
  /** Of `config`. */
  readonly schema: TSchema;
  /** What is wrong with a config that fits the schema where it is used; pointers are into the config. */
  problems?(config: never, place: FilterPlace): Iterable<ConfigProblem>;
  /** Of a config that fits the schema. @throws what is wrong with it all the same, for the operator to read */
  build(config: never): BuiltFilter;
}

/** What the rest of a config says where a filter is used. */
export interface FilterPlace {
  /** Names of those that there are. */
  readonly consumers: ReadonlySet<string>;
  /** Whether the route finds out who its callers are. */
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
