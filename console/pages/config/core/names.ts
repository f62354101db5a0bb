/** Names of sets and keys: what is valid, how they are written in paths and commands, and the format that a key means. */
import type { SetName } from "#config-server/api";

const NAME = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;
const KEY = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;

export function isName(text: string): boolean {
  return NAME.test(text);
}

export function isProfile(text: string): boolean {
  const [profile = "", label, ...rest] = text.split("@");
  return rest.length === 0 && isName(profile) && (label === undefined || isName(label));
}

export function isKey(text: string): boolean {
  return KEY.test(text);
}

export function setIdOf({ namespace, app, profile }: SetName): string {
  return `${namespace}/${app}/${profile}`;
}

/** The set in the control API. */
export function setPathOf({ namespace, app, profile }: SetName): string {
  return `/v1/config/${[namespace, app, profile].map(encodeURIComponent).join("/")}`;
}

/** The set in the console. */
export function setPageOf({ namespace, app, profile }: SetName): string {
  return `/config/${[namespace, app, profile].map(encodeURIComponent).join("/")}`;
}

export const FORMATS = ["yaml", "json", "toml", "properties", "text", "binary"] as const;
export type FormatName = (typeof FORMATS)[number];

const BY_EXTENSION: Readonly<Record<string, FormatName>> = {
  yaml: "yaml",
  yml: "yaml",
  json: "json",
  toml: "toml",
  properties: "properties",
};
const BINARY = new Set(["bin", "jks", "p12", "pfx", "der", "gz", "zip", "png", "ico"]);

export function formatOfKey(key: string): FormatName {
  const extension = key.slice(key.lastIndexOf(".") + 1).toLowerCase();
  if (BINARY.has(extension)) return "binary";
  return Object.hasOwn(BY_EXTENSION, extension) ? (BY_EXTENSION[extension] ?? "text") : "text";
}

/** Shown by the server instead of a secret; in a request it means "unchanged". */
export const MASK = "••••••";

/** Bytes of a value as it is received: base64 for a binary one. */
export function bytesOfValue(format: string, value: string): number {
  if (format !== "binary") return new TextEncoder().encode(value).length;
  const padding = value.endsWith("==") ? 2 : value.endsWith("=") ? 1 : 0;
  return (value.length * 3) / 4 - padding;
}

/** `512 B`, `1.5 KiB`, `2 MiB`. */
export function sizeText(bytes: number): string {
  if (bytes < 1024) return `${bytes} B`;
  const [size, unit] = bytes < 1024 * 1024 ? [bytes / 1024, "KiB"] : [bytes / 1024 / 1024, "MiB"];
  return `${Number(size.toFixed(1))} ${unit}`;
}
