/** Programs that a test starts many times: bundled first, since loading hundreds of sources costs most of a short program's time. */
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { isBuiltin } from "node:module";
import { join } from "node:path";
import { rolldown } from "rolldown";
import { projectRoot } from "./process.ts";

export interface BundledProgram extends AsyncDisposable {
  readonly file: string;
}

/** Packages with native parts, which are loaded from where they are. */
const EXTERNAL = /^(lmdb|etcd3|@grpc|@opentelemetry)(\/|$)/;

/** Bundles a program of the project, such as `test/store/kill-writer.ts`, into a folder of its own. */
export async function bundledProgram(source: string): Promise<BundledProgram> {
  // In the project, where the packages are found that are not bundled.
  const cache = join(projectRoot, "node_modules", ".cache", "posthouse");
  await mkdir(cache, { recursive: true });
  const folder = await mkdtemp(join(cache, "test-program-"));
  await using stack = new AsyncDisposableStack();
  stack.defer(() => rm(folder, { recursive: true, force: true }));
  const bundle = await rolldown({
    cwd: projectRoot,
    input: { program: join(projectRoot, source) },
    platform: "node",
    external: (id) => isBuiltin(id) || EXTERNAL.test(id),
    resolve: { conditionNames: ["node", "import"], mainFields: ["module", "main"] },
    logLevel: "silent",
  });
  await bundle.write({ dir: folder, format: "esm", entryFileNames: "[name].mjs", chunkFileNames: "[name].mjs" });
  await bundle.close();
  const owned = stack.move();
  return { file: join(folder, "program.mjs"), [Symbol.asyncDispose]: () => owned.disposeAsync() };
}
