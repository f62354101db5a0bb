/**
 * Writes a file so that a reader sees the old content or the new, never a part: a temporary file in the same folder is checked,
 * flushed and renamed over the old one, and the folder is flushed, so that it also survives a power loss. Files are written in place
 * only on request.
 */
import { constants } from "node:fs";
import {
  lstat,
  open,
  readdir,
  readFile,
  readlink,
  realpath,
  rename,
  rm,
  stat,
  unlink,
  type FileHandle,
} from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { AppError, messageOf, randomId, type CounterChild, type Family, type Host, own } from "#base";
import { AgentErrors } from "./api.ts";
import { writeInPlace } from "./in-place.ts";
import { AS_IT_IS } from "./system-ids.ts";

/** Mode of a new file: the owner writes, the group reads; a config may hold secrets. */
const NEW_FILE_MODE = 0o640;
/** Bytes of an existing file that are read to compare it; a config value is far smaller. */
const COMPARED_BYTES_MAX = 4 * 1024 * 1024;

const TEMP_SUFFIX = ".posthouse-tmp";

export interface WriteOptions {
  /** Encoding of the content; absent: plain text. */
  readonly encoding?: "utf8" | "base64";
  /** Mode of a new file; an existing one keeps its own. */
  readonly mode?: number | undefined;
  /** Whether a write follows a symbolic link or replaces it. */
  readonly followLinks: boolean;
  /** Overwrites an existing file instead of replacing it, see in-place.ts. A missing file is created as usual. */
  readonly inPlace?: boolean;
  /** Checks the temporary file, which is complete and closed. When it rejects, the old file stays. */
  readonly check?: ((path: string) => Promise<void>) | undefined;
}

export class FileSink {
  readonly #host: Host;
  readonly #writes: Family<CounterChild>;
  /** The write under way for a path. The next one waits for it, so that the last requested content remains. */
  readonly #chains = new Map<string, Promise<void>>();
  readonly #swept = new Set<string>();

  constructor(host: Host) {
    this.#host = host;
    this.#writes = host.metrics.counter({
      name: "posthouse_agent_file_writes_total",
      help: "Files written atomically, by result.",
      labelNames: ["result"],
    });
  }

  /**
   * Replaces the content of a file, or creates it. On failure the old content remains and no temporary file is left.
   * @throws AGENT_FILE_NOT_WRITTEN, which names the path, the reason and the fix; and the error of the check
   */
  write(path: string, content: string, options: WriteOptions): Promise<void> {
    return this.#enqueue(path, () => this.#write(path, content, options));
  }

  /** Removes a file, after the writes requested before. A missing file is not an error. */
  remove(path: string): Promise<void> {
    return this.#enqueue(path, () => rm(path, { force: true }));
  }

  #enqueue(path: string, run: () => Promise<void>): Promise<void> {
    const before = this.#chains.get(path) ?? Promise.resolve();
    const job = before.then(run);
    const settled = job
      .catch(() => {})
      .finally(() => {
        if (this.#chains.get(path) === settled) this.#chains.delete(path);
      });
    this.#chains.set(path, settled);
    return job;
  }

  async #write(path: string, content: string, options: WriteOptions): Promise<void> {
    try {
      const target = options.followLinks ? await throughLinks(path) : path;
      await this.#sweep(target);
      await replace(target, content, options, randomId(this.#host.random, 8));
      this.#writes.labels("ok").inc();
    } catch (error) {
      const refused = error instanceof AppError;
      this.#writes.labels(refused ? "refused" : "failed").inc();
      if (refused) throw error;
      const rest = (error as { isTorn?: boolean }).isTorn
        ? "It may contain parts of both contents until it is written again."
        : "Its old content remains.";
      throw AgentErrors.FILE_NOT_WRITTEN(`${path} was not written: ${reasonAndFix(error)} ${rest}`, {
        cause: error,
        extra: { path },
      });
    }
  }

  /** Removes temporary files that a killed agent left beside this file. */
  async #sweep(target: string): Promise<void> {
    if (this.#swept.has(target)) return;
    const folder = dirname(target);
    const prefix = `.${basename(target)}.`;
    for (const name of await readdir(folder)) {
      if (name.startsWith(prefix) && name.endsWith(TEMP_SUFFIX)) await unlink(join(folder, name)).catch(() => {});
    }
    this.#swept.add(target);
  }
}

/** The text of a file; undefined when it does not exist, cannot be read, or is larger than the agent writes. */
export async function readText(path: string, encoding: "utf8" | "base64" = "utf8"): Promise<string | undefined> {
  try {
    const { size } = await stat(path);
    if (size > COMPARED_BYTES_MAX) return undefined;
    return await readFile(path, encoding);
  } catch {
    return undefined;
  }
}

/** Consecutive links that are followed, as many as Linux follows. */
const LINKS_MAX = 40;

/** The file that a path refers to, also when that file does not exist yet. */
async function throughLinks(path: string, left = LINKS_MAX): Promise<string> {
  try {
    return await realpath(path);
  } catch (error) {
    if (codeOf(error) !== "ENOENT") throw error;
    const target = await readlink(path).catch(() => undefined);
    if (target === undefined) return path;
    if (left === 0) throw Object.assign(new Error("its symbolic links form a loop"), { code: "ELOOP" });
    return throughLinks(resolve(await realpath(dirname(path)), target), left - 1);
  }
}

async function replace(target: string, content: string, options: WriteOptions, unique: string): Promise<void> {
  const existing = await lstat(target).catch((error: unknown) => {
    if (codeOf(error) === "ENOENT") return undefined;
    throw error;
  });
  if (existing && !existing.isFile() && !existing.isSymbolicLink()) {
    throw Object.assign(new Error("it is not a regular file"), { code: "EISDIR" });
  }
  const bytes = Buffer.from(content, options.encoding ?? "utf8");
  const inPlace = options.inPlace === true && existing?.isFile() === true;
  if (inPlace && !options.check) return writeInPlace(target, bytes);
  const kept = existing?.isFile() ? existing.mode & 0o7777 : undefined;
  const temp = join(dirname(target), `.${basename(target)}.${unique}${TEMP_SUFFIX}`);
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
  try {
    {
      await using file = await open(temp, flags, 0o600);
      await file.writeFile(content, options.encoding ?? "utf8");
      // A file that is written in place keeps its owner; here the temporary file is for the check only.
      if (existing?.isFile() && !inPlace) await keepOwner(file, existing);
      await file.chmod(kept ?? options.mode ?? NEW_FILE_MODE);
      if (!options.check) await file.sync();
    }
    if (options.check) {
      // Closed first, since a file that is open for writing cannot be run.
      await options.check(temp);
      await using file = await open(temp, constants.O_RDONLY | constants.O_NOFOLLOW);
      await file.sync();
    }
    if (inPlace) {
      await writeInPlace(target, bytes);
      await unlink(temp);
    } else await rename(temp, target);
  } catch (error) {
    await unlink(temp).catch(() => {});
    throw error;
  }
  if (!inPlace) await syncFolder(dirname(target));
}

const ROOT = 0;

/**
 * Gives the new file the owner and the group of the old one, so that its service can still read it. Only root can change the owner;
 * other users can set a group that they are in. A file of root may become the agent's, since root can read it anyway.
 * @throws with the code OWNER_LOST when the owner or the group cannot be kept
 */
async function keepOwner(file: FileHandle, { uid, gid }: { uid: number; gid: number }): Promise<void> {
  const made = await file.stat();
  if (made.uid === uid && made.gid === gid) return;
  const kept = await file.chown(uid, gid).then(
    () => true,
    () => false,
  );
  if (kept) return;
  const changedUid = made.uid !== uid && uid !== ROOT;
  const changedGid =
    made.gid !== gid &&
    (await file.chown(AS_IT_IS, gid).then(
      () => false,
      () => true,
    ));
  if (!changedUid && !changedGid) return;
  const what = changedUid ? `owner (uid ${uid})` : `group (gid ${gid})`;
  throw Object.assign(new Error(`its ${what} cannot be kept by an agent with uid ${made.uid}`), { code: OWNER_LOST });
}

const OWNER_LOST = "OWNER_LOST";

async function syncFolder(path: string): Promise<void> {
  await using folder = await open(path, constants.O_RDONLY | constants.O_DIRECTORY);
  await folder.sync();
}

function codeOf(error: unknown): string {
  return (error as NodeJS.ErrnoException).code ?? "";
}

const REASONS_AND_FIXES: Readonly<Record<string, string>> = {
  ENOSPC: "the disk is full (ENOSPC); free some space.",
  EFBIG: "the file is too large (EFBIG); raise the limit on file sizes.",
  EDQUOT: "the disk quota is used up (EDQUOT); free some space.",
  EROFS: "the file system is read-only (EROFS); mount it for writing, or use another path.",
  ENOENT: "its folder does not exist (ENOENT); create it.",
  ENOTDIR: "a part of its path is not a folder (ENOTDIR); fix the path.",
  EACCES: "the agent has no permission to write there (EACCES); grant it, or use another path.",
  EPERM: "the agent has no permission to write there (EPERM); grant it, or use another path.",
  EISDIR: "it is a folder or a device, not a file (EISDIR); use the path of a file.",
  EBUSY:
    "it is itself a mount (EBUSY), so it cannot be replaced in one step; " +
    'mount its folder instead of the file, or set "write: in-place".',
  ELOOP: "its symbolic links form a loop (ELOOP); fix them.",
  ENAMETOOLONG: "its name is too long (ENAMETOOLONG); use a shorter one.",
};

function reasonAndFix(error: unknown): string {
  if (codeOf(error) === OWNER_LOST) {
    return `${messageOf(error)}; run the agent as root or as that user, add it to that group, or remove the file.`;
  }
  return own(REASONS_AND_FIXES, codeOf(error)) ?? `${messageOf(error)}.`;
}
