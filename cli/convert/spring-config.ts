/**
 * The folder of a Spring Cloud Config server, such as a checkout of its git repository: `APP-PROFILE.yml` beside each other, or
 * `APP/application-PROFILE.yml`. Files keep their names as keys, because Spring merges them in the app, property by property.
 */
import {
  Conversion,
  type Convert,
  NAMESPACE_DEFAULT,
  PROFILE_DEFAULT,
  splitExtension,
  splitProfile,
  textOf,
} from "./conversion.ts";

/** The files that apply to every app. */
const SHARED = "application";
const EXTENSIONS = new Set([".yml", ".yaml", ".properties", ".json"]);

export const convertSpringConfig: Convert = (files, { namespace = NAMESPACE_DEFAULT, profiles }) => {
  const result = new Conversion();
  const configs = files.flatMap(({ path, bytes }) => {
    const parts = path.split("/");
    const name = parts.pop() ?? "";
    const [stem, extension] = splitExtension(name);
    if (EXTENSIONS.has(extension) && parts.length < 2) return [{ path, folder: parts[0], name, stem, bytes }];
    result.note(path, "not converted: no properties, YAML or JSON, or in a folder of a folder");
    return [];
  });
  const names = new Set(configs.map(({ stem }) => stem));
  // A file for one profile of all apps proves that its name is that of a profile.
  const shared = [...names].flatMap((name) => (name.startsWith(`${SHARED}-`) ? [name.slice(SHARED.length + 1)] : []));
  const known = { names, profiles: new Set([...profiles, ...shared]) };
  const apps = new Set<string>();
  for (const { path, folder, name, stem, bytes } of configs) {
    const [own, profile] = splitProfile(stem, known);
    const app = own === SHARED && folder !== undefined ? folder : own;
    apps.add(app);
    result.put(path, { namespace, app, profile }, name, bytes);
    remarks(result, path, textOf(bytes) ?? "");
  }
  if (apps.has(SHARED)) {
    for (const app of apps) {
      if (app === SHARED) continue;
      result.put(app, { namespace, app, profile: PROFILE_DEFAULT }, "imports.yaml", `- ${SHARED}\n`);
    }
  }
  return result;
};

function remarks(result: Conversion, path: string, text: string): void {
  if (text.includes("{cipher}")) {
    result.note(path, "has values that Spring encrypted. Decrypt them, and release them as secrets");
  }
  if (/on-profile|^spring\.profiles\s*[:=]/m.test(text)) {
    result.note(path, "has documents for single profiles. Spring still reads them, but here they are one value");
  }
}
