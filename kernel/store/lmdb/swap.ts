/**
 * Replaces a damaged data file, which stays under another name. The new file is created in a separate folder. Once all of it is on disk,
 * a note is written there. Before the note, the store is unchanged. After the note, a swap that was interrupted by a crash is finished when
 * the store is opened next.
 */
import { closeSync, existsSync, fsyncSync, openSync, readFileSync, renameSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";
import { DATA_FILE } from "./layout.ts";
import { WITNESS_FILE } from "./witness.ts";

/** The folder of the new file, within the store's folder. */
const WORK_FOLDER = "repair";
/** The note. It contains the ending for the names of the old files. */
const NOTE = "ready";
/** In this order, because a data file without its witness can be opened, but not the reverse. */
const FILES = [DATA_FILE, WITNESS_FILE] as const;

export function workFolder(folder: string): string {
  return join(folder, WORK_FOLDER);
}

/** A unique ending for the names of the damaged files. `now`: milliseconds since 1970. */
export function endingFor(folder: string, now: number): string {
  for (let at = now; ; at++) {
    const ending = `damaged-${new Date(at).toISOString().replaceAll(":", "")}`;
    if (!existsSync(join(folder, `${DATA_FILE}.${ending}`))) return ending;
  }
}

/** Replaces the store by the complete, closed store in the work folder. */
export function swapIn(folder: string, ending: string): void {
  const work = workFolder(folder);
  for (const name of FILES) sync(join(work, name));
  const begun = join(work, `${NOTE}.part`);
  const file = openSync(begun, "w", 0o600);
  writeSync(file, ending);
  fsyncSync(file);
  closeSync(file);
  sync(work);
  renameSync(begun, join(work, NOTE));
  sync(work);
  finishSwap(folder);
}

/** Finishes an interrupted swap, if there is one. Call it with the folder's lock. */
export function finishSwap(folder: string): void {
  const work = workFolder(folder);
  const note = join(work, NOTE);
  if (!existsSync(note)) return;
  const ending = readFileSync(note, "utf8");
  for (const name of FILES) {
    const [made, place] = [join(work, name), join(folder, name)];
    if (!existsSync(made)) continue;
    const aside = `${place}.${ending}`;
    if (existsSync(place) && !existsSync(aside)) renameSync(place, aside);
    renameSync(made, place);
  }
  sync(folder);
  rmSync(work, { recursive: true, force: true });
}

function sync(path: string): void {
  const file = openSync(path, "r");
  fsyncSync(file);
  closeSync(file);
}
