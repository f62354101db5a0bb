/**
 * `consul kv export`: a JSON list of `key`, `flags` and a base64 `value`. `GET /v1/kv/?recurse` has the same with capital letters.
 * The first part of a key below the prefix is the app, `APP,PROFILE` as in Spring Cloud Consul; the rest is the key.
 */
import { messageOf } from "#base";
import { CliErrors } from "../errors.ts";
import { asObject } from "./documents.ts";
import { Conversion, type Convert, NAMESPACE_DEFAULT, PROFILE_DEFAULT, textOf } from "./conversion.ts";

interface Entry {
  readonly key: string;
  readonly flags: number;
  /** Base64; Consul writes null for an empty value. */
  readonly value: string;
}

export const convertConsulKv: Convert = (files, { namespace = NAMESPACE_DEFAULT, prefix = "" }) => {
  const result = new Conversion();
  const inside = prefix.replaceAll(/^\/+|\/+$/g, "");
  const below = inside === "" ? "" : `${inside}/`;
  for (const file of files) {
    for (const { key, flags, value } of entriesOf(file.path, textOf(file.bytes) ?? "")) {
      // A key that ends with a slash is a folder.
      if (!key.startsWith(below) || key.endsWith("/")) continue;
      const [first = "", ...rest] = key.slice(below.length).split("/");
      if (rest.length === 0) {
        result.note(key, `not converted, because it is above the apps. Use --prefix, or release it by hand`);
        continue;
      }
      if (flags !== 0) result.note(key, `its flags (${flags}) are dropped`);
      const [app = "", profile = PROFILE_DEFAULT] = first.split(/,|::/, 2);
      const bytes = Buffer.from(value, "base64");
      result.put(key, { namespace, app, profile }, keyName(rest, bytes), bytes);
    }
  }
  return result;
};

/** `data` is the one document of an app in Spring Cloud Consul. Its format is only in the settings of the app, so the text decides. */
function keyName(parts: readonly string[], bytes: Uint8Array): string {
  const name = parts.join(".");
  if (name !== "data") return name;
  const text = textOf(bytes) ?? "";
  if (text.trimStart().startsWith("{")) return "data.json";
  return /^[\w.-]+\s*=/m.test(text) ? "data.properties" : "data.yaml";
}

function entriesOf(path: string, text: string): Entry[] {
  let list: unknown;
  try {
    list = JSON.parse(text);
  } catch (cause) {
    throw invalid(path, messageOf(cause), cause);
  }
  if (!Array.isArray(list)) throw invalid(path, "it is not a list");
  return list.map((given: unknown, index) => {
    const lower = Object.entries(asObject(given)).map(([name, value]) => [name.toLowerCase(), value]);
    const { key, flags = 0, value = "" }: Record<string, unknown> = Object.fromEntries(lower);
    if (typeof key !== "string") throw invalid(path, `entry ${index} has no key`);
    return { key, flags: Number(flags), value: typeof value === "string" ? value : "" };
  });
}

function invalid(path: string, why: string, cause?: unknown): Error {
  return CliErrors.EXPORT_INVALID(`${path} is not an export of \`consul kv export\`: ${why}.`, { cause });
}
