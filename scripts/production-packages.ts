/** The packages that the program needs at run time, by the lock file: their folders and licenses. */
import { cpSync, existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

export interface ProductionPackage {
  /** From the root, such as `node_modules/ajv`. */
  readonly path: string;
  readonly name: string;
  readonly version: string;
  readonly license: string;
  /** Names of the files with its license and notices, in its folder. */
  readonly licenseFiles: readonly string[];
}

interface LockEntry {
  readonly dev?: boolean;
  readonly optional?: boolean;
}

interface PackageManifest {
  readonly name: string;
  readonly version: string;
  readonly license?: string | { readonly type?: string };
  readonly licenses?: readonly { readonly type?: string }[];
}

/** @throws Error when a required package is not installed */
export function productionPackages(root: string): ProductionPackage[] {
  const lock = JSON.parse(readFileSync(join(root, "package-lock.json"), "utf8")) as {
    readonly packages: Readonly<Record<string, LockEntry>>;
  };
  return Object.entries(lock.packages).flatMap(([path, { dev, optional }]) => {
    if (path === "" || dev === true) return [];
    // Optional packages are installed for one platform only.
    if (!existsSync(join(root, path, "package.json"))) {
      if (optional === true) return [];
      throw new Error(`${path} is not installed; run npm ci`);
    }
    return [describe(root, path)];
  });
}

function describe(root: string, path: string): ProductionPackage {
  const manifest = JSON.parse(readFileSync(join(root, path, "package.json"), "utf8")) as PackageManifest;
  const { name, version, license, licenses } = manifest;
  const stated =
    typeof license === "string" ? license : (license?.type ?? licenses?.map(({ type }) => type).join(" or "));
  return {
    path,
    name,
    version,
    license: stated ?? "not stated",
    licenseFiles: readdirSync(join(root, path), { withFileTypes: true })
      .filter((entry) => entry.isFile() && /^(licen[cs]e|copying|notice)/i.test(entry.name))
      .map((entry) => entry.name),
  };
}

/** Files that the program does not load: types, sources, documents, and builds for the other C library. */
const UNUSED_FILES = /\.(map|[cm]?ts|md|markdown|ya?ml|c|h|cpp|hpp|musl\.node)$/;
/** Folders at the top of a package, of which the same is true. */
const UNUSED_FOLDERS = new Set([".github", "benchmark", "benchmarks", "docs", "example", "examples", "test", "tests"]);

/** Copies the packages below `target`, without the packages that are nested in them: those have their own rows. */
export function copyPackages(root: string, packages: readonly ProductionPackage[], target: string): void {
  for (const { path, licenseFiles } of packages) {
    const top = join(root, path);
    const kept = new Set(licenseFiles.map((name) => join(top, name)));
    const left = new Set(["node_modules", ...UNUSED_FOLDERS].map((name) => join(top, name)));
    cpSync(top, join(target, path), {
      recursive: true,
      filter: (source) => kept.has(source) || (!left.has(source) && !UNUSED_FILES.test(source)),
    });
  }
}
