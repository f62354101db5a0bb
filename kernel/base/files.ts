/** Replaces a file so that a reader sees the old content or the new, never a part, also after a loss of power. */
import { open, rename, unlink } from "node:fs/promises";
import { dirname } from "node:path";

/**
 * Writes beside it, syncs, renames over it, syncs the folder. `unique` is a part of the temporary file's name: where several
 * processes write one file, each passes its own, and the last rename wins.
 * @throws the system's own error; the old file then remains, and the temporary file is removed
 */
export async function replaceFile(path: string, text: string, mode: number, unique = "new"): Promise<void> {
  const temporary = `${path}.${unique}`;
  try {
    await using file = await open(temporary, "w", mode);
    await file.writeFile(text);
    await file.sync();
    await rename(temporary, path);
  } catch (error) {
    await unlink(temporary).catch(() => {});
    throw error;
  }
  await using folder = await open(dirname(path), "r");
  await folder.sync();
}
