/** The base of the config server's wire contract: names, keys and values. */
import { Type, type Static } from "typebox";
import { VALUE_FORMATS, type ValueFormatName } from "#base";

/** Bytes of one value, text or binary: a certificate bundle or a model's vocabulary. Larger data belongs in a file store. */
export const VALUE_BYTES_MAX = 1024 * 1024;
/** Characters of one value in a request or response: a binary value is base64. */
export const VALUE_CHARS_MAX = 4 * Math.ceil(VALUE_BYTES_MAX / 3);
/** Bytes of all values of one release as JSON: sent to ten thousand subscribers in one piece, within a second. */
export const RELEASE_BYTES_MAX = 8 * 1024 * 1024;
/** Keys of one release: more than people read, few enough to be sent in one piece. */
export const KEYS_PER_RELEASE_MAX = 10_000;

const NAME = "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?";
export const Name = Type.String({ pattern: `^${NAME}$`, description: "a-z, 0-9 and -, at most 63." });
/** A label, such as a branch or a region, makes a variant that overrides its profile: `prod@blue`. */
export const Profile = Type.String({
  pattern: `^${NAME}(@${NAME})?$`,
  description: "A profile, or PROFILE@LABEL: each a-z, 0-9 and -, at most 63.",
});
export const Key = Type.String({
  pattern: "^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$",
  description: "Letters, digits, dot, underscore and dash; at most 128. Often a file name.",
});
const FORMATS = Object.keys(VALUE_FORMATS).map((name) => Type.Literal(name));
export const Format = Type.Unsafe<ValueFormatName>(
  Type.Union(FORMATS, { description: "The syntax that a release is checked for. A binary value is base64." }),
);
export type Format = Static<typeof Format>;

export const SetName = Type.Object({ namespace: Name, app: Name, profile: Profile });
export type SetName = Static<typeof SetName>;

/** Shown in place of a secret's value. In a request it means: unchanged. */
export const MASK = "••••••";

/** Whether the value of an item was withheld. */
export function isMasked({
  secret,
  value,
}: {
  readonly secret?: boolean | undefined;
  readonly value: string;
}): boolean {
  return secret === true && value === MASK;
}

export const Item = Type.Object(
  {
    format: Format,
    value: Type.String({ maxLength: VALUE_CHARS_MAX, description: `${MASK} for a secret.` }),
    secret: Type.Optional(
      Type.Boolean({
        description: `Encrypted in the store, and shown as ${MASK}, which in a request means "unchanged". Absent: as the key already is.`,
      }),
    ),
    expand: Type.Optional(
      Type.Literal(true, { description: "Placeholders in the value, such as ${db.yaml#host}, are filled in." }),
    ),
  },
  { additionalProperties: false },
);
export type Item = Static<typeof Item>;

export const Items = Type.Record(Key, Item, {
  maxProperties: KEYS_PER_RELEASE_MAX,
  additionalProperties: false,
});
export type Items = Static<typeof Items>;
