/**
 * Turns files into sets: the path names the set and the key, the bytes are the value. All problems are reported together, by
 * file, before anything is released. Pure.
 */
import { hasLoneSurrogate, own, schemaProblems, setOwn } from "#base";
import { Value } from "typebox/value";
import {
  formatOf,
  Key,
  KEYS_PER_RELEASE_MAX,
  Manifest,
  MASK,
  MANIFEST_NAME,
  Name,
  Profile,
  VALUE_BYTES_MAX,
  type FileProblem,
  type Format,
  type Item,
  type SetName,
} from "../api.ts";
import { isLfsPointer, LFS_POINTER_MESSAGE } from "./format.ts";
import { setId } from "./keys.ts";
import { BASE_PROFILE } from "./resolve.ts";

export interface TreeFile {
  /** Parts joined by "/". */
  readonly path: string;
  readonly bytes: Uint8Array;
}

/** How a path is read. */
export interface Mapping {
  /** The namespace of all sets. Paths are APP/PROFILE/KEY, or NAMESPACE/APP/PROFILE/KEY of one namespace, which it replaces. */
  readonly namespace?: string | undefined;
  /** With both, a file without folders is a key of this set. */
  readonly app?: string | undefined;
  readonly profile?: string | undefined;
  /** Folders before a key: 2 without a namespace, 3 with one. Absent: both are accepted. */
  readonly depth?: 2 | 3 | undefined;
}

/** A set as the files define it. */
export interface WantedSet {
  readonly name: SetName;
  readonly items: Record<string, Item>;
  /** The path of each key's file, for messages. */
  readonly files: Record<string, string>;
  /** The reason in the manifest. */
  readonly reason: string | undefined;
}

export interface Tree {
  /** The base profile of each app comes first, since it contains the schemas of the other profiles. */
  readonly sets: readonly WantedSet[];
  readonly ignored: readonly string[];
  readonly problems: readonly FileProblem[];
}

/** Files that are not config: dot files, and those that macOS adds to a zip. */
export function isBeside(path: string): boolean {
  return path.split("/").some((part) => part.startsWith(".")) || path.startsWith("__MACOSX/");
}

const NO_SET = { app: undefined, profile: undefined };

export function readTree(files: readonly TreeFile[], mapping: Mapping): Tree {
  const problems: FileProblem[] = [];
  const manifest = readManifest(files, problems);
  const sets = new Map<string, WantedSet>();
  const ignored: string[] = [];
  const namespaces = new Set<string>();
  const only = manifest?.sets.length === 1 ? manifest.sets[0] : undefined;
  const ours = files.filter(({ path }) => !isBeside(path) && path !== MANIFEST_NAME);
  // Beside folders with sets, a file at the root is a README, and not a key of the one set that a manifest names.
  const flat = ours.every(({ path }) => !path.includes("/"));
  const root = flat ? { app: mapping.app ?? only?.app, profile: mapping.profile ?? only?.profile } : NO_SET;
  if (!flat && (mapping.app !== undefined || mapping.profile !== undefined)) {
    problems.push({ file: "", message: "app and profile apply to files without folders, but there are folders" });
  }
  for (const { path, bytes } of ours.toSorted((a, b) => (a.path < b.path ? -1 : 1))) {
    const parts = path.split("/");
    const key = parts.pop() ?? "";
    const place = placeOf(parts, mapping, { namespace: only?.namespace, ...root });
    if (place === undefined) {
      ignored.push(path);
      continue;
    }
    if (typeof place === "string") {
      problems.push({ file: path, message: place });
      continue;
    }
    if (parts.length === 3) namespaces.add(parts[0] as string);
    const said = invalidName(place, key);
    if (said !== undefined) {
      problems.push({ file: path, message: said });
      continue;
    }
    const known = manifest?.sets.find(
      ({ namespace, app, profile }) =>
        app === place.app && profile === place.profile && (parts.length < 3 || namespace === parts[0]),
    );
    const item = itemOf(key, bytes, {
      format: own(known?.keys, key),
      expand: known?.expand?.includes(key) ?? false,
      secret: known?.secret?.includes(key) ?? false,
    });
    if (typeof item === "string") {
      problems.push({ file: path, message: item });
      continue;
    }
    const id = setId(place);
    let set = sets.get(id);
    if (!set) sets.set(id, (set = { name: place, items: {}, files: {}, reason: known?.reason }));
    if (Object.hasOwn(set.items, key)) problems.push({ file: path, message: `"${id}" has the key "${key}" twice` });
    setOwn(set.items, key, item);
    setOwn(set.files, key, path);
  }
  if (mapping.namespace !== undefined && namespaces.size > 1) {
    problems.push({
      file: "",
      message: `the sets belong to several namespaces (${[...namespaces].join(", ")}), and one namespace for all would mix them`,
    });
  }
  for (const { name, items, files } of sets.values()) {
    const count = Object.keys(items).length;
    if (count <= KEYS_PER_RELEASE_MAX) continue;
    problems.push({
      file: Object.values(files)[0] ?? "",
      message: `"${setId(name)}" would have ${count} keys; at most ${KEYS_PER_RELEASE_MAX} are allowed`,
    });
  }
  return { sets: [...sets.values()].sort(inOrder), ignored, problems };
}

/** The set of a file in these folders; undefined when it belongs to no set, a text when the path is wrong. */
function placeOf(
  folders: readonly string[],
  { namespace, depth }: Mapping,
  root: { namespace: string | undefined; app: string | undefined; profile: string | undefined },
): SetName | string | undefined {
  if (folders.length === 0 && depth === undefined) {
    const space = namespace ?? root.namespace;
    if (space === undefined || root.app === undefined || root.profile === undefined) return undefined;
    return { namespace: space, app: root.app, profile: root.profile };
  }
  if (folders.length < (depth ?? 2)) return undefined;
  if (folders.length > (depth ?? 3)) {
    const form = depth === 2 ? "APP/PROFILE/KEY" : "NAMESPACE/APP/PROFILE/KEY";
    return `has too many folders; a file is ${form}, and a key has no folders`;
  }
  const [app, profile] = folders.slice(-2) as [string, string];
  const own = folders.length === 3 ? folders[0] : undefined;
  const space = namespace ?? own;
  if (space === undefined) return "is APP/PROFILE/KEY; give the namespace that it belongs to";
  return { namespace: space, app, profile };
}

function invalidName(name: SetName, key: string): string | undefined {
  const wrong = (["namespace", "app", "profile"] as const).find(
    (part) => !matches(part === "profile" ? Profile : Name, name[part]),
  );
  if (wrong !== undefined)
    return `"${name[wrong]}" is not a valid ${wrong}: a-z, 0-9 and -, at most 63${wrong === "profile" ? "; with a label PROFILE@LABEL" : ""}`;
  if (matches(Key, key)) return undefined;
  return `"${key}" is not a valid key: letters, digits, dot, underscore and dash, at most 128, a letter or digit first`;
}

/** Whether a file holds the mask that an export writes in place of a secret. */
function isMask(bytes: Uint8Array): boolean {
  return bytes.length < 64 && Buffer.from(bytes).toString("utf8") === MASK;
}

function toBase64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("base64");
}

function matches(schema: typeof Name, text: string): boolean {
  return Value.Check(schema, text);
}

/**
 * The value of a file, or its problem. The one place that decides about bytes that are not text: without an explicit format
 * they are a binary value.
 */
function itemOf(
  key: string,
  bytes: Uint8Array,
  { format, expand, secret }: { format: Format | undefined; expand: boolean; secret: boolean },
): Item | string {
  const item = valueOf(key, bytes, format);
  return typeof item === "string" ? item : { ...item, ...(expand ? { expand } : {}), ...(secret ? { secret } : {}) };
}

function valueOf(key: string, bytes: Uint8Array, format: Format | undefined): Item | string {
  const said = format ?? formatOf(key);
  if (bytes.length > VALUE_BYTES_MAX) return `has ${bytes.length} bytes; a value has at most ${VALUE_BYTES_MAX}`;
  if (isLfsPointer(bytes)) return LFS_POINTER_MESSAGE;
  if (said === "binary") return { format: said, value: isMask(bytes) ? MASK : toBase64(bytes) };
  let value: string;
  try {
    value = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return said === "text" && format === undefined
      ? { format: "binary", value: toBase64(bytes) }
      : `is not UTF-8, which ${said} requires`;
  }
  return { format: said, value };
}

function readManifest(files: readonly TreeFile[], problems: FileProblem[]): Manifest | undefined {
  const file = files.find(({ path }) => path === MANIFEST_NAME);
  if (!file) return undefined;
  let manifest: unknown;
  try {
    manifest = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(file.bytes));
  } catch (error) {
    problems.push({ file: MANIFEST_NAME, message: `is not valid JSON: ${(error as Error).message}` });
    return undefined;
  }
  if (hasLoneSurrogate(manifest)) {
    problems.push({ file: MANIFEST_NAME, message: "contains a text that is not Unicode; remove the lone surrogate" });
    return undefined;
  }
  if (Value.Check(Manifest, manifest)) return manifest;
  const [first] = schemaProblems(Value.Errors(Manifest, manifest));
  const message = `is not the manifest of an export (${first?.pointer ?? ""} ${first?.message ?? ""}); correct it, or leave it out`;
  problems.push({ file: MANIFEST_NAME, message });
  return undefined;
}

function inOrder(a: WantedSet, b: WantedSet): number {
  const rank = ({ name }: WantedSet) =>
    `${name.namespace}/${name.app}/${name.profile === BASE_PROFILE ? "" : name.profile}`;
  return rank(a) < rank(b) ? -1 : 1;
}
