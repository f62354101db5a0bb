/** Finds the test files that a change of a source file affects, by the imports between them, the nearest first. */
import { globSync, readFileSync } from "node:fs";
import { basename, dirname, join, normalize } from "node:path";

export interface TestFile {
  readonly path: string;
  /** Files of the program between the test and the source; 1: the test imports the file, or has its name. */
  readonly distance: number;
}

/** Tests of a folder that reach one of its files. Paths are relative to the root. */
export class TestIndex {
  readonly #root: string;
  readonly #aliases: Readonly<Record<string, string>>;
  readonly #imports = new Map<string, readonly string[]>();

  constructor(root: string) {
    this.#root = root;
    const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
      imports: Record<string, string>;
    };
    this.#aliases = manifest.imports;
  }

  testsOf(source: string, testFolder: string): TestFile[] {
    const found: TestFile[] = [];
    for (const path of globSync(`${testFolder}/**/*.test.ts`, { cwd: this.#root })) {
      const distance = this.#distance(path, source);
      if (distance === undefined) continue;
      const isItsOwn = basename(path, ".test.ts") === basename(source, ".ts");
      found.push({ path, distance: isItsOwn ? 1 : distance });
    }
    return found.sort((a, b) => a.distance - b.distance || (a.path < b.path ? -1 : 1));
  }

  #distance(from: string, to: string): number | undefined {
    const seen = new Set([from]);
    let layer = [from];
    for (let distance = 0; layer.length > 0; distance++) {
      const next: string[] = [];
      // Test kits, and files that only re-export, do not count as distance.
      for (let at = 0; at < layer.length; at++) {
        for (const path of this.#importsOf(layer[at] as string)) {
          if (path === to) return distance + 1;
          if (seen.has(path)) continue;
          seen.add(path);
          (path.startsWith("test/") || path.endsWith("/mod.ts") ? layer : next).push(path);
        }
      }
      layer = next;
    }
    return undefined;
  }

  #importsOf(path: string): readonly string[] {
    let known = this.#imports.get(path);
    if (!known) {
      const text = readFileSync(join(this.#root, path), "utf8");
      const matches = text.matchAll(
        /^(?:import|export)\s(?!type\s)(?:[^;"'=]*\sfrom\s*)?["']([^"']+\.ts|#[^"']+)["']/gm,
      );
      known = [...matches].flatMap(([, specifier = ""]) => {
        const target = specifier.startsWith("#") ? this.#aliases[specifier] : join(dirname(path), specifier);
        return target === undefined ? [] : [normalize(target)];
      });
      this.#imports.set(path, known);
    }
    return known;
  }
}
