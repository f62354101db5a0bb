/**
 * The zip that the Nacos console exports: `GROUP/DATA_ID`, and `.metadata.yml` with the type and the app of each. Exports of earlier
 * versions have `.meta.yml` instead. An export has one namespace, and does not name it.
 */
import { own } from "#base";
import { asObject, asText, readDocument } from "./documents.ts";
import {
  Conversion,
  type ConversionOptions,
  type Convert,
  NAMESPACE_DEFAULT,
  type SourceFile,
  splitExtension,
  splitProfile,
  textOf,
} from "./conversion.ts";

const GROUP_DEFAULT = "DEFAULT_GROUP";
/** Types of Nacos that are formats here, and the extension that a data id without one gets. */
const EXTENSIONS: Readonly<Record<string, string>> = {
  yaml: ".yaml",
  json: ".json",
  properties: ".properties",
  toml: ".toml",
};

interface Metadata {
  readonly app: string;
  readonly type: string;
}

export const convertNacos: Convert = (files, options) => {
  const result = new Conversion();
  const metadata = metadataOf(files);
  const configs = files.flatMap(({ path, bytes }) => {
    const [group = "", dataId, ...more] = path.split("/");
    if (dataId === undefined || more.length > 0 || path.startsWith("__MACOSX/")) return [];
    return options.prefix === undefined || options.prefix === group ? [{ path, group, dataId, bytes }] : [];
  });
  const names = new Set(configs.map(({ dataId }) => splitExtension(dataId)[0]));
  for (const { path, group, dataId, bytes } of configs) {
    const known = metadata.get(path);
    if (group !== GROUP_DEFAULT) result.note(path, `the group "${group}" is not part of the result`);
    if (dataId.startsWith("cipher-")) result.note(path, "its value is in the clear now. Release it as a secret");
    result.put(path, placeOf(dataId, known?.app ?? "", { names, options }), keyOf(dataId, known?.type), bytes);
  }
  return result;
};

function placeOf(
  dataId: string,
  app: string,
  { names, options }: { readonly names: ReadonlySet<string>; readonly options: ConversionOptions },
) {
  const { namespace = NAMESPACE_DEFAULT } = options;
  const profiles = new Set(options.profiles);
  const [own, profile] = splitProfile(splitExtension(dataId)[0], { names, profiles });
  return { namespace, app: app === "" ? own : app, profile };
}

function keyOf(dataId: string, type = ""): string {
  const extension = own(EXTENSIONS, type);
  const [, present] = splitExtension(dataId);
  const isKnown = [...Object.values(EXTENSIONS), ".yml"].includes(present);
  return extension === undefined || isKnown ? dataId : `${dataId}${extension}`;
}

/** By path of the file. */
function metadataOf(files: readonly SourceFile[]): ReadonlyMap<string, Metadata> {
  const found = new Map<string, Metadata>();
  const current = files.find(({ path }) => path === ".metadata.yml");
  if (current) {
    const list = asObject(readDocument(current))["metadata"];
    for (const entry of Array.isArray(list) ? list.map(asObject) : []) {
      const path = `${asText(entry["group"])}/${asText(entry["dataId"])}`;
      found.set(path, { app: asText(entry["appName"]), type: asText(entry["type"]) });
    }
  }
  const earlier = files.find(({ path }) => path === ".meta.yml");
  // Lines such as DEFAULT_GROUP.orders~yaml.app=shop: the last dot of the data id is a tilde.
  for (const line of (earlier ? (textOf(earlier.bytes) ?? "") : "").split(/\r?\n/)) {
    const [, group, dataId, app] = /^([^.]+)\.(.+)\.app=(.*)$/.exec(line) ?? [];
    if (group !== undefined && dataId !== undefined) {
      found.set(`${group}/${dataId.replace(/~([^~]*)$/, ".$1")}`, { app: app ?? "", type: "" });
    }
  }
  return found;
}
