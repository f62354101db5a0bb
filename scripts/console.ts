/**
 * Builds the console, or finds it built: `npm run build:console`. A checkout keeps the built files below node_modules/.cache, and the
 * package in dist/console. Each file also gets its Brotli and gzip form, so that the server never compresses.
 */
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";

const root = join(import.meta.dirname, "..");
const TARGET = join(root, "node_modules", ".cache", "posthouse", "console");
const COMPRESSIBLE = /\.(css|html|js|json|svg)$/;

/** @returns names of the built files, from the target folder, without the compressed forms */
export async function buildConsole(target = TARGET): Promise<readonly string[]> {
  const { build } = await import("vite");
  await build({
    configFile: join(root, "console", "vite.config.ts"),
    logLevel: "warn",
    build: { outDir: target },
  });
  const files = readdirSync(target, { recursive: true, encoding: "utf8" }).filter((name) => COMPRESSIBLE.test(name));
  for (const name of files) {
    const path = join(target, name);
    const bytes = readFileSync(path);
    writeFileSync(`${path}.gz`, gzipSync(bytes, { level: 9 }));
    writeFileSync(
      `${path}.br`,
      brotliCompressSync(bytes, { params: { [constants.BROTLI_PARAM_QUALITY]: constants.BROTLI_MAX_QUALITY } }),
    );
  }
  return files;
}

export function isConsoleBuilt(target = TARGET): boolean {
  return existsSync(join(target, "index.html"));
}

if (import.meta.main) {
  const files = await buildConsole();
  console.log(`built the console: ${files.length} files`);
}
