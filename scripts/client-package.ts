/**
 * Creates the package `posthouse-client` from a built `dist`: the files that the client and the OpenFeature provider need, and the few
 * packages that these import, for services that do not need the server.
 */
import { copyFileSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";

interface Manifest {
  readonly version: string;
  readonly license: string;
  readonly engines: Readonly<Record<string, string>>;
  readonly imports: Readonly<Record<string, string>>;
  readonly dependencies: Readonly<Record<string, string>>;
  readonly peerDependencies: Readonly<Record<string, string>>;
}

const ENTRIES = {
  "./client": "client/package.js",
  "./openfeature": "client/openfeature.js",
  "./fastify": "client/frameworks/fastify.js",
  "./express": "client/frameworks/express.js",
  "./nestjs": "client/frameworks/nestjs.js",
} as const;
/** Frameworks, by the versions of the optional peers, or else of the dependencies. The service that uses a plugin has its framework. */
const FRAMEWORKS = [
  "@nestjs/common",
  "@nestjs/core",
  "@openfeature/server-sdk",
  "express",
  "fastify",
  "fastify-plugin",
];

/** Writes the package into `target`. @returns the packages that it depends on */
export function writeClientPackage(root: string, dist: string, target: string): string[] {
  const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as Manifest;
  const { imports } = JSON.parse(readFileSync(join(dist, "package.json"), "utf8")) as Pick<Manifest, "imports">;
  const files = new Set<string>();
  const packages = new Set<string>();
  const aliases = new Set<string>();
  const walk = (file: string) => {
    if (files.has(file)) return;
    files.add(file);
    const code = readFileSync(join(dist, file), "utf8");
    for (const [, specifier = ""] of code.matchAll(/(?:\bfrom|\bimport\(|^import)\s*["']([^"']+)["']/gm)) {
      if (specifier.startsWith("node:")) continue;
      if (specifier.startsWith("#")) aliases.add(specifier);
      const own = specifier.startsWith(".") ? join(dirname(file), specifier) : imports[specifier];
      if (own !== undefined) walk(normalize(own));
      else packages.add(specifier.split("/", specifier.startsWith("@") ? 2 : 1).join("/"));
    }
    // The types of these files, which may refer to further files.
    const types = file.replace(/\.js$/, ".d.ts");
    if (file !== types && existsSync(join(dist, types))) walkTypes(types);
  };
  const walkTypes = (file: string) => {
    if (files.has(file)) return;
    files.add(file);
    const code = readFileSync(join(dist, file), "utf8");
    for (const [, specifier = ""] of code.matchAll(/(?:\bfrom|\bimport\()\s*["']([^"']+)["']/g)) {
      if (specifier.startsWith("#")) aliases.add(specifier);
      const own = specifier.startsWith(".") ? join(dirname(file), specifier) : imports[specifier];
      if (own !== undefined) walkTypes(normalize(own).replace(/\.(js|ts)$/, ".d.ts"));
      else if (manifest.dependencies[specifier] !== undefined) packages.add(specifier);
    }
  };
  for (const entry of Object.values(ENTRIES)) walk(entry);
  rmSync(target, { recursive: true, force: true });
  for (const file of files) {
    mkdirSync(dirname(join(target, file)), { recursive: true });
    copyFileSync(join(dist, file), join(target, file));
  }
  const needed = [...packages].filter((name) => !FRAMEWORKS.includes(name)).sort();
  const versionOf = (name: string) => manifest.peerDependencies[name] ?? `^${manifest.dependencies[name]}`;
  const made = {
    name: "posthouse-client",
    version: manifest.version,
    description: "The client of the posthouse control plane, without a server.",
    license: manifest.license,
    type: "module",
    engines: manifest.engines,
    exports: Object.fromEntries(
      Object.entries(ENTRIES).map(([name, file]) => [
        name,
        { types: `./${file.replace(/\.js$/, ".d.ts")}`, default: `./${file}` },
      ]),
    ),
    imports: Object.fromEntries([...aliases].sort().map((alias) => [alias, imports[alias]])),
    dependencies: Object.fromEntries(needed.map((name) => [name, manifest.dependencies[name]])),
    peerDependencies: Object.fromEntries(FRAMEWORKS.map((name) => [name, versionOf(name)])),
    peerDependenciesMeta: Object.fromEntries(FRAMEWORKS.map((name) => [name, { optional: true }])),
  };
  writeFileSync(join(target, "package.json"), `${JSON.stringify(made, null, 2)}\n`);
  return needed;
}
