/** The JSON Schema of a document of resources, made from the table of kinds: for editors, and for the check of `apply`. */
import { own } from "#base";
import { KEY_KINDS, RESOURCE_KINDS } from "./kinds.ts";

const NAME = { type: "string", minLength: 1, maxLength: 128 };
const FIELDS: Readonly<Record<string, object>> = {
  name: NAME,
  service: NAME,
  profile: { ...NAME, default: "default" },
};

export interface KindSchema {
  readonly kind: string;
  readonly schema: Readonly<Record<string, unknown>>;
}

/** One schema per kind. */
export async function kindSchemas(): Promise<KindSchema[]> {
  return Promise.all(
    [...RESOURCE_KINDS, ...KEY_KINDS].map(async ({ kind, description, metadata, schema }) => {
      const fields = metadata.map((field) => field.replace("?", ""));
      const { $id: _id, ...spec } = (await schema()) as { $id?: string };
      return {
        kind,
        schema: {
          type: "object",
          description,
          additionalProperties: false,
          required: ["kind", "metadata", "spec"],
          properties: {
            kind: { const: kind },
            metadata: {
              type: "object",
              additionalProperties: false,
              required: metadata.filter((field) => !field.endsWith("?")),
              properties: {
                namespace: { ...NAME, default: "default" },
                ...Object.fromEntries(fields.map((field) => [field, own(FIELDS, field)])),
              },
            },
            spec,
          },
        },
      };
    }),
  );
}

/** The schema of one document, for docs/reference. */
export async function resourceSchema(): Promise<object> {
  const kinds = await kindSchemas();
  return {
    $schema: "https://json-schema.org/draft/2020-12/schema",
    title: "A resource for posthouse apply",
    type: "object",
    required: ["kind"],
    properties: { kind: { enum: kinds.map(({ kind }) => kind) } },
    oneOf: kinds.map(({ schema }) => schema),
  };
}
