/** The formats of config values. Readers and checks of values have one row for each. */
import { own } from "./own.ts";

interface ValueFormatTraits {
  /** Extensions of its files, in lowercase. A file without any of these extensions is `text`. */
  readonly extensions: readonly string[];
  /** `tree`: names and lists, which a path leads through. `flat`: names that are not paths. `plain`: no names. */
  readonly shape: "tree" | "flat" | "plain";
}

export const VALUE_FORMATS = {
  yaml: { extensions: ["yaml", "yml"], shape: "tree" },
  json: { extensions: ["json"], shape: "tree" },
  toml: { extensions: ["toml"], shape: "tree" },
  properties: { extensions: ["properties"], shape: "flat" },
  text: { extensions: [], shape: "plain" },
  binary: { extensions: ["bin", "jks", "p12", "pfx", "der", "gz", "zip", "png", "ico"], shape: "plain" },
} as const satisfies Readonly<Record<string, ValueFormatTraits>>;

export type ValueFormatName = keyof typeof VALUE_FORMATS;

/** Undefined for a format that only a newer server knows. */
export function shapeOf(format: string): ValueFormatTraits["shape"] | undefined {
  return own<ValueFormatTraits>(VALUE_FORMATS, format)?.shape;
}
