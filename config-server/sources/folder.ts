/**
 * Reads a folder while nothing writes to it: it is listed, left alone for a moment, read, and listed again. It is a snapshot
 * only when both lists agree on every size and time. Links that stay inside are followed, because mounted Kubernetes
 * ConfigMaps use them; links that lead out are rejected.
 */
import { createHash } from "node:crypto";
import { constants } from "node:fs";
import { open, readdir, realpath, stat } from "node:fs/promises";
import { join, sep } from "node:path";
import { AppError, messageOf, type Clock } from "#base";
import { ConfigErrors, fileBytesMax, type FileProblem } from "../api.ts";
import { isBeside, type TreeFile } from "../core/tree.ts";
import {
  Budget,
  DEPTH_MAX,
  isOutsideSets,
  unreadable,
  type Snapshot,
  type SourceReader,
  type SourceSettings,
} from "./snapshot.ts";

/** Milliseconds without any change; a program that writes many files writes the next one sooner. */
const QUIET_MS = 300;
/** Attempts to read a folder that changes meanwhile. */
const TRIES_MAX = 5;

/** Names for folders of a namespace, an app or a profile. */
const SET_FOLDER = /^[a-z0-9][a-z0-9@-]*$/;

interface Listed {
  readonly path: string;
  readonly real: string;
  readonly mark: string;
}
interface Listing {
  readonly files: readonly Listed[];
  readonly problems: readonly FileProblem[];
}

export class FolderReader implements SourceReader {
  readonly #settings: SourceSettings;
  readonly #clock: Clock;

  constructor(settings: SourceSettings, clock: Clock) {
    this.#settings = settings;
    this.#clock = clock;
  }

  async glance(): Promise<string> {
    return marksOf(await this.#list());
  }

  async read(signal: AbortSignal): Promise<Snapshot> {
    for (let attempt = 1; attempt <= TRIES_MAX; attempt++) {
      const before = await this.#list();
      await this.#clock.sleep(QUIET_MS, signal);
      const snapshot = await this.#readAll(before);
      if (snapshot && marksOf(await this.#list()) === marksOf(before)) return snapshot;
    }
    throw ConfigErrors.SOURCE_UNSTABLE(
      `Source "${this.#settings.name}" changed ${TRIES_MAX} times while it was read. It is read again later. If it changes all the time, replace it atomically, by renaming a link.`,
    );
  }

  async isDescendant(): Promise<boolean> {
    return true;
  }

  /** Undefined when a file was removed meanwhile. */
  async #readAll({ files: listed, problems: found }: Listing): Promise<Snapshot | undefined> {
    const budget = new Budget(this.#settings.name);
    const files: TreeFile[] = [];
    const problems = [...found];
    const hash = createHash("sha256");
    for (const { path, real } of listed) {
      budget.file();
      const bytes = await readBounded(real, fileBytesMax(path)).catch((error: unknown) => {
        if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
        throw unreadable(this.#settings, `"${path}" cannot be read: ${messageOf(error)}`, error);
      });
      if (bytes === undefined) return undefined;
      const wrong = budget.bytes(path, bytes.length);
      if (wrong === undefined) files.push({ path, bytes });
      else problems.push({ file: path, message: wrong });
      hash.update(`${path}\0${bytes.length}\0`).update(bytes);
    }
    return { commit: hash.digest("hex"), files, problems };
  }

  async #list(): Promise<Listing> {
    const { path, folder = "" } = this.#settings;
    const files: Listed[] = [];
    const problems: FileProblem[] = [];
    try {
      const root = await realpath(join(path, folder));
      await this.#listInto(root, { at: root, path: "", depth: 0 }, new Budget(this.#settings.name), {
        files,
        problems,
      });
    } catch (error) {
      if (error instanceof AppError) throw error;
      throw unreadable(this.#settings, `the folder cannot be read: ${messageOf(error)}`, error);
    }
    return { files, problems };
  }

  async #listInto(
    root: string,
    { at, path, depth }: { at: string; path: string; depth: number },
    budget: Budget,
    found: { files: Listed[]; problems: FileProblem[] },
  ): Promise<void> {
    for (const name of (await readdir(at)).sort()) {
      if (isBeside(name)) continue;
      budget.file();
      const file = path === "" ? name : `${path}/${name}`;
      // If a file disappears after the listing, the second listing shows it.
      const real = await realpath(join(at, name)).catch(() => undefined);
      const leadsOut = real === undefined || (real !== root && !real.startsWith(`${root}${sep}`));
      const isLink = real !== join(at, name);
      // A link above the set folders counts only if its name is valid there: LATEST is just a shortcut.
      if (isOutsideSets(this.#settings, file) && (leadsOut || (isLink && !SET_FOLDER.test(name)))) continue;
      if (real === undefined) {
        found.problems.push({ file, message: "is a link to a missing file" });
        continue;
      }
      if (leadsOut) {
        found.problems.push({ file, message: "is a link out of the folder; add the file itself" });
        continue;
      }
      const kind = await stat(real, { bigint: true }).catch(() => undefined);
      if (kind?.isDirectory()) {
        if (depth < DEPTH_MAX) await this.#listInto(root, { at: real, path: file, depth: depth + 1 }, budget, found);
      } else if (isOutsideSets(this.#settings, file)) {
        continue;
      } else if (kind?.isFile()) {
        const mark = [kind.ino, kind.size, kind.mtimeNs, kind.ctimeNs].join(" ");
        found.files.push({ path: file, real, mark });
      } else if (kind) {
        found.problems.push({ file, message: "is neither a file nor a folder" });
      }
    }
  }
}

function marksOf({ files, problems }: Listing): string {
  const hash = createHash("sha256");
  for (const { path, real, mark } of files) hash.update(`${path}\0${real}\0${mark}\n`);
  for (const { file, message } of problems) hash.update(`${file}\0${message}\n`);
  return hash.digest("hex");
}

/** Reads at most one byte more than the limit. Never follows a link that appeared meanwhile, and never waits for a pipe. */
async function readBounded(path: string, bytesMax: number): Promise<Uint8Array> {
  const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    const { size } = await file.stat();
    const bytes = Buffer.alloc(Math.min(size, bytesMax) + 1);
    let length = 0;
    while (length < bytes.length) {
      const { bytesRead } = await file.read(bytes, length, bytes.length - length);
      if (bytesRead === 0) break;
      length += bytesRead;
    }
    return bytes.subarray(0, length);
  } finally {
    await file.close();
  }
}
