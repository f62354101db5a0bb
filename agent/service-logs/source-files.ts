/** Which files on disk a source means, and where a file is that was renamed. */
import { lstat, readdir } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { fileIdOf } from "./tailed-file.ts";

/** Files of one source; each is an open descriptor. The names that sort last are usually the newest. */
const FILES_PER_SOURCE_MAX = 64;

export interface FoundFile {
  readonly path: string;
  readonly file: string;
}

/** The files that a path means at this time, in order of their names. */
export async function filesOfSource(pattern: string): Promise<FoundFile[]> {
  if (!pattern.includes("*")) return found([pattern]);
  const name = new RegExp(
    `^${basename(pattern)
      .split("*")
      .map((part) => RegExp.escape(part))
      .join(".*")}$`,
  );
  const names = await readdir(dirname(pattern)).catch(() => []);
  const fitting = names.filter((one) => name.test(one)).toSorted();
  return found(fitting.slice(-FILES_PER_SOURCE_MAX).map((one) => join(dirname(pattern), one)));
}

/** The path of a file that was renamed within its folder; undefined: it is gone. */
export async function renamedFile(path: string, file: string): Promise<string | undefined> {
  const names = await readdir(dirname(path)).catch(() => []);
  const files = await found(names.map((name) => join(dirname(path), name)));
  return files.find((one) => one.file === file)?.path;
}

async function found(paths: readonly string[]): Promise<FoundFile[]> {
  const files: FoundFile[] = [];
  for (const path of paths) {
    const stats = await lstat(path).catch(() => undefined);
    if (stats) files.push({ path, file: fileIdOf(stats) });
  }
  return files;
}
