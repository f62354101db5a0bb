/** TOML 1.0. */
import { parse } from "smol-toml";
import type { ValueReader } from "./reader.ts";
import { readTomlSource } from "./toml-source.ts";

export const toml: ValueReader = {
  read: (text) => parse(text, { integersAsBigInt: "asNeeded" }),
  readSource: (text) => readTomlSource(text).tree,
};
