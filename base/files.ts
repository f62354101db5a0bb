/** Replaces a file so that a reader sees the old content or the new, never a part, also after a loss of power. */
import { open, rename } from "node:fs/promises";
import { dirname } from "node:path";

/** Writes beside it, syncs, renames over it, syncs the folder. @throws the system's own error; the old file then stands */
export async function replaceFile(path: string, text: string, mode: number): Promise<void> {
  const temporary = `${path}.new`;
  const file = await open(temporary, "w", mode);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(temporary, path);
  const folder = await open(dirname(path), "r");
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
