/** The version of this package, read from its manifest: the nearest package.json above this file that names it. */
import { readFileSync } from "node:fs";

function read(): string {
  for (const path of ["../package.json", "../../package.json", "../../../../package.json"]) {
    try {
      const manifest = JSON.parse(readFileSync(new URL(path, import.meta.url), "utf8")) as Record<string, string>;
      if (manifest["name"] === "posthouse" && manifest["version"]) return manifest["version"];
    } catch {
      // Not here. In a build the manifest is one folder further up; in a checkout's bundle, three.
    }
  }
  return "0.0.0";
}

export const VERSION = read();
