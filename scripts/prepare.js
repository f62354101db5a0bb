/** Runs after `npm ci` in a checkout: bundles the program and builds the console. Without the development packages, or on an older Node, it does nothing. */
import { existsSync } from "node:fs";
import { join } from "node:path";

const root = join(import.meta.dirname, "..");
const bundler = join(root, "node_modules", "rolldown");
if (existsSync(bundler) && process.features.typescript) {
  const { bundleProgram } = await import("./bundle.ts");
  await bundleProgram();
  const { buildConsole } = await import("./console.ts");
  await buildConsole();
}
