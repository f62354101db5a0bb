/**
 * Builds `dist`, or the given folder, for the published package, because Node does not strip types below node_modules. The folder's
 * `package.json` gives the built files the same import names. Further arguments go to the compiler: `--noCheck` builds the same files in
 * a third of the time.
 */
import { spawnSync } from "node:child_process";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { writeClientPackage } from "./client-package.ts";
import { buildConsole } from "./console.ts";

const root = join(import.meta.dirname, "..");
const target = resolve(process.argv[2] ?? join(root, "dist"));
rmSync(target, { recursive: true, force: true });
const tsc = spawnSync(
  process.execPath,
  [
    join(root, "node_modules", "typescript", "bin", "tsc"),
    "-p",
    "tsconfig.build.json",
    "--outDir",
    target,
    ...process.argv.slice(3),
  ],
  {
    cwd: root,
    stdio: "inherit",
  },
);
if (tsc.status !== 0) process.exit(tsc.status ?? 1);
const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { imports: Record<string, string> };
const imports = Object.fromEntries(
  Object.entries(manifest.imports)
    .filter(([, path]) => !path.startsWith("./test/"))
    .map(([name, path]) => [name, path.replace(/\.ts$/, ".js")]),
);
writeFileSync(join(target, "package.json"), `${JSON.stringify({ type: "module", imports }, null, 2)}\n`);
await buildConsole(join(target, "console"));
// Beside it, the package for services that need only the client: `npm pack ./dist-client`.
if (process.argv[2] === undefined) writeClientPackage(root, target, join(root, "dist-client"));
