/**
 * API keys. A key is a secret of a consumer; the config contains only its SHA-256. The key is sent in a header, never
 * in a query, which ends up in logs and histories. It must be long and random, as `posthouse gateway key` generates it,
 * because the hash of a guessable key can be guessed.
 */
import { hash } from "node:crypto";
import { Type, type Static } from "typebox";
import type { Filter, FilterVerdict } from "../core/request/filter.ts";

/** Characters of a key. A longer one is rejected without hashing it. */
const KEY_CHARS_MAX = 512;
const Config = Type.Object(
  {
    header: Type.Optional(
      Type.String({
        pattern: "^[A-Za-z0-9-]{1,64}$",
        default: "x-api-key",
        description: "The header that carries the key.",
      }),
    ),
    keepKey: Type.Optional(
      Type.Boolean({ default: false, description: "true: the service receives the key as well." }),
    ),
  },
  { additionalProperties: false },
);

export const keyAuth: Filter = {
  name: "key-auth",
  description: "Requires the API key of a consumer.",
  phase: "authenticate",
  schema: Config,
  build({ header = "x-api-key", keepKey = false }: Static<typeof Config>) {
    const name = header.toLowerCase();
    const headers = [["www-authenticate", `ApiKey header="${name}"`]] as const;
    const refusal = (error: "KEY_MISSING" | "KEY_INVALID", detail: string): FilterVerdict => ({
      kind: "refuse",
      error,
      detail,
      headers,
    });
    return {
      secrets: [name],
      request({ head, consumers }) {
        const [key, ...more] = head.header(name);
        if (key === undefined) return refusal("KEY_MISSING", `Send an API key in the header ${name}.`);
        const known =
          more.length === 0 && key.length <= KEY_CHARS_MAX ? consumers.byKey(hash("sha256", key, "hex")) : undefined;
        if (!known) return refusal("KEY_INVALID", "The API key is not valid here.");
        return { kind: "pass", consumer: known, remove: keepKey ? [] : [name] };
      },
    };
  },
};
