/** The context of a route's check, and its result. */
import type { TSchema } from "typebox";
import type { ConfigProblem } from "../../api.ts";
import type { Filters } from "../request/filter.ts";

/** The names that a route may refer to. */
export interface RouteContext {
  readonly providers: ReadonlySet<string>;
  readonly clusters: ReadonlySet<string>;
  readonly listeners: ReadonlySet<string>;
  readonly consumers: ReadonlySet<string>;
  /** Headers in which claims are forwarded, in lower case. */
  readonly ownHeaders: ReadonlySet<string>;
  readonly filters: Filters;
  /** The problems of a value under a schema. */
  shape(schema: TSchema, value: unknown, pointer: string): readonly ConfigProblem[];
}

export type Problems = Generator<ConfigProblem>;
