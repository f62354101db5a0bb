/**
 * What is wrong with the shape of a value, in words and by JSON pointer, for texts that people write by hand. An unknown
 * field is pointed at itself, not at its holder; what each side of a union asks for stands in one line.
 */
import type { TSchema } from "typebox";
import { Value } from "typebox/value";

export interface ShapeProblem {
  /** JSON pointer into the value. */
  readonly pointer: string;
  readonly message: string;
}

/** One problem per place, in order; none when the value is what the schema asks. */
export function shapeProblems(schema: TSchema, value: unknown): ShapeProblem[] {
  return merged(Value.Errors(schema, value).flatMap(inWords));
}

/** One part of a JSON pointer. */
export function pointerPart(part: string): string {
  return part.replaceAll("~", "~0").replaceAll("/", "~1");
}

interface ShapeError {
  readonly keyword: string;
  readonly instancePath: string;
  readonly message: string;
  readonly params: object;
}

function inWords({ keyword, instancePath: pointer, message, params }: ShapeError): ShapeProblem[] {
  const { additionalProperties, requiredProperties, allowedValues, allowedValue } = params as {
    additionalProperties?: string[];
    requiredProperties?: string[];
    allowedValues?: unknown[];
    allowedValue?: unknown;
  };
  // TypeBox also says of an unknown field that "schema is false", and of a union that no side fits.
  if (keyword === "boolean" || keyword === "anyOf") return [];
  if (additionalProperties) {
    return additionalProperties.map((name) => ({
      pointer: `${pointer}/${pointerPart(name)}`,
      message: `Unknown field "${name}".`,
    }));
  }
  if (requiredProperties) {
    const names = requiredProperties.map((name) => `"${name}"`).join(", ");
    return [{ pointer, message: `Missing: ${names}.` }];
  }
  if (allowedValues) return [{ pointer, message: `Must be one of ${allowedValues.join(", ")}.` }];
  if (allowedValue !== undefined) return [{ pointer, message: `Must be ${JSON.stringify(allowedValue)}.` }];
  return [{ pointer, message: `${message.slice(0, 1).toUpperCase()}${message.slice(1)}.` }];
}

function merged(problems: readonly ShapeProblem[]): ShapeProblem[] {
  const byPointer = new Map<string, string[]>();
  for (const { pointer, message } of problems) {
    const messages = byPointer.get(pointer) ?? [];
    if (!messages.includes(message)) byPointer.set(pointer, [...messages, message]);
  }
  return [...byPointer].map(([pointer, messages]) => ({ pointer, message: messages.join(" Or: ") }));
}
