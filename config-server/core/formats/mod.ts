/** How the config server checks and fills in the values of each format. Each format is one file, under its name. */
import type { Format } from "../../api.ts";
import { binary } from "./binary.ts";
import { json } from "./json.ts";
import { properties } from "./properties.ts";
import { text } from "./text.ts";
import { toml } from "./toml.ts";
import type { ValueFormat } from "./value-format.ts";
import { yaml } from "./yaml.ts";

export const FORMATS: Readonly<Record<Format, ValueFormat>> = { yaml, json, toml, properties, text, binary };
