/**
 * Puts a new data file in the place of a damaged one, which stays under another name. The new one is made in a folder of its own; once
 * all of it is on the disk, a note there says so. From then on a process that died on the way is no reason to stay with the damaged
 * file: whoever opens the store next goes on by the note. Before it, nothing has happened to the store.
 */
import { closeSync, existsSync, fsyncSync, openSync, readFileSync, renameSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";
import { DATA_FILE } from "./layout.ts";
import { WITNESS_FILE } from "./witness.ts";

/** Within the store's folder: where the new file is made. */
const WORK_FOLDER = "repair";
/** The note: what the names of the old files get at their end. */
const NOTE = "ready";
/** In this order: a data file without its witness can be opened, the other way round it cannot. */
const FILES = [DATA_FILE, WITNESS_FILE] as const;

export function workFolder(folder: string): string {
  return join(folder, WORK_FOLDER);
}

/** What the name of a damaged file ends in, which no other file's does. `now`: milliseconds since 1970. */
export function endingFor(folder: string, now: number): string {
  for (let at = now; ; at++) {
    const ending = `damaged-${new Date(at).toISOString().replaceAll(":", "")}`;
    if (!existsSync(join(folder, `${DATA_FILE}.${ending}`))) return ending;
  }
}

/** Puts what is in the work folder, whole and closed, in the place of the store. */
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

/** Goes on with a swap that was cut off; without one it does nothing. Call it with the folder's lock. */
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
