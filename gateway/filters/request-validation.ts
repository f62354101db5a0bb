/**
 * Requests by JSON Schema: the body, when it is JSON, and the query. A schema comes with a release and runs in the
 * request's path, so it may not hold what makes a check slow: patterns are RE2's, references stay inside, and it is
 * bounded in size.
 */
import { Ajv2020 } from "ajv/dist/2020.js";
import { Type, type Static } from "typebox";
import { messageOf } from "#base";
import type { BuiltFilter, Filter, FilterRefusal } from "../core/filter.ts";
import { regexOf } from "../core/regex.ts";

/** Characters of a schema as JSON. */
const SCHEMA_CHARS_MAX = 64 * 1024;
const BYTES_MAX = 64 * 1024;
/** Problems that a caller is told at once. */
const PROBLEMS_TOLD_MAX = 5;

const Schema = Type.Record(Type.String(), Type.Unknown(), { description: "JSON Schema, draft 2020-12." });
const Config = Type.Object(
  {
    body: Type.Optional(Schema),
    query: Type.Optional({
      ...Schema,
      description: "Of an object of the query's parameters, each a text or a list of texts.",
    }),
    bytesMax: Type.Optional(Type.Integer({ minimum: 1, maximum: 8 * 1024 * 1024, default: BYTES_MAX })),
    contentTypes: Type.Optional(
      Type.Array(Type.String({ minLength: 3, maxLength: 128 }), {
        minItems: 1,
        maxItems: 16,
        description: "Of the body. Default: application/json.",
      }),
    ),
  },
  { additionalProperties: false, minProperties: 1 },
);

export const requestValidation: Filter = {
  name: "request-validation",
  description: "Checks JSON bodies and queries by JSON Schema.",
  phase: "request",
  schema: Config,
  build({
    body,
    query,
    bytesMax = BYTES_MAX,
    contentTypes = ["application/json"],
  }: Static<typeof Config>): BuiltFilter {
    const checkBody = body && compile(body, "body");
    const checkQuery = query && compile(query, "query");
    const types = new Set(contentTypes.map((type) => type.toLowerCase()));
    const built: BuiltFilter = {
      request({ head }) {
        const problem = checkQuery?.(parametersOf(head.query));
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
          // Checked as one type and read as another is how a check is walked around.
          if (more.length > 0 || !types.has(essence))
            return refusal(`The Content-Type must be one of ${[...types].join(", ")}.`, 415);
          if (head.header("content-encoding").length > 0)
            return refusal("An encoded body cannot be looked at here.", 415);
          let value: unknown;
          try {
            value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
          } catch {
            return refusal("The body is not JSON.", 400);
          }
          const problem = checkBody(value);
          return problem === undefined ? undefined : refusal(`The body is not valid: ${problem}.`, 422);
        },
      },
    };
  },
};

function refusal(detail: string, status: number): FilterRefusal {
  return { kind: "refuse", error: "BODY_INVALID", detail, status };
}

function compile(schema: Record<string, unknown>, what: string): (value: unknown) => string | undefined {
  if (JSON.stringify(schema).length > SCHEMA_CHARS_MAX)
    throw new Error(`${what}: the schema is longer than ${SCHEMA_CHARS_MAX} characters`);
  // Ajv keeps compiled patterns by what they are as a text.
  const regExp = Object.assign((pattern: string) => ({ test: tester(pattern), toString: () => pattern }), { code: "" });
  const ajv = new Ajv2020({ strict: false, allErrors: false, code: { regExp }, logger: false });
  let validate: ReturnType<typeof ajv.compile>;
  try {
    validate = ajv.compile(schema);
  } catch (error) {
    throw new Error(`${what}: ${messageOf(error)}`, { cause: error });
  }
  return (value) => {
    if (validate(value)) return undefined;
    return (validate.errors ?? [])
      .slice(0, PROBLEMS_TOLD_MAX)
      .map(({ instancePath, message = "does not fit" }) => `${instancePath === "" ? "it" : instancePath} ${message}`)
      .join("; ");
  };
}

/** JSON Schema's patterns are not anchored. */
function tester(pattern: string): (text: string) => boolean {
  const regex = regexOf(pattern);
  return (text) => regex.test(text);
}

function parametersOf(query: string): Record<string, string | string[]> {
  const parameters: Record<string, string | string[]> = Object.create(null) as Record<string, string | string[]>;
  for (const [name, value] of new URLSearchParams(query)) {
    const before = parameters[name];
    parameters[name] = before === undefined ? value : [before, value].flat();
  }
  return parameters;
}
