/** The built program, made once per test run: three files need it, and a build costs half a minute. */
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { messageOf } from "#base";
import { TEST_RUN_FOLDER_VARIABLE } from "../../scripts/left-processes.ts";
import { projectRoot } from "./process.ts";
import { eventually, tempFolder } from "./temp.ts";

const run = promisify(execFile);

export interface BuiltProgram extends AsyncDisposable {
  /** Like `dist` of the package. Never changed, because other files use it. */
  readonly dist: string;
}

/** Builds the program, or waits for the file that builds it. A file that is run alone has a build of its own. */
export async function builtProgram(): Promise<BuiltProgram> {
  const shared = process.env[TEST_RUN_FOLDER_VARIABLE];
  if (shared === undefined) {
    const own = await tempFolder();
    const dist = join(own.path, "dist");
    await build(dist);
    return { dist, [Symbol.asyncDispose]: () => own[Symbol.asyncDispose]() };
  }
  const dist = join(shared, "dist");
  const isFirst = await mkdir(join(shared, "building")).then(
    () => true,
    (error: NodeJS.ErrnoException) => {
      if (error.code !== "EEXIST") throw error;
      return false;
    },
  );
  const failed = join(shared, "build-failed");
  if (isFirst) {
    try {
      await build(`${dist}.part`);
      // Complete before it has its name.
      await rename(`${dist}.part`, dist);
    } catch (error) {
      await writeFile(failed, messageOf(error));
      throw error;
    }
  } else if ((await eventually("another file builds the program", () => firstOf(dist, failed))) === failed) {
    throw new Error(`Another file could not build the program: ${await readFile(failed, "utf8")}`);
  }
  return { dist, [Symbol.asyncDispose]: async () => {} };
}

/** The first of these paths that exists. */
function firstOf(...paths: readonly string[]): string | undefined {
  return paths.find((path) => existsSync(path));
}

async function build(dist: string): Promise<void> {
  // The types are checked by `npm run check`.
  const command = [join(projectRoot, "scripts/build.ts"), dist, "--noCheck", "--singleThreaded"];
  await run(process.execPath, command, { cwd: projectRoot });
}
