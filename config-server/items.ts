/** The part of the config server's wire contract that everything else in it is built on: names, keys and values. */
import { Type, type Static } from "typebox";

/** Characters of one value. A config is text that people read; the store takes 1 MiB for the whole release. */
export const VALUE_CHARS_MAX = 512 * 1024;
/** Keys of one release. */
export const KEYS_PER_RELEASE_MAX = 1000;

const NAME = "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$";
export const Name = Type.String({ pattern: NAME, description: "a-z, 0-9 and -, at most 63." });
export const Key = Type.String({
  pattern: "^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$",
  description: "Letters, digits, dot, underscore and dash; at most 128. Often a file name.",
});
export const Format = Type.Union(
  [Type.Literal("yaml"), Type.Literal("json"), Type.Literal("toml"), Type.Literal("properties"), Type.Literal("text")],
  { description: "The syntax that a release checks before it stands." },
);
export type Format = Static<typeof Format>;

export const SetName = Type.Object({ namespace: Name, app: Name, profile: Name });
export type SetName = Static<typeof SetName>;

export const Item = Type.Object(
  { format: Format, value: Type.String({ maxLength: VALUE_CHARS_MAX }) },
  { additionalProperties: false },
);
export type Item = Static<typeof Item>;

export const Items = Type.Record(Key, Item, {
  maxProperties: KEYS_PER_RELEASE_MAX,
  additionalProperties: false,
});
export type Items = Static<typeof Items>;
