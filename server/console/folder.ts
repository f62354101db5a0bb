/** Where the files of the built console are: beside the program, in a package, a checkout and a checkout's bundle. */
import { basename, join } from "node:path";

/** Cache of a checkout, from the folder of this file. */
const CACHE = "../../node_modules/.cache/posthouse/console";

/** The folder need not exist. */
export function builtConsoleFolder(): string {
  const { filename, dirname } = import.meta;
  if (filename.endsWith(".ts")) return join(dirname, CACHE);
  // A package has this file at dist/server/console; a bundle has it in the cache, at program.
  return join(dirname, basename(dirname) === "console" ? "../../console" : "../console");
}
