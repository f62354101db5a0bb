/**
 * Bundles the program for a checkout, into `node_modules/.cache/posthouse/program`, which `bin/posthouse` runs while no source has changed
 * since. A start then loads some twenty files instead of sixteen hundred. `npm ci` and `npm test` create the bundle.
 */
import { mkdirSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { isBuiltin } from "node:module";
import { join, relative } from "node:path";
import { rolldown } from "rolldown";

const root = join(import.meta.dirname, "..");
const CACHE = join(root, "node_modules", ".cache", "posthouse");
/** Files that run as separate programs or threads. They find each other by these names, in the same folder. */
const ENTRIES = {
  main: "cli/main.ts",
  "check-worker": "config-server/releases/check-worker.ts",
  service: "demo/service.ts",
  "identity-provider": "demo/identity-provider.ts",
} as const;
/** Packages with native parts, or that locate files relative to themselves. */
const EXTERNAL = /^(lmdb|etcd3|@grpc|@opentelemetry|oidc-provider)(\/|$)/;

export interface BundleSource {
  /** From the root of the checkout. */
  readonly path: string;
  readonly bytes: number;
  readonly modifiedMs: number;
}

/** @returns the sources of the bundle */
export async function bundleProgram(target = join(CACHE, "program")): Promise<readonly BundleSource[]> {
  const fresh = `${target}.${process.pid}`;
  rmSync(fresh, { recursive: true, force: true });
  const bundle = await rolldown({
    cwd: root,
    input: Object.fromEntries(Object.entries(ENTRIES).map(([name, path]) => [name, join(root, path)])),
    platform: "node",
    external: (id) => isBuiltin(id) || EXTERNAL.test(id),
    // Prefers a package's ES module build, because bundlers cannot read the imports of builds for old loaders.
    resolve: { conditionNames: ["node", "import"], mainFields: ["module", "main"] },
    logLevel: "silent",
  });
  const { output } = await bundle.write({
    dir: fresh,
    format: "esm",
    entryFileNames: "[name].js",
    chunkFileNames: "[name]-[hash].js",
  });
  await bundle.close();
  const modules = output.flatMap((chunk) => (chunk.type === "chunk" ? chunk.moduleIds : []));
  const sources = [...new Set(modules)]
    .filter((path) => path.startsWith(root) && !path.includes("node_modules"))
    .sort()
    .map((path): BundleSource => {
      const { size, mtimeMs } = statSync(path);
      return { path: relative(root, path), bytes: size, modifiedMs: mtimeMs };
    });
  writeFileSync(join(fresh, "package.json"), '{ "type": "module" }\n');
  writeFileSync(
    join(fresh, "sources.json"),
    JSON.stringify(sources.map(({ path, bytes, modifiedMs }) => [path, bytes, modifiedMs])),
  );
  mkdirSync(CACHE, { recursive: true });
  rmSync(target, { recursive: true, force: true });
  renameSync(fresh, target);
  return sources;
}

if (import.meta.main) {
  const sources = await bundleProgram();
  console.log(`bundled ${sources.length} sources`);
}
