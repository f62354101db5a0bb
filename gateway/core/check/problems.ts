/** What a check of a route knows, and what it yields. */
import type { TSchema } from "typebox";
import type { ConfigProblem } from "../../api.ts";
import type { Filters } from "../request/filter.ts";

/** What a route may name, and what the names stand for. */
export interface RouteContext {
  readonly providers: ReadonlySet<string>;
  readonly clusters: ReadonlySet<string>;
  readonly listeners: ReadonlySet<string>;
  readonly consumers: ReadonlySet<string>;
  /** Headers that claims become, in lower case. */
  readonly ownHeaders: ReadonlySet<string>;
  readonly filters: Filters;
  /** What a value lacks of a schema. */
  shape(schema: TSchema, value: unknown, pointer: string): readonly ConfigProblem[];
}

export type Problems = Generator<ConfigProblem>;
