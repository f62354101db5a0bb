/**
 * Validates requests by JSON Schema: JSON bodies, and the query. A schema comes with a release and runs in the request
 * path on input from callers, so its cost is bounded; see bounded-schema.ts.
 */
import { own, setOwn } from "#base";
import { Type, type Static } from "typebox";
import { jsonShapeProblem } from "#base";
import type { BuiltFilter, Filter, FilterRefusal } from "../core/request/filter.ts";
import { compileBounded } from "../bounded-schema.ts";

const BYTES_MAX = 64 * 1024;

const Schema = Type.Record(Type.String(), Type.Unknown());
const Config = Type.Object(
  {
    body: Type.Optional({ ...Schema, description: "JSON Schema (draft 2020-12) for the body." }),
    query: Type.Optional({
      ...Schema,
      description: "JSON Schema for an object of the query parameters, each a string or an array of strings.",
    }),
    bytesMax: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 8 * 1024 * 1024,
        default: BYTES_MAX,
        description: "Largest body; a larger one gets a 413.",
      }),
    ),
    contentTypes: Type.Optional(
      Type.Array(Type.String({ minLength: 3, maxLength: 128 }), {
        minItems: 1,
        maxItems: 16,
        default: ["application/json"],
        description: "Accepted content types of bodies; others get a 415.",
      }),
    ),
  },
  { additionalProperties: false, minProperties: 1 },
);

export const requestValidation: Filter = {
  name: "request-validation",
  description: "Validates JSON bodies and queries by JSON Schema.",
  phase: "request",
  schema: Config,
  build({
    body,
    query,
    bytesMax = BYTES_MAX,
    contentTypes = ["application/json"],
  }: Static<typeof Config>): BuiltFilter {
    const checkBody = body && compileBounded(body, "body");
    const checkQuery = query && compileBounded(query, "query");
    const types = new Set(contentTypes.map((type) => type.toLowerCase()));
    const built: BuiltFilter = {
      request({ head }) {
        const problem = checkQuery?.(parametersOf(head.query), head.query.length);
        return problem === undefined ? undefined : refusal(`The query is not valid: ${problem}.`, 400);
      },
    };
    if (!checkBody) return built;
    return {
      ...built,
      body: {
        bytesMax,
        check(bytes, { head }) {
          const [type, ...more] = head.header("content-type");
          const essence = type?.split(";", 1)[0]?.trim().toLowerCase() ?? "";
          // A body that is checked as one type and read as another would bypass the check.
          if (more.length > 0 || !types.has(essence))
            return refusal(`The Content-Type must be one of ${[...types].join(", ")}.`, 415);
          if (head.header("content-encoding").length > 0)
            return refusal("A body with a Content-Encoding cannot be validated. Send it unencoded.", 415);
          const shape = jsonShapeProblem(bytes);
          if (shape !== undefined) return refusal(`The body ${shape}.`, 400);
          let value: unknown;
          try {
            value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
          } catch {
            return refusal("The body is not JSON.", 400);
          }
          const problem = checkBody(value, bytes.length);
          return problem === undefined ? undefined : refusal(`The body is not valid: ${problem}.`, 422);
        },
      },
    };
  },
};

function refusal(detail: string, status: number): FilterRefusal {
  return { kind: "refuse", error: "BODY_INVALID", detail, status };
}

function parametersOf(query: string): Record<string, string | string[]> {
  const parameters: Record<string, string | string[]> = Object.create(null) as Record<string, string | string[]>;
  for (const [name, value] of new URLSearchParams(query)) {
    const before = own(parameters, name);
    setOwn(parameters, name, before === undefined ? value : [before, value].flat());
  }
  return parameters;
}
